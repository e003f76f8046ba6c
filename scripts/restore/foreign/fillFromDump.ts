/**
 * Runs a dump in the transaction of a session, and proves what can be proven without a fingerprint: the file was whole, every
 * table has the rows that it holds for it, and the constraints hold.
 */
import { startProgress } from "../../backup/progress";
import { Refusal } from "../../contract/failure";
import { withConnection } from "../../database/connect";
import { readCapacity } from "../../database/jobs";
import { findPostgres } from "../../database/postgresPrograms";
import type { PsqlSession } from "../../database/psqlSession";
import type { Queryable } from "../../database/queryable";
import { displayName, quoteName } from "../../database/sqlText";
import type { DatabaseTarget } from "../../database/target";
import type { AlreadyThere, DumpSummary, DumpedTable } from "./dumpScript";
import { readDump } from "./readDump";
import type { RecognisedDump } from "./recognise";

export interface ProvenDump {
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
}

export interface FillOptions {
  readonly dump: RecognisedDump;
  /** What `inspectDump` returned: how much there is to read. */
  readonly summary: DumpSummary;
  readonly binDir: string;
  /** Default: what a new database has. */
  readonly there?: AlreadyThere;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

/** Client programs that fit the server. @throws UsageError when there are none. */
export async function programsFor(live: DatabaseTarget): Promise<{ binDir: string; serverMajor: number }> {
  const { serverMajor } = await withConnection(live, readCapacity);
  return { serverMajor, binDir: findPostgres({ atLeast: serverMajor, use: "client" }).binDir };
}

/** @throws what `readDump` throws, for nothing proves that the file is still the same; Refusal. */
export async function fillFromDump(session: PsqlSession, options: FillOptions): Promise<ProvenDump> {
  const { dump, summary: seen, binDir, there, signal, onProgress } = options;
  const stopped = signal === undefined ? {} : { signal };
  const progress = startProgress("restored", seen.bytes, onProgress);
  try {
    const summary = await readDump(dump, { binDir, ...(there === undefined ? {} : { there }), ...stopped }, (script) =>
      session.sendAll(script, { onBytes: (bytes) => progress.add(bytes), ...stopped }),
    );
    await session.send("RESET SESSION AUTHORIZATION;\n");
    await session.pin();
    onProgress?.("counting rows, before anything is committed");
    const proven = await prove(session, summary);
    signal?.throwIfAborted();
    return proven;
  } finally {
    progress.end();
  }
}

async function prove(session: Queryable, { tables }: DumpSummary): Promise<ProvenDump> {
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
