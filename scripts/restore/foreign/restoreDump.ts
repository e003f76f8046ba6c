/**
 * Restores a dump that is no backup of ours into a new database beside the live one, or into the live one in place of what
 * is there. One session of psql, in a transaction that only ends well once what was restored was proven.
 */
import { Refusal } from "../../contract/failure";
import { withConnection } from "../../database/connect";
import { readDatabaseForm } from "../../database/databaseForm";
import { PsqlSession } from "../../database/psqlSession";
import type { Queryable } from "../../database/queryable";
import { displayName } from "../../database/sqlText";
import { readScope } from "../../database/supabasePreset";
import { listProtectedTables } from "../../database/tables";
import type { DatabaseTarget } from "../../database/target";
import type { StatementSession } from "../../database/writeGrants";
import { readCatalog } from "../../fingerprint/catalog";
import { type NewDatabase, makeBeside } from "../besideDatabase";
import { withSuffix } from "../databaseNames";
import { goneDefinitions, platformLosses, readDefinitions } from "../inPlaceComparison";
import { dropStatements, unlinkLargeObjects } from "../ownObjects";
import { createMissingRoles, findMissingRoles, roleStatements } from "../restoreBackup";
import { holdInPlace, statementsOf } from "../restoreInPlace";
import type { AlreadyThere, DumpSummary } from "./dumpScript";
import { type ProvenDump, fillFromDump, programsFor } from "./fillFromDump";
import { readDump } from "./readDump";
import type { RecognisedDump } from "./recognise";

export interface RestoreDumpOptions extends Omit<NewDatabase, "like" | "mark"> {
  readonly dump: RecognisedDump;
  /** What `inspectDump` returned: which roles there must be. */
  readonly summary: DumpSummary;
  readonly signal?: AbortSignal;
}

export interface RestoredDump extends ProvenDump {
  readonly database: string;
  readonly notes: readonly string[];
}

/**
 * Reads all of a dump and changes nothing.
 *
 * @throws Damage when it is damaged or unfinished; Refusal when it is not of one database, or holds no rows; UsageError
 *   when it was written by a newer pg_dump than the client programs that fit the server.
 */
export async function inspectDump(
  dump: RecognisedDump,
  live: DatabaseTarget,
  options: { signal?: AbortSignal } = {},
): Promise<DumpSummary> {
  return readDump(dump, { ...options, binDir: (await programsFor(live)).binDir });
}

/** Tables of the live database that the file neither defines nor has rows for: over it they would be gone. */
export async function tablesNotIn({ tables }: DumpSummary, live: DatabaseTarget): Promise<string[]> {
  const known = new Set(tables.map(displayName));
  const there = (await withConnection(live, (client) => listProtectedTables(client))).map(displayName);
  return there.filter((name) => !known.has(name)).sort();
}

/** `crm_restored_from_monday_dump`: the same file, the same name. */
export function nameFor(live: string, file: string): string {
  const word = file.replace(/\W+/g, "_").toLowerCase();
  return withSuffix(live, `_restored_from_${word.slice(0, 24)}`);
}

/** The comment of a database that was made from the file. */
export function countedMark({ path }: RecognisedDump): string {
  return `dbprotect: restored from ${path}, rows counted`;
}

/** @throws what `inspectDump` and `makeBeside` throw, for nothing proves that the file is still the same; Refusal. */
export async function restoreDump(options: RestoreDumpOptions): Promise<RestoredDump> {
  const { live, dump, summary, database, signal, onProgress } = options;
  const like = await withConnection(live, readDatabaseForm);
  const { filled, notes } = await makeBeside({ ...options, like, mark: countedMark(dump) }, async (target) => {
    await createMissingRoles({
      ...{ target, roles: summary.roles, superusers: [] },
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    return inTransaction(target, signal, (session, binDir) => fillFromDump(session, { ...options, binDir }));
  });
  return { database, ...filled, notes };
}

export interface DumpInPlaceOptions {
  readonly dump: RecognisedDump;
  readonly summary: DumpSummary;
  /** The database whose contents are replaced. */
  readonly live: DatabaseTarget;
  /** Runs in the transaction, on what was proven already; whoever throws keeps everything as it was. */
  readonly beforeCommit?: (session: StatementSession) => Promise<void>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

/**
 * Everything that is the role's own is dropped; extensions stay, and schemas in which they are. What is the platform's is
 * neither changed nor filled: a file that holds definitions of it is refused by the server, as a whole.
 *
 * @throws Refusal when the server refuses a statement, or something of the platform's would go; what `inspectDump` throws.
 *   Nothing was changed then.
 */
export async function restoreDumpInPlace(
  options: DumpInPlaceOptions,
): Promise<ProvenDump & { readonly notes: readonly string[] }> {
  const { live, summary, signal, onProgress } = options;
  const missingRoles = await findMissingRoles(live, summary.roles);
  return inTransaction(live, signal, async (session, binDir) => {
    await holdInPlace(session);
    const before = await readDefinitions(session);
    onProgress?.("dropping what is replaced");
    const kept = await dropForDump(session, summary, missingRoles);
    const there = { ...kept, otherRoles: new Set(before.platform.roles) };
    const proven = await fillFromDump(session, { ...options, binDir, there });
    const losses = await platformLosses(session, before);
    if (losses.length > 0) throw new Refusal(`${losses[0]}; nothing was changed`, { details: losses });
    const gone = goneDefinitions(before.inBackups, await readCatalog(session));
    await options.beforeCommit?.(statementsOf(session));
    signal?.throwIfAborted();
    return { ...proven, notes: gone.map(describeGone) };
  });
}

export function describeGone(item: string): string {
  return `${item} is gone: the file does not have it`;
}

async function dropForDump(
  session: PsqlSession,
  summary: DumpSummary,
  missingRoles: readonly string[],
): Promise<Omit<AlreadyThere, "otherRoles">> {
  const extensions = await namesOf(session, "SELECT extname::text AS name FROM pg_extension");
  const used = await namesOf(
    session,
    `SELECT n.nspname::text AS name FROM pg_namespace n
      WHERE EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = n.oid)
         OR EXISTS (SELECT FROM pg_default_acl d WHERE d.defaclnamespace = n.oid AND NOT pg_has_role(d.defaclrole, 'USAGE'))`,
  );
  const statements = await dropStatements(session, {
    ...{ scope: await readScope(session), extensions, schemas: [...used, ...summary.schemas] },
  });
  const created = await roleStatements(session, session.target, missingRoles);
  await session.send([...created, ...statements, unlinkLargeObjects].map((line) => `${line};\n`).join(""));
  const schemas = await namesOf(session, "SELECT nspname::text AS name FROM pg_namespace");
  return { schemas: new Set(schemas), extensions: new Set(extensions) };
}

async function namesOf(session: Queryable, query: string): Promise<string[]> {
  return (await session.query<{ name: string }>(query)).rows.map(({ name }) => name);
}

/** Commits what `work` did; whatever goes wrong, nothing of it stays. */
async function inTransaction<T>(
  target: DatabaseTarget,
  signal: AbortSignal | undefined,
  work: (session: PsqlSession, binDir: string) => Promise<T>,
): Promise<T> {
  const programs = await programsFor(target);
  const session = await PsqlSession.begin({ target, ...programs, ...(signal === undefined ? {} : { signal }) });
  try {
    const done = await work(session, programs.binDir);
    await session.commit();
    return done;
  } finally {
    await session.close();
  }
}
