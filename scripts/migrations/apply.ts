/**
 * Applies migrations: each file in one transaction with its row in the ledger, under a lock that only one
 * run holds. What failed leaves nothing behind; what was applied before it stays, and a further run goes on
 * from there.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, DatabaseError } from "pg";
import { type ExitCode, Failure, Interrupted, Unavailable, codeOf, exitCode, messageOf } from "../contract/failure";
import { isConnectionLoss } from "../database/connect";
import { cancelOnAbort } from "./cancelOnAbort";
import { dropInvalidRemains } from "./concurrentIndex";
import { appliedVersions, ensureLedger, recordApplied } from "./ledger";
import { type ParsedStatement, SyntaxFault, loadParser, parseStatements } from "./parser";
import { StatementFailed, runText } from "./runText";
import { SourceText } from "./sourceText";
import type { Migration } from "./sources";
import { type RunPlan, planRun } from "./transactionMode";

export interface ApplyOptions {
  /** Seconds that a statement may wait for a lock before its file is rolled back. Not for statements that run alone. */
  readonly lockTimeoutSeconds: number;
  /** Seconds that a statement may run. Not for statements that run alone: an index takes as long as it takes. Default: no limit. */
  readonly statementTimeoutSeconds?: number;
  /** How often a file that gave up on a lock is tried again, after 1, 2, 4 … seconds, at most 30. Default 0. */
  readonly lockRetries?: number;
  /** Told before each such wait. */
  readonly onRetry?: (line: string) => void;
  /** Waited for inside the transaction of each file that has one, after its last statement: a trial looks there. */
  readonly beforeCommit?: () => Promise<void>;
  /** Told of each file as soon as it is committed. */
  readonly onApplied?: (file: string) => void;
  /** Aborted: the running statement is cancelled, its file rolled back, and no further file begins. */
  readonly signal?: AbortSignal;
}

export interface ApplyOutcome {
  /** Files applied by this run, in order; one that the ledger knew by then is not among them. */
  readonly applied: readonly string[];
}

/** A file was not applied (exit 1; 3 where a lock or the connection was the reason). Those before it were. */
export class MigrationFailed extends Failure {
  readonly exitCode: ExitCode;
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  readonly column: number;
  /** The line and, below it, a caret. */
  readonly excerpt: string;
  /** Files that this run had applied before. */
  readonly applied: readonly string[];

  constructor(at: FailurePoint, applied: readonly string[]) {
    super(`${at.source.file}:${at.line}:${at.column}: ${at.message} (${before(applied)})`, {
      cause: at.cause,
      ...hintFor(at.cause),
    });
    this.exitCode = isBusy(at.cause) ? exitCode.unreachable : exitCode.refused;
    this.file = at.source.file;
    this.line = at.line;
    this.column = at.column;
    this.excerpt = at.excerpt;
    this.applied = applied;
  }
}

interface FailurePoint {
  readonly source: SourceText;
  readonly line: number;
  readonly column: number;
  readonly excerpt: string;
  readonly message: string;
  readonly cause: unknown;
}

/** "dbpr", "migr" in ASCII: the two keys of the session's advisory lock. */
const lockKeys = [0x64627072, 0x6d696772];

/**
 * Applies `pending` in the given order. `client` is a connection of its own, outside a transaction, to the
 * server itself (a transaction pooler would lose the lock); its session settings are reset before each file.
 *
 * @throws Unavailable when another run holds the lock.
 * @throws MigrationFailed at the first file that cannot be applied.
 * @throws Interrupted when the signal is aborted before all are applied.
 */
export async function applyMigrations(
  client: Client,
  pending: readonly Migration[],
  options: ApplyOptions,
): Promise<ApplyOutcome> {
  await loadParser();
  const lock = await client.query<{ held: boolean }>(
    "SELECT pg_catalog.pg_try_advisory_lock($1, $2) AS held",
    lockKeys,
  );
  if (lock.rows[0]?.held !== true) {
    throw new Unavailable("another run is applying migrations to this database", {
      hint: "wait for it to end, then run this again: what it applied is skipped",
    });
  }
  try {
    return { applied: await cancelOnAbort(client, options.signal, () => applyAll(client, pending, options)) };
  } finally {
    // A lost connection has given the lock back already.
    await client.query("SELECT pg_catalog.pg_advisory_unlock($1, $2)", lockKeys).catch(() => undefined);
  }
}

