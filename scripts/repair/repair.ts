/**
 * Puts back what a release lost: the missing rows, and, where asked for, former values of some columns, from the copy
 * that the gate restored. In two parts, so that a person sees what will be written before it is: the rows are staged in
 * temporary tables of one session, which later writes them in one transaction.
 */
import { existsSync } from "node:fs";
import type { Client } from "pg";
import { readManifest } from "../backup/manifest";
import { Interrupted, Refusal, Unavailable, UsageError, codeOf, messageOf } from "../contract/failure";
import { reportFile } from "../contract/reportsFolder";
import { connect } from "../database/connect";
import { databaseFailure } from "../database/databaseFailure";
import type { DatabaseTarget } from "../database/target";
import { cancelOnAbort } from "../migrations/cancelOnAbort";
import type { Receipt } from "../record/receipt";
import { isOpen, recordEvent } from "../record/releaseEvents";
import { readFingerprint } from "../restore/compareCopy";
import type { Store } from "../store/store";
import { type ComparisonInput, type LiveComparison, compareWithLive } from "../verification/liveComparison";
import { ScratchCopy } from "../verification/scratchCopy";
import { demandSameDatabase, findingsOf, identityOfReceipt, judgedStatements } from "../verification/verifyReceipt";
import { listConflicts } from "./conflicts";
import { FoundRows } from "./foundRows";
import { makePlan } from "./makePlan";
import { type RepairPlan, isEmpty, rowRepairsOf } from "./plan";
import { writeRepairFile } from "./repairFile";
import { type Statement, conflictState, countState, transactionOf } from "./script";

/** What is put back from: a receipt, or a backup together with the settings to judge by. */
export type RepairBasis = Pick<
  Receipt,
  "runId" | "releaseVersion" | "stack" | "database" | "backup" | "scratch" | "settings" | "migrations"
>;

export interface RepairInput {
  readonly store: Store;
  readonly receipt: RepairBasis;
  /** What the receipt hashes to; null: it is none, and nothing is recorded of it. */
  readonly receiptSha256: string | null;
  /**
   * The `pg_snapshot` after which changed values are nobody's damage. Default: what the first verification of the receipt
   * saw.
   */
  readonly boundary?: string;
  readonly live: DatabaseTarget;
  /** Tables whose missing rows are put back; default: those that fail the comparison. */
  readonly tables?: readonly string[];
  /** Columns that get their former values, by table. */
  readonly columns: Readonly<Record<string, readonly string[]>>;
  /** A new file to show what will be written; default `repair-<run id>.sql` beside the missing keys, replaced. */
  readonly file?: string;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

export interface PreparedRepair {
  readonly plan: RepairPlan;
  /** What the comparison found before. */
  readonly findings: readonly string[];
  /** Where it can be read what will be written; null: there is nothing to write. */
  readonly file: string | null;
  /** Lines for people; with any, `apply` refuses. */
  readonly conflicts: readonly string[];
  /**
   * Writes it, all or nothing, and compares again.
   *
   * @throws Refusal when something stands in the way; nothing is changed then.
   */
  apply(): Promise<LiveComparison>;
  /** Ends the session, and with it what was staged. */
  close(): Promise<void>;
}

/**
 * Compares, stages the lost rows and writes the file; nothing of the database is changed.
 *
 * @throws Unavailable when another repair of this database is running; UsageError when `file` is there already.
 */
export async function prepareRepair(input: RepairInput): Promise<PreparedRepair> {
  if (input.file !== undefined && existsSync(input.file))
    throw new UsageError(`--out: ${input.file} is there already: expected a new file`);
  await demandSameDatabase(input);
  const repair = new Repair(input, await connect(input.live));
  try {
    return await repair.prepare();
  } catch (error) {
    await repair.close();
    throw error;
  }
}

/** The database as the gate saw it. */
type Before = Pick<ComparisonInput, "manifest" | "fingerprint">;

class Repair {
  private readonly scratch: ScratchCopy;
  private readonly found: FoundRows;
  private opened: Promise<DatabaseTarget> | undefined;

  constructor(
    private readonly input: RepairInput,
    private readonly session: Client,
  ) {
    this.scratch = new ScratchCopy(input.store, input.receipt, input);
    this.found = new FoundRows(() => this.copy());
  }

  async prepare(): Promise<PreparedRepair> {
    const { receipt, store, onProgress } = this.input;
    await this.demandAlone();
    const manifest = await readManifest(store, receipt.backup);
    const before = { manifest, fingerprint: await readFingerprint(store, manifest) };
    onProgress(`comparing with ${receipt.backup.name}`);
    const comparison = await this.compare(before, true);
    const plan = await this.interruptible(() =>
      makePlan({
        ...this.input,
        loss: this.loss(),
        boundary: this.input.boundary ?? (this.input.receiptSha256 === null ? comparison.visibility : undefined),
        fingerprint: before.fingerprint,
        comparison,
        session: this.session,
        found: this.found,
        copy: () => this.copy(),
      }),
    );
    const conflicts = await listConflicts(rowRepairsOf(plan), this.session);
    const file = isEmpty(plan) ? null : (this.input.file ?? reportFile(`repair-${receipt.runId}.sql`));
    if (file !== null) {
      await writeRepairFile(file, plan, this.session);
      onProgress(`what will be written is in ${file}: it holds rows of the database, mode 0600`);
    }
    return {
      plan,
      findings: findingsOf(comparison),
      file,
      conflicts,
      apply: () => this.apply(plan, conflicts, before),
      close: () => this.close(),
    };
  }

