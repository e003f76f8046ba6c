/**
 * The trial: pending migrations run on a throwaway copy of the restored database, as they would in production, and what
 * that did is compared by content. It sees what no parser can: what a statement does to these rows, through triggers,
 * cascades and functions of the live database.
 */
import type { Client } from "pg";
import type { Manifest } from "../backup/manifest";
import { Interrupted, exitCode } from "../contract/failure";
import { withConnection } from "../database/connect";
import { quoteIdentifier, quoteLiteral } from "../database/sqlText";
import type { DatabaseTarget } from "../database/target";
import { readCatalog } from "../fingerprint/catalog";
import type { Fingerprint } from "../fingerprint/fingerprint";
import { listSequences } from "../database/tables";
import type { Trial } from "../record/trial";
import { type ScratchPlace, onThrowawayCopy, scratchTarget } from "../scratch/scratchServer";
import type { JudgedStatement } from "../verification/catalogLosses";
import { changedColumns } from "../verification/changedColumns";
import { compareWithLive } from "../verification/liveComparison";
import type { TableComparison } from "../verification/tableComparison";
import { MigrationFailed, applyMigrations } from "./apply";
import { type HeldLock, LockWatch } from "./lockWatch";
import { SyntaxFault, loadParser, parseStatements } from "./parser";
import { SourceText } from "./sourceText";
import type { Migration } from "./sources";
import { leavesDatabase } from "./transactionMode";

export interface TrialOptions {
  /** The restored copy; it stays as it is, and nobody may be connected to it. */
  readonly scratch: ScratchPlace;
  /** The fingerprint and the manifest of the backup that it was restored from. */
  readonly fingerprint: Fingerprint;
  readonly manifest: Pick<Manifest, "database" | "snapshot" | "tables">;
  /** The live database: only its session settings are read. */
  readonly live: DatabaseTarget;
  readonly pending: readonly Migration[];
  /** What the static judge said of them. */
  readonly judged: readonly JudgedStatement[];
  /** As in production. */
  readonly lockTimeoutSeconds: number;
  readonly signal?: AbortSignal;
}

type Finding = Trial["findings"][number];

/**
 * The scratch server's superuser runs them, with the session settings of the live database's role: a right that the role
 * lacks shows only at the release.
 *
 * @throws UsageError when the disk has no room for the copy; Interrupted; what a lost connection is.
 */