async function applyAll(
  client: Client,
  pending: readonly Migration[],
  options: ApplyOptions,
): Promise<readonly string[]> {
  const applied: string[] = [];
  if (pending.length === 0) return applied;
  await ensureLedger(client);
  // `pending` was told before the lock was ours.
  const known = new Set(await appliedVersions(client));
  for (const migration of pending.filter(({ version }) => !known.has(version))) {
    demandNoAbort(options.signal, migration.file, applied);
    await applyPatiently(client, migration, options, applied).catch((error: unknown) => {
      // What else made it fail is worth more than that it was interrupted as well.
      if (isCancelled(error)) demandNoAbort(options.signal, migration.file, applied);
      throw error;
    });
    applied.push(migration.file);
    options.onApplied?.(migration.file);
  }
  return applied;
}

/** Whoever waits for a lock makes everybody behind it wait as well: better to let them pass, and to come again. */
async function applyPatiently(
  client: Client,
  migration: Migration,
  options: ApplyOptions,
  applied: readonly string[],
): Promise<void> {
  const { lockRetries = 0, signal, onRetry } = options;
  for (let attempt = 0; ; attempt++) {
    try {
      await applyOne(client, migration, options, applied);
      return;
    } catch (error) {
      if (!(error instanceof MigrationFailed) || !isPassing(error.cause) || attempt >= lockRetries) throw error;
      const seconds = Math.min(2 ** attempt, 30);
      onRetry?.(`${migration.file}: ${messageOf(error.cause)}: rolled back, tried again in ${seconds} s`);
      await sleep(seconds * 1000, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
      demandNoAbort(signal, migration.file, applied);
    }
  }
}

/** 55P03: lock_timeout. 40P01: deadlock. Both leave nothing behind. */
function isPassing(error: unknown): boolean {
  return ["55P03", "40P01"].includes(codeOf(error) ?? "");
}

function demandNoAbort(signal: AbortSignal | undefined, file: string, applied: readonly string[]): void {
  if (signal?.aborted === true) throw new Interrupted(`interrupted: ${file} was not applied (${before(applied)})`);
}

function before(applied: readonly string[]): string {
  return applied.length === 0 ? "nothing was applied" : `applied before it: ${applied.join(", ")}`;
}

/** 57014: query_canceled; the connection is lost where it could not be cancelled. */
function isCancelled(error: unknown): boolean {
  const cause = error instanceof MigrationFailed ? error.cause : error;
  return error instanceof Interrupted || codeOf(cause) === "57014" || isConnectionLoss(cause);
}

async function applyOne(
  client: Client,
  migration: Migration,
  options: ApplyOptions,
  applied: readonly string[],
): Promise<void> {
  const source = new SourceText(migration.file, migration.sql);
  const plan = planOf(source, applied);
  const run = {
    client,
    migration,
    source,
    plan,
    statements: statementTexts(source, plan),
    applied,
    signal: options.signal,
  };
  // As the Supabase CLI does, and more: nothing that one file sets reaches the next.
  await client.query("RESET ALL; RESET SESSION AUTHORIZATION; RESET ROLE; DISCARD TEMP; DEALLOCATE ALL");
  if (plan.mode === "alone") await runAlone(run);
  else await runInTransaction(run, options);
}

interface Run {
  readonly client: Client;
  readonly migration: Migration;
  readonly source: SourceText;
  readonly plan: RunPlan;
  /** What the ledger keeps. */
  readonly statements: readonly string[];
  readonly applied: readonly string[];
  readonly signal: AbortSignal | undefined;
}

async function runInTransaction(
  run: Run,
  { lockTimeoutSeconds, statementTimeoutSeconds, beforeCommit }: ApplyOptions,
): Promise<void> {
  const { client, migration, source, plan } = run;
  const [first, last] = [plan.statements[0], plan.statements.at(-1)];
  const start = source.indexOfByte(first?.start ?? 0);
  try {
    await client.query("BEGIN");
    await client.query(`SET LOCAL lock_timeout = ${Math.round(lockTimeoutSeconds * 1000)}; ${readAsParsed}`);
    if (statementTimeoutSeconds !== undefined) {
      await client.query(`SET LOCAL statement_timeout = ${Math.round(statementTimeoutSeconds * 1000)}`);
    }
    // First, so that what the file sets (role, search_path) cannot keep the row out; and whoever else applies
    // the same version waits here instead of running it twice.
    await recordApplied(client, migration, run.statements);
    demandNoAbort(run.signal, migration.file, run.applied);
    await runText(client, source.text.slice(start, source.indexOfByte(last?.end ?? 0)));
    demandNoAbort(run.signal, migration.file, run.applied);
    await beforeCommit?.();
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    if (error instanceof Interrupted) throw error;
    throw new MigrationFailed(failurePoint(source, error, start, plan.statements), run.applied);
  }
}

/** Not in a transaction: the row follows the statement. Between the two an interruption leaves it pending. */
async function runAlone(run: Run): Promise<void> {
  const { client, migration, source, plan } = run;
  await client.query(readAsParsed.replace("LOCAL ", ""));
  for (const statement of plan.statements) {
    const start = source.indexOfByte(statement.start);
    demandNoAbort(run.signal, migration.file, run.applied);
    try {
      await dropInvalidRemains(client, statement);
      await runText(client, source.text.slice(start, source.indexOfByte(statement.end)));
    } catch (error) {
      await dropInvalidRemains(client, statement).catch(() => undefined);
      if (error instanceof Unavailable) throw error;
      throw new MigrationFailed(failurePoint(source, error, start, [statement]), run.applied);
    }
  }
  await recordApplied(client, migration, run.statements);
}

/** The parser reads backslashes in strings as the standard says: so must the server. */
const readAsParsed = "SET LOCAL standard_conforming_strings = on";

function planOf(source: SourceText, applied: readonly string[]): RunPlan {
  let plan: RunPlan;
  try {
    plan = planRun(parseStatements(source));
  } catch (error) {
    if (!(error instanceof SyntaxFault)) throw error;
    throw new MigrationFailed({ source, ...source.place(error.index), message: error.message, cause: error }, applied);
  }
  const fault = plan.faults[0];
  if (fault === undefined) return plan;
  const place = source.place(source.indexOfByte(fault.statement.start));
  throw new MigrationFailed({ source, ...place, message: fault.reason, cause: undefined }, applied);
}

/** With the comments before each statement, without the semicolons between them. */
function statementTexts(source: SourceText, plan: RunPlan): string[] {
  let end = plan.start;
  return plan.statements.map((statement) => {
    const text = source.sliceBytes(end, statement.end);
    end = statement.end;
    return text.replace(/^[\s;]+/, "").trim();
  });
}

/** The server's own place, else the statement that failed; a failing COMMIT is the last statement's. */
function failurePoint(
  source: SourceText,
  error: unknown,
  start: number,
  statements: readonly ParsedStatement[],
): FailurePoint {
  const failed = error instanceof StatementFailed ? error : undefined;
  const cause = failed?.cause ?? error;
  const statement = statements[Math.min(failed?.completed ?? statements.length, statements.length - 1)];
  const index =
    failed?.position === undefined
      ? source.indexOfByte(statement?.start ?? 0)
      : start + new SourceText("", source.text.slice(start)).indexOfCharacter(failed.position);
  return { source, ...source.place(index), message: describe(cause), cause };
}

function describe(error: unknown): string {
  const detail = error instanceof DatabaseError ? error.detail : undefined;
  const where = error instanceof DatabaseError ? error.where?.replaceAll("\n", ", ") : undefined;
  return [messageOf(error), detail, where].filter((part) => part !== undefined).join("; ");
}

/** 23505 on the ledger: another tool applied the same version meanwhile. */
function isBusy(error: unknown): boolean {
  if (isConnectionLoss(error) || isPassing(error)) return true;
  return error instanceof DatabaseError && error.schema === "supabase_migrations" && error.code === "23505";
}

function hintFor(error: unknown): { hint?: string } {
  if (codeOf(error) === "55P03")
    return { hint: "another session holds the lock: run this again, or at a quieter time" };
  // A person's Ctrl-C says the same, but is told as an interruption.
  if (codeOf(error) === "57014" && /statement timeout/.test(messageOf(error)))
    return { hint: "the file was rolled back: raise migrations.statementTimeoutSeconds, or do it in smaller files" };
  if (codeOf(error) === "42P07")
    return { hint: "if an interrupted run made it, IF NOT EXISTS lets the file run again" };
  const hint = error instanceof DatabaseError ? error.hint : undefined;
  return hint === undefined ? {} : { hint };
}