  async close(): Promise<void> {
    await this.session.end().catch(() => undefined);
    await this.found.close();
    await this.scratch.close();
  }

  private loss(): string {
    const { receipt, receiptSha256 } = this.input;
    return receiptSha256 === null
      ? `what is lost since ${receipt.backup.name}`
      : `what release ${receipt.releaseVersion} lost (receipt ${receipt.runId})`;
  }

  private async apply(plan: RepairPlan, conflicts: readonly string[], before: Before): Promise<LiveComparison> {
    const { store, receipt, receiptSha256, onProgress } = this.input;
    if (conflicts.length > 0) throw refusedBy(conflicts);
    await this.interruptible(() => this.write(transactionOf(plan)));
    onProgress("committed; comparing again");
    // A closed receipt stays closed: an event would open it.
    if (receiptSha256 !== null && (await isOpen(store, receipt.runId))) {
      const done = rowRepairsOf(plan).map(({ table, rows }) => `${table.schema}.${table.name}: ${rows} row(s)`);
      await recordEvent(store, identityOfReceipt({ receipt, receiptSha256 }), "repaired", done.join("\n"));
    }
    return this.compare(before, false);
  }

  /** One transaction; each statement is sent when the one before it is done, so whoever is killed has not committed. */
  private async write(statements: readonly Statement[]): Promise<void> {
    const { signal, onProgress } = this.input;
    let committing = false;
    try {
      await this.session.query("BEGIN");
      let said = "";
      for (const { says, sql } of statements) {
        signal.throwIfAborted();
        if (says !== said) onProgress((said = says));
        await this.session.query(sql);
      }
      signal.throwIfAborted();
      onProgress("committing");
      committing = true;
      await this.session.query("COMMIT");
    } catch (error) {
      if (!committing) await this.session.query("ROLLBACK").catch(() => undefined);
      if (signal.aborted && !committing) throw new Interrupted("interrupted: nothing was changed", { cause: error });
      throw committing ? undecided(error) : failureOf(error);
    }
  }

  /** Two repairs at once would each put the same rows back. The lock ends with the session. */
  private async demandAlone(): Promise<void> {
    const { rows } = await this.session.query<{ alone: boolean }>(
      "SELECT pg_try_advisory_lock(hashtextextended('dbprotect repair', 0)) AS alone",
    );
    if (rows[0]?.alone === true) return;
    throw new Unavailable("another repair of this database is running", { hint: "wait for it to end, then try again" });
  }

  private async compare(before: Before, listen: boolean): Promise<LiveComparison> {
    const { receipt, live, columns, signal } = this.input;
    let problem: Error | undefined;
    const comparison = await compareWithLive({
      ...before,
      live,
      copy: () =>
        this.copy().catch((error: unknown) => {
          problem = error instanceof Error ? error : new Error(String(error));
          throw problem;
        }),
      policies: receipt.settings.tables,
      judged: judgedStatements(receipt),
      listenerOf: (table) =>
        listen ? this.found.listener(table, table in columns ? ["missing", "changed"] : ["missing"]) : {},
      signal,
    });
    // A verification can do without a copy to name rows from, a repair cannot.
    if (problem !== undefined) throw problem;
    return comparison;
  }

  private copy(): Promise<DatabaseTarget> {
    this.opened ??= this.scratch.open();
    return this.opened;
  }

  private interruptible<T>(work: () => Promise<T>): Promise<T> {
    return cancelOnAbort(this.session, this.input.signal, work);
  }
}

function refusedBy(conflicts: readonly string[]): Refusal {
  return new Refusal("nothing was changed: rows cannot be put back as they were", {
    details: conflicts,
    hint: "what was written after the release is not overwritten: decide for each of these rows, then try again; or edit the repair's file and run it with psql",
  });
}

/** What the server refused inside the transaction: nothing of it stays. */
function failureOf(error: unknown): unknown {
  const code = codeOf(error) ?? "";
  if (code === conflictState) return refusedBy(detailOf(error).split("\n"));
  const known = databaseFailure(error);
  if (known !== undefined) return known;
  // Values that do not fit or break a constraint; what fires on writing and fails; a server that takes no writes.
  if (code === countState || /^(2[0-9]|P0)/.test(code) || code === "42804" || code === "55006")
    return new Refusal(`nothing was changed: ${messageOf(error)}`, {
      cause: error,
      hint: "the database changed meanwhile, or the release changed what its tables take: look, then try again",
    });
  return error;
}

function detailOf(error: unknown): string {
  return error instanceof Error && "detail" in error ? String(error.detail) : messageOf(error);
}

/** The server may have committed and lost us before it could say so. */
function undecided(error: unknown): unknown {
  if (/^(2[0-9]|P0|4)/.test(codeOf(error) ?? "")) return failureOf(error);
  return new Unavailable(`whether it was committed is not known: ${messageOf(error)}`, {
    cause: error,
    hint: "run the same command again: it compares first, and puts back only what is still missing",
  });
}
