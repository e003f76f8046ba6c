/**
 * The scratch server: where the gate restores its backup, and where the post-deploy verification finds the
 * rows as they were. Embedded by default; `SCRATCH_DATABASE_URL` where extensions need another one.
 */
import { statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { z } from "zod";
import { UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import type { DatabaseForm } from "../database/databaseForm";
import { findPostgres } from "../database/postgresPrograms";
import { quoteIdentifier, quoteLiteral } from "../database/sqlText";
import {
  type DatabaseTarget,
  describeTarget,
  parseTarget,
  targetFromEnvironment,
  withDatabase,
} from "../database/target";
import { clusterPlaceSchema, isClusterRunning, startCluster, stopCluster, urlOf } from "./cluster";

const scratchVariable = "SCRATCH_DATABASE_URL";

/** Where a scratch database is, for a receipt: no secret in it. */
export const scratchPlaceSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("embedded"), database: z.string(), cluster: clusterPlaceSchema }),
  /** On the server that `SCRATCH_DATABASE_URL` names. */
  z.object({ kind: z.literal("external"), database: z.string() }),
]);

export type ScratchPlace = z.infer<typeof scratchPlaceSchema>;

/** What a copy of a database needs of the server that holds it. */
export interface ScratchNeeds extends DatabaseForm {
  readonly major: number;
  readonly extensions: readonly { readonly name: string }[];
}

export interface ScratchDatabase {
  readonly place: ScratchPlace;
  readonly target: DatabaseTarget;
  /** What differs from the source without changing any row, for the receipt. */
  readonly notes: readonly string[];
}

/**
 * When an embedded scratch server ends by itself: with this process (also after kill -9), or at a moment, for a
 * later process. On an external server the database lives until somebody closes it.
 */
export type ScratchLifetime = { readonly kind: "process" } | { readonly kind: "deadline"; readonly at: Date };

/** Room for the data, its indexes and the sorts that build them. */
const roomPerDatabaseByte = 1.5;

/**
 * Makes an empty database like the source on a scratch server.
 *
 * @throws UsageError (exit 2) when no scratch server can hold the copy: PostgreSQL of that major missing,
 *   an extension missing, the disk too small.
 */
export async function openScratchDatabase(
  needs: ScratchNeeds,
  options: { runId: string; lifetime: ScratchLifetime; signal?: AbortSignal },
): Promise<ScratchDatabase> {
  const external = process.env[scratchVariable];
  const place =
    external === undefined || external === "" ? await startEmbedded(needs, options) : externalPlace(options.runId);
  try {
    const server = serverOf(place);
    await demandExtensions(server, needs);
    const notes = await createDatabaseLike(server, place.database, needs);
    return { place, target: withDatabase(server, place.database), notes };
  } catch (error) {
    await closeScratch(place);
    throw error;
  }
}