export async function tryMigrations(options: TrialOptions): Promise<Trial> {
  const original = scratchTarget(options.scratch);
  const { before, roles } = await withConnection(original, async (client) => ({
    before: { catalog: await readCatalog(client), sequences: await listSequences(client) },
    roles: await listRoles(client),
  }));
  const settings = await readSessionSettings(options.live);
  try {
    return await onThrowawayCopy(options.scratch, async (copy) => {
      await setForSessions(copy, settings);
      const run = await runPending(copy, options);
      const comparison = await compareWithLive({
        fingerprint: { ...options.fingerprint, ...before },
        manifest: options.manifest,
        live: copy,
        copy: async () => original,
        policies: {}, // what live traffic may delete, a migration may not
        judged: options.judged,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      const { signal } = options;
      const changed = comparison.tables.filter((table) => table.changed > 0 && table.failure === null);
      const columns: Finding[] = [];
      for (const { table } of changed) {
        const fingerprint = options.fingerprint.tables.find((one) => `${one.schema}.${one.name}` === table)!;
        columns.push(...(await changedColumns(original, copy, fingerprint, signal)).map(columnFinding(table)));
      }
      return {
        files: run.files,
        locks: run.locks,
        findings: [
          ...run.findings,
          ...comparison.tables.flatMap(lossOf),
          ...columns,
          ...comparison.failures.map((message) => ({ id: objectOf(message), message })),
        ],
        explained: [...comparison.explained],
        definitions: [...comparison.catalogChanges],
      };
    });
  } finally {
    await dropNewRoles(original, roles, options.pending);
  }
}

/** One line: `trial: 2 file(s) ran in 0.4 s, nothing lost`. */
export function summarizeTrial({ files, findings }: Trial): string {
  const seconds = files.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000;
  const ran = `${files.length} file(s) ran in ${seconds.toFixed(1)} s on the restored copy`;
  return findings.length === 0 ? `${ran}: nothing is lost` : `${ran}: ${findings.length} finding(s)`;
}

/** Lines for people: how long each file took, what it locked, what it changed. */
export function trialEvidence({ files, locks, explained, definitions }: Trial): string[] {
  return [
    ...files.map(({ file, milliseconds }) => `${file}: ${milliseconds} ms`),
    ...locks.map(describeLock),
    ...explained.map((line) => `explained: ${line}`),
    ...definitions.map((line) => `definition: ${line}`),
  ];
}

function describeLock({ table, mode, milliseconds }: HeldLock): string {
  const blocked: Readonly<Record<string, string>> = {
    "ACCESS EXCLUSIVE": ": readers and writers wait",
    EXCLUSIVE: ": writers wait",
    "SHARE ROW EXCLUSIVE": ": writers wait",
    SHARE: ": writers wait",
  };
  return `lock: ${table} ${mode} for ${milliseconds} ms${blocked[mode] ?? ""}`;
}

interface Run {
  readonly files: Trial["files"];
  readonly locks: HeldLock[];
  /** Of a file that could not be run to its end. */
  readonly findings: Finding[];
}

async function runPending(copy: DatabaseTarget, options: TrialOptions): Promise<Run> {
  const { lockTimeoutSeconds, signal } = options;
  await loadParser();
  const barrier = options.pending.findIndex(isBeyondDatabase);
  const runnable = barrier < 0 ? options.pending : options.pending.slice(0, barrier);
  const findings = options.pending.slice(runnable.length).map(({ file }, place) => ({
    id: `${file}:not-tried`,
    message: `${file}: not tried: ${place === 0 ? "it acts on more than this database" : `it follows ${options.pending[barrier]!.file}`}`,
  }));
  return withConnection(
    copy,
    async (client) =>
      withConnection(copy, async (watcher) => {
        const watch = await LockWatch.start(client, watcher);
        const files: { file: string; milliseconds: number }[] = [];
        let started = performance.now();
        try {
          await applyMigrations(client, runnable, {
            lockTimeoutSeconds,
            beforeCommit: () => watch.beforeCommit(),
            onApplied: (file) => {
              watch.ended();
              files.push({ file, milliseconds: Math.round(performance.now() - started) });
              started = performance.now();
            },
            ...(signal === undefined ? {} : { signal }),
          });
        } catch (error) {
          if (!(error instanceof MigrationFailed) || error.exitCode === exitCode.unreachable) throw error;
          if (signal?.aborted === true) throw new Interrupted("interrupted", { cause: error });
          findings.unshift({ id: `${error.file}:fails`, message: error.message });
        }
        return { files, locks: await watch.stop(), findings };
      }),
    "plain",
  );
}

/** A file that does not parse cannot be run either: `applyMigrations` says so, with its place. */
function isBeyondDatabase({ file, sql }: Migration): boolean {
  try {
    return parseStatements(new SourceText(file, sql)).some(({ node }) => leavesDatabase(node));
  } catch (error) {
    if (error instanceof SyntaxFault) return false;
    throw error;
  }
}

function lossOf({ table, failure, missing, missingKeys, rowsBefore }: TableComparison): Finding[] {
  if (failure === null) return [];
  const keys = missingKeys.slice(0, 5).join(", ");
  const rows = missing > 0 && keys !== "" ? `${missing} of ${rowsBefore} row(s) are lost: ${keys}` : failure;
  return [{ id: table, message: `${table}: ${rows}${missing > 5 && keys !== "" ? ", …" : ""}` }];
}

const columnFinding =
  (table: string) =>
  ({ column, rows }: { column: string; rows: number }): Finding => ({
    id: `${table}.${column}`,
    message: `${table}: ${rows} row(s) have another value in ${column}`,
  });

/** Messages begin with the object or what it was: `sequence public.a fell back to …`. */
function objectOf(message: string): string {
  return /(\S+\.\S+)/.exec(message)?.[1] ?? message;
}

interface SessionSetting {
  readonly name: string;
  readonly value: string;
}

/** Lists of names are written as they are: quoted whole, they would be one name. The other such settings load libraries. */
const listOfNames = "search_path";

/** What the live database's role gets at the start of a session, by ALTER DATABASE and ALTER ROLE. */
function readSessionSettings(live: DatabaseTarget): Promise<SessionSetting[]> {
  return withConnection(
    live,
    async (client) => {
      const { rows } = await client.query<SessionSetting>(
        `SELECT name, pg_catalog.current_setting(name) AS value FROM pg_catalog.pg_settings
          WHERE source IN ('database', 'user', 'database user') AND context IN ('user', 'superuser')
            AND name NOT LIKE '%\\_libraries' AND name NOT IN ('role', 'session_authorization', 'temp_tablespaces')`,
      );
      return rows;
    },
    "plain",
  );
}

/** As defaults of the copy, so that `RESET ALL` leads to them, as it does in production. */
async function setForSessions(copy: DatabaseTarget, settings: readonly SessionSetting[]): Promise<void> {
  if (settings.length === 0) return;
  await withConnection(copy, async (client) => {
    const database = quoteIdentifier(copy.database);
    for (const { name, value } of settings) {
      const written = name === listOfNames && value !== "" ? value : quoteLiteral(value);
      // One that this server does not know, or takes no such value for, is none of the migration's.
      await client.query(`ALTER DATABASE ${database} SET ${quoteIdentifier(name)} = ${written}`).catch(() => undefined);
    }
  });
}

async function listRoles(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>("SELECT rolname AS name FROM pg_catalog.pg_roles");
  return rows.map(({ name }) => name);
}

/** Roles are the server's, not the copy's: the next trial of the same file would find them there. */
async function dropNewRoles(
  server: DatabaseTarget,
  before: readonly string[],
  pending: readonly Migration[],
): Promise<void> {
  await withConnection(server, async (client) => {
    const made = (await listRoles(client)).filter(
      (role) => !before.includes(role) && pending.some(({ sql }) => sql.toLowerCase().includes(role.toLowerCase())),
    );
    // A role that somebody else uses by now stays.
    for (const role of made) await client.query(`DROP ROLE IF EXISTS ${quoteIdentifier(role)}`).catch(() => undefined);
  });
}
