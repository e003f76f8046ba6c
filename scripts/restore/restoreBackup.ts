/**
 * Puts a backup into an empty database: the roles that the server lacks, the archives, and what belongs to the database
 * itself.
 */
import { Refusal, UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { applyDatabaseProperties } from "../database/databaseProperties";
import { majorOf } from "../database/identity";
import { chooseJobs, readCapacity } from "../database/jobs";
import { findPostgres } from "../database/postgresPrograms";
import type { Queryable } from "../database/queryable";
import { quoteIdentifier } from "../database/sqlText";
import type { DatabaseTarget } from "../database/target";
import { demandIdentity } from "../backup/ageKeys";
import { type Manifest, oldestServer } from "../backup/manifest";
import type { Store } from "../store/store";
import { membershipOf, readMajor } from "./ownership";
import { restoreArchives } from "./restoreArchives";

export interface RestoreOptions {
  readonly store: Store;
  readonly manifest: Manifest;
  /** An empty database. */
  readonly target: DatabaseTarget;
  /** Archives of rows that are read, and indexes that are built, at the same time. Default: see `chooseJobs`. */
  readonly jobs?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
  /**
   * Done from when all rows are in, while indexes and constraints are made; left out where there is only one session,
   * or no other connection to be had.
   */
  readonly meanwhile?: (how: { jobs: number; serverMajor: number; signal: AbortSignal }) => Promise<void>;
}

/** The one of pg_restore that leads, and one for whoever looks on. */
const sessionsLeftFree = 2;

/**
 * @throws Damage when an archive differs from the manifest or pg_restore cannot read it.
 */
export async function restoreBackup(options: RestoreOptions): Promise<void> {
  const { manifest } = options;
  await demandIdentity(manifest.encryption?.recipients ?? [], `${manifest.name} is encrypted`);
  const { serverMajor, freeConnections } = await withConnection(options.target, readCapacity);
  demandNewEnough(manifest, serverMajor);
  const { binDir } = findPostgres({ atLeast: serverMajor, use: "client" });
  // pg_restore has a session for each job, and one that leads.
  const jobs = chooseJobs(options.jobs, freeConnections, { each: 1, once: 1 });
  const { meanwhile, ...others } = options;
  const left = Math.min(jobs, freeConnections - jobs - sessionsLeftFree);
  const besides =
    meanwhile === undefined || left < 1
      ? {}
      : { meanwhile: (signal: AbortSignal) => meanwhile({ jobs: left, serverMajor, signal }) };
  const created = await createMissingRoles({ ...options, ...manifest });
  try {
    await restoreArchives({ ...others, ...besides, binDir, jobs });
  } catch (error) {
    await demote(options.target, created).catch(() => undefined); // the first failure says more
    throw error;
  }
  await demote(options.target, created);
  const notes = await withConnection(options.target, (client) =>
    applyDatabaseProperties(client, manifest.databaseProperties),
  );
  for (const note of notes) options.onProgress?.(note);
}

/** @throws UsageError when the server is older than what wrote the archives. */
export function demandNewEnough(manifest: Manifest, serverMajor: number): void {
  const oldest = oldestServer(manifest);
  if (serverMajor >= oldest) return;
  throw new UsageError(
    `the backup is of PostgreSQL ${majorOf(manifest.database.serverVersion)}, written by pg_dump ${manifest.clientVersion}; the server to restore into is ${serverMajor}: expected ${oldest} or newer`,
  );
}

/** Roles that own or may use something in the backup and that the server lacks: `restoreBackup` creates them. */
export async function findMissingRoles(target: DatabaseTarget, roles: readonly string[]): Promise<string[]> {
  return withConnection(target, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      "SELECT w.name FROM unnest($1::text[]) AS w(name) WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = w.name)",
      [roles],
    );
    return rows.map(({ name }) => name);
  });
}

/**
 * Owners and grantees must exist before their objects; they get no right to log in from us. An event trigger or a
 * foreign-data wrapper may belong to nobody but a superuser: such roles are superusers while the restore runs.
 *
 * @returns the superusers among those that were created.
 */
export async function createMissingRoles(
  options: Pick<RestoreOptions, "target" | "onProgress"> & {
    readonly roles: readonly string[];
    readonly superusers: readonly string[];
  },
): Promise<string[]> {
  const missing = await findMissingRoles(options.target, options.roles);
  if (missing.length === 0) return [];
  const raised = await withConnection(options.target, async (client) => {
    const by = await demandMayCreate(client, options.target, missing);
    const superusers = by.superuser ? options.superusers : [];
    for (const statement of creationOf(missing, { ...by, superusers })) await client.query(statement);
    return missing.filter((name) => superusers.includes(name));
  });
  options.onProgress?.(`roles created on the server, without login: ${missing.join(", ")}`);
  return raised;
}

/**
 * What makes roles that own or may use something. Who is no superuser may give an object to a role only as a member of
 * it, which creating it no longer makes one (PostgreSQL 16's release notes): so it is granted.
 */
function creationOf(roles: readonly string[], by: Creator & { readonly superusers?: readonly string[] }): string[] {
  return roles.flatMap((role) => {
    const attribute = by.superusers?.includes(role) === true ? " SUPERUSER" : "";
    const create = `CREATE ROLE ${quoteIdentifier(role)} NOLOGIN${attribute}`;
    return by.superuser ? [create] : [create, membershipOf(role, by.serverMajor)];
  });
}

/** Whoever creates roles. */
interface Creator {
  readonly superuser: boolean;
  readonly serverMajor: number;
}

/** @throws Refusal when our role may create none. */
async function demandMayCreate(
  session: Queryable,
  { host }: DatabaseTarget,
  missing: readonly string[],
): Promise<Creator> {
  const { rows } = await session.query<{ user: string; superuser: boolean; creates: boolean }>(
    `SELECT rolname::text AS "user", rolsuper AS superuser, rolcreaterole AS creates FROM pg_roles WHERE rolname = current_user`,
  );
  const { user, superuser, creates } = rows[0]!;
  if (superuser || creates) return { superuser, serverMajor: await readMajor(session) };
  throw new Refusal(
    `the backup's objects belong to, or are granted to, roles that ${host} no longer has, and role ${user} may not create them: ${missing.join(", ")}: nothing was changed`,
    {
      hint: `as a role that may: ${missing.map((role) => `CREATE ROLE ${quoteIdentifier(role)} NOLOGIN; GRANT ${quoteIdentifier(role)} TO ${quoteIdentifier(user)};`).join(" ")}`,
    },
  );
}

/** The statements that make the missing roles in a transaction of ours. @throws what `demandMayCreate` throws. */
export async function roleStatements(
  session: Queryable,
  live: DatabaseTarget,
  missing: readonly string[],
): Promise<string[]> {
  return missing.length === 0 ? [] : creationOf(missing, await demandMayCreate(session, live, missing));
}

/** What already belongs to them stays theirs: PostgreSQL asks only when an owner is set. */
async function demote(target: DatabaseTarget, roles: readonly string[]): Promise<void> {
  if (roles.length === 0) return;
  await withConnection(target, async (client) => {
    for (const name of roles) await client.query(`ALTER ROLE ${quoteIdentifier(name)} NOSUPERUSER`);
  });
}
