/**
 * Restores a dump that is no backup of ours into a new database beside the live one. There is no fingerprint to compare
 * with: what is proven is that the file is whole, that every table has the rows that the file holds for it, and that the
 * constraints hold. One session of psql, in a transaction that only ends well once that was seen.
 */
import { Refusal } from "../../contract/failure";
import { withConnection } from "../../database/connect";
import { readCapacity } from "../../database/jobs";
import { findPostgres } from "../../database/postgresPrograms";
import { PsqlSession } from "../../database/psqlSession";
import type { Queryable } from "../../database/queryable";
import { displayName, quoteName } from "../../database/sqlText";
import type { DatabaseTarget } from "../../database/target";
import { readDatabaseForm } from "../../database/databaseForm";
import { type NewDatabase, makeBeside } from "../besideDatabase";
import { withSuffix } from "../databaseNames";
import { createMissingRoles } from "../restoreBackup";
import { startProgress } from "../../backup/progress";
import type { DumpSummary, DumpedTable } from "./dumpScript";
import { readDump } from "./readDump";
import type { RecognisedDump } from "./recognise";

export interface RestoreDumpOptions extends Omit<NewDatabase, "like" | "mark"> {
  readonly dump: RecognisedDump;
  /** What `inspectDump` returned: which roles there must be. */
  readonly summary: DumpSummary;
  readonly signal?: AbortSignal;
}

export interface RestoredDump {
  readonly database: string;
  /** Tables whose rows were counted and are as many as in the file. */
  readonly tables: number;
  readonly rows: number;
  /** Tables whose rows in the file cannot be counted: statements such as `INSERT … ON CONFLICT`. */
  readonly uncounted: readonly string[];
  /** Tables that the file defines and holds nothing for. */
  readonly withoutRows: readonly string[];
  /** Foreign keys, CHECKs, keys and exclusions that the server found to hold for every row. */
  readonly constraints: number;
  /** Those that the file says nobody ever checked (`NOT VALID`). */
  readonly unvalidated: readonly string[];
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
  return readDump(dump, { ...options, ...(await programsFor(live)) });
}

/** `crm_restored_from_monday_dump`: the same file, the same name. */
export function nameFor(live: string, file: string): string {
  const word = file.replace(/\W+/g, "_").toLowerCase();
  return withSuffix(live, `_restored_from_${word.slice(0, 24)}`);
}

/** @throws what `inspectDump` and `makeBeside` throw, for nothing proves that the file is still the same; Refusal. */
export async function restoreDump(options: RestoreDumpOptions): Promise<RestoredDump> {
  const { live, dump, summary, database, onProgress } = options;
  const like = await withConnection(live, readDatabaseForm);
  const mark = `dbprotect: restored from ${dump.path}, rows counted`;
  const { filled, notes } = await makeBeside({ ...options, like, mark }, async (target) => {
    await createMissingRoles({
      ...{ target, roles: summary.roles, superusers: [] },
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    return fill(options, target);
  });
  return { database, ...filled, notes };
}

async function programsFor(live: DatabaseTarget): Promise<{ binDir: string; serverMajor: number }> {
  const { serverMajor } = await withConnection(live, readCapacity);
  return { serverMajor, binDir: findPostgres({ atLeast: serverMajor, use: "client" }).binDir };
}

async function fill(
  { dump, summary: seen, signal, onProgress }: RestoreDumpOptions,
  target: DatabaseTarget,
): Promise<Omit<RestoredDump, "database" | "notes">> {
  const programs = await programsFor(target);
  const stopped = signal === undefined ? {} : { signal };
  const session = await PsqlSession.begin({ target, ...programs, ...stopped });
  const progress = startProgress("restored", seen.bytes, onProgress);
  try {
    const summary = await readDump(dump, { ...programs, ...stopped }, (script) =>
      session.sendAll(script, { onBytes: (bytes) => progress.add(bytes), ...stopped }),
    );
    await session.send("RESET SESSION AUTHORIZATION;\n");
    await session.pin();
    onProgress?.("counting rows, before anything is committed");
    const proven = await prove(session, summary);
    signal?.throwIfAborted();
    await session.commit();
    return proven;
  } finally {
    progress.end();
    await session.close();
  }
}

async function prove(session: Queryable, { tables }: DumpSummary): Promise<Omit<RestoredDump, "database" | "notes">> {
  const counted = tables.filter((table): table is DumpedTable & { rows: number } => typeof table.rows === "number");
  const differences: string[] = [];
  let rows = 0;
  for (const table of counted) {
    const found = await countRows(session, table);
    rows += found;
    if (found !== table.rows)
      differences.push(`table ${displayName(table)} has ${found} rows, the file holds ${table.rows} for it`);
  }
  if (differences.length > 0)
    throw new Refusal(`the restored database is not what the file holds: ${differences[0]}`, { details: differences });
  const constraints = await session.query<{ name: string; valid: boolean }>(
    `SELECT n.nspname || '.' || c.relname || '.' || k.conname AS name, k.convalidated AS valid
       FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1`,
  );
  return {
    tables: counted.length,
    rows,
    uncounted: tables.filter((table) => table.rows === null).map(displayName),
    withoutRows: tables.filter(({ defined, rows: held }) => defined && held === undefined).map(displayName),
    constraints: constraints.rows.filter(({ valid }) => valid).length,
    unvalidated: constraints.rows.filter(({ valid }) => !valid).map(({ name }) => name),
  };
}

/** Rows that were written through a divided table lie in its parts. */
async function countRows(session: Queryable, table: DumpedTable): Promise<number> {
  const { rows } = await session.query<{ rows: string }>(
    `SELECT CASE WHEN (SELECT relkind FROM pg_class WHERE oid = $1::regclass) = 'p'
                 THEN (SELECT count(*) FROM ${quoteName(table)}) ELSE (SELECT count(*) FROM ONLY ${quoteName(table)}) END::text AS rows`,
    [quoteName(table)],
  );
  return Number(rows[0]?.rows ?? 0);
}