async function startEmbedded(
  needs: ScratchNeeds,
  options: { lifetime: ScratchLifetime; signal?: AbortSignal },
): Promise<ScratchPlace> {
  demandRoom(needs.databaseBytes, roomPerDatabaseByte);
  const cluster = await startCluster({
    major: findPostgres({ atLeast: needs.major }).major,
    listen: "socket",
    lifetime: options.lifetime.kind === "process" ? { kind: "parent" } : options.lifetime,
    purpose: "scratch",
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  return { kind: "embedded", database: "scratch", cluster: cluster.place };
}

function externalPlace(runId: string): ScratchPlace {
  return { kind: "external", database: `dbprotect_scratch_${runId.replace(/\W/g, "_").toLowerCase()}` };
}

/** The server's maintenance database, as its superuser. */
function serverOf(place: ScratchPlace): DatabaseTarget {
  return place.kind === "embedded"
    ? parseTarget(urlOf(place.cluster, "postgres"), "scratch server")
    : targetFromEnvironment(scratchVariable);
}

/** How to reach the copy; whether it is still there is `isScratchAlive`'s to say. */
export function scratchTarget(place: ScratchPlace): DatabaseTarget {
  return withDatabase(serverOf(place), place.database);
}

export async function isScratchAlive(place: ScratchPlace): Promise<boolean> {
  if (place.kind === "embedded") return isClusterRunning(place.cluster);
  return withConnection(serverOf(place), async (client) => {
    const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = $1", [place.database]);
    return (rowCount ?? 0) > 0;
  });
}

/** Ends the scratch server, or drops the scratch database on an external one; fine to call twice. */
export async function closeScratch(place: ScratchPlace): Promise<void> {
  if (place.kind === "embedded") return stopCluster(place.cluster);
  // A killed run may have left the second one.
  for (const database of [place.database, withThrowaway(place).database]) await dropDatabase(place, database);
}

/**
 * Runs `work` on a copy of a scratch database, on the same server, which is gone afterwards: what may be changed, while
 * the database itself stays as it was restored. Nobody may be connected to that meanwhile.
 *
 * @throws UsageError when the disk has no room for a second copy.
 */
export async function onThrowawayCopy<T>(place: ScratchPlace, work: (copy: DatabaseTarget) => Promise<T>): Promise<T> {
  const copy = withThrowaway(place);
  await dropDatabase(place, copy.database);
  await withConnection(serverOf(place), async (client) => {
    if (place.kind === "embedded") {
      const { rows } = await client.query<{ bytes: string }>("SELECT pg_database_size($1) AS bytes", [place.database]);
      demandRoom(Number(rows[0]!.bytes), 1);
    }
    await client.query(`CREATE DATABASE ${quoteIdentifier(copy.database)} TEMPLATE ${quoteIdentifier(place.database)}`);
  });
  try {
    return await work(scratchTarget(copy));
  } finally {
    await dropDatabase(place, copy.database);
  }
}

/** The server cuts long names off at their end: with a prefix it is another name all the same. */
function withThrowaway(place: ScratchPlace): ScratchPlace {
  return { ...place, database: `throwaway_${place.database}`.slice(0, 63) };
}

async function dropDatabase(place: ScratchPlace, database: string): Promise<void> {
  await withConnection(serverOf(place), (client) =>
    client.query(`DROP DATABASE IF EXISTS ${quoteIdentifier(database)} WITH (FORCE)`),
  );
}

function demandRoom(databaseBytes: number, perByte: number): void {
  const { bavail, bsize } = statfsSync(tmpdir());
  const free = bavail * bsize;
  const needed = databaseBytes * perByte;
  if (free >= needed) return;
  throw new UsageError(
    `no scratch server: ${tmpdir()} has ${megabytes(free)} MB free, the copy needs ${megabytes(needed)} MB (${perByte} x the database)`,
    { hint: `free disk, point TMPDIR at a larger one, or set ${scratchVariable}` },
  );
}

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1_000_000);
}

async function demandExtensions(server: DatabaseTarget, needs: ScratchNeeds): Promise<void> {
  const wanted = needs.extensions.map((extension) => extension.name);
  const missing = await withConnection(server, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      "SELECT w.name FROM unnest($1::text[]) AS w(name) WHERE NOT EXISTS (SELECT FROM pg_available_extensions a WHERE a.name = w.name)",
      [wanted],
    );
    return rows.map((row) => row.name);
  });
  if (missing.length === 0) return;
  throw new UsageError(
    `no scratch server: ${describeTarget(server)} lacks the extension(s) ${missing.join(", ")} that the database uses`,
    { hint: `set ${scratchVariable} to a server that has them, or verification.depth: 3 in the stack's config` },
  );
}

/**
 * `CREATE DATABASE` from template0 with the source's encoding and locale; where this machine lacks the
 * locale, C: rows and keys are the same, only sorted text is not.
 */
export async function createDatabaseLike(
  server: DatabaseTarget,
  database: string,
  like: Omit<DatabaseForm, "databaseBytes">,
): Promise<string[]> {
  return withConnection(server, async (client) => {
    const provider =
      like.localeProvider === "libc" || like.locale === null
        ? ""
        : ` LOCALE_PROVIDER ${like.localeProvider} ${like.localeProvider}_LOCALE ${quoteLiteral(like.locale)}`;
    const create = (collate: string, ctype: string, more: string): Promise<unknown> =>
      client.query(
        `CREATE DATABASE ${quoteIdentifier(database)} TEMPLATE template0 ENCODING ${quoteLiteral(like.encoding)}
           LC_COLLATE ${quoteLiteral(collate)} LC_CTYPE ${quoteLiteral(ctype)}${more}`,
      );
    try {
      await create(like.collate, like.ctype, provider);
      return [];
    } catch (error) {
      if (!(error instanceof Error) || !/locale|ICU/.test(error.message)) throw error;
      await create("C", "C", "");
      return [
        `locale ${like.locale ?? like.collate} is not on this machine: the copy sorts text bytewise (C); rows and keys are unaffected`,
      ];
    }
  });
}
