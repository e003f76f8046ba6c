/**
 * Verifies the live database against a receipt and draws the consequence: a receipt that passes is closed
 * and its scratch server ends; one that fails freezes further releases, marks the backups taken since as
 * suspect, and names the rows. Used after a release, by a release that failed, and by every gate that finds
 * an open receipt, so that no loss is laundered by a later fingerprint.
 */
import { listBackups, readManifest } from "../backup/manifest";
import { setFreeze } from "../control/freeze";
import { Unavailable, UsageError, messageOf } from "../contract/failure";
import { withConnection } from "../database/connect";
import { describeIdentity, isSameDatabase, readIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import type { WriteGrant } from "../database/writeGrants";
import { encodeDocument } from "../store/documents";
import { type ComparisonRecord, comparisonRecordSchema } from "../record/comparisonRecord";
import type { Receipt } from "../record/receipt";
import { openForReceipt } from "../record/incident";
import { type RunIdentity, lastNumber, recordEvent } from "../record/releaseEvents";
import { tellOfIncident } from "../record/incidentNotice";
import { tellTeam } from "../record/teamNotice";
import { readFingerprint } from "../restore/compareCopy";
import { compactUtc, suspectMarkKey } from "../store/layout";
import type { Store } from "../store/store";
import { impactOf, notComparedIn } from "./impact";
import { type LiveComparison, compareWithLive } from "./liveComparison";
import type { JudgedStatement } from "./catalogLosses";
import { MissingKeysFile } from "./missingKeysFile";
import { type CopiedBackup, ScratchCopy } from "./scratchCopy";
import type { TablePolicies } from "./tablePolicies";

export interface ReceiptVerificationInput {
  readonly store: Store;
  readonly receipt: Receipt;
  /** What the receipt hashes to. */
  readonly receiptSha256: string;
  readonly live: DatabaseTarget;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

export interface ReceiptVerification {
  readonly comparison: LiveComparison;
  /** Lines for people: one for each table or object that fails, with its first missing keys. */
  readonly findings: readonly string[];
  /** Where all missing keys are; null: none is missing. */
  readonly missingKeysFile: string | null;
  /** Why that file could not be written; null: it was, or there was nothing to write. */
  readonly missingKeysProblem: string | null;
}

/**
 * Compares and draws the consequence: closes the receipt, or freezes.
 *
 * @throws UsageError when the live database is not the one that the receipt speaks of; Unavailable when the
 *   release went on meanwhile, so that the comparison proves nothing of what is live now.
 */
export async function verifyReceipt(input: ReceiptVerificationInput): Promise<ReceiptVerification> {
  const seen = await lastNumber(input.store, input.receipt.runId);
  const verification = await freezeOnLoss(input);
  if (verification.comparison.verdict === "pass") await closeReceipt(input, verification.comparison, seen);
  return verification;
}

/** Compares, and freezes when something is missing. The receipt stays open: what it guards may still go on. */
export async function freezeOnLoss(input: ReceiptVerificationInput): Promise<ReceiptVerification> {
  const verification = await compareWithReceipt(input);
  if (verification.comparison.verdict === "fail") await freezeReleases(input, verification);
  return verification;
}

/** Nothing is open any more: the copy that could name rows is spent. `seen`: the last event before the comparison. */
export async function closeReceipt(
  input: ReceiptVerificationInput,
  comparison: LiveComparison,
  seen: number,
): Promise<void> {
  const { store, receipt } = input;
  if ((await lastNumber(store, receipt.runId)) !== seen) {
    throw new Unavailable(`the release of receipt ${receipt.runId} went on while it was compared`, {
      hint: "wait until it has ended, then run the verification again",
    });
  }
  await recordEvent(store, identityOfReceipt(input), "verified", summarize(comparison), kept(comparison));
  await spendCopy(input);
}

/** What its copy costs when it cannot be ended is its time until its deadline, never the verification's verdict. */
export async function spendCopy(input: ReceiptVerificationInput): Promise<void> {
  try {
    await new ScratchCopy(input.store, input.receipt).spend();
  } catch (error) {
    input.onProgress?.(`the scratch copy of ${input.receipt.runId} could not be ended: ${messageOf(error)}`);
  }
}

async function freezeReleases(input: ReceiptVerificationInput, verification: ReceiptVerification): Promise<void> {
  const { store, receipt } = input;
  // The freeze first: whatever is interrupted after it, no further release can start.
  await setFreeze(store, {
    kind: "failed-verification",
    runId: receipt.runId,
    reason: verification.findings[0] ?? "the verification failed",
    person: null,
    missingRows: missingRowsByTable(verification.comparison),
  });
  const findings = verification.findings.join("\n");
  await recordEvent(store, identityOfReceipt(input), "verification-failed", findings, kept(verification.comparison));
  await markBackupsSince(store, receipt);
  await openIncidentFor(input, verification.comparison);
  const missing = Object.entries(missingRowsByTable(verification.comparison)).map(
    ([table, rows]) => `${table} ${rows}`,
  );
  const rows = missing.length === 0 ? "" : ` (missing rows: ${missing.join(", ")})`;
  const text = `releases are frozen: the comparison after the release failed${rows}`;
  const { templates } = receipt.settings.communication;
  await tellTeam({ event: "frozen", text, run: receipt }, { store, templates, onProgress: input.onProgress });
}

/**
 * Opens an incident for the receipt, unless one is open. All was well when the gate looked, and something is not now: that
 * is all that is known of when it began.
 *
 * @param comparison undefined: the data was not compared, or lacks nothing; the application is what fails.
 */
export async function openIncidentFor(
  { store, receipt, onProgress }: Pick<ReceiptVerificationInput, "store" | "receipt" | "onProgress">,
  comparison: LiveComparison | undefined,
): Promise<void> {
  const { runId, releaseVersion, stack, database, backup, rollback, recoveryPoint } = receipt;
  const { id, opened } = await openForReceipt(store, runId, {
    ...{ kind: "verification", person: null, receipt: runId },
    title: `the verification of release ${releaseVersion || "(unnamed)"} of ${stack} failed`,
    began: { notBefore: recoveryPoint.utc, notAfter: new Date().toISOString() },
    ids: {
      ...{ database, release: { runId, releaseVersion, stack }, backup: backup.name },
      deployments: {
        railway: rollback.railway?.deploymentId ?? null,
        vercel: rollback.vercel?.deploymentId ?? null,
      },
    },
    impact: comparison === undefined ? [] : impactOf(comparison),
    notVerified: comparison === undefined ? ["the data was not compared again"] : notComparedIn(comparison),
  });
  const channels = {
    store,
    communication: receipt.settings.communication,
    onProgress: onProgress ?? (() => undefined),
  };
  const text = `the verification of release ${releaseVersion || runId} of ${stack} failed`;
  await tellOfIncident(id, { event: "incident-opened", key: "opened", text }, channels);
  onProgress?.(opened ? `incident ${id} is open: npm run incident -- show` : `incident ${id} is open already`);
}

/** What its event keeps of a comparison. */
function kept(comparison: LiveComparison): { visibility: string; comparison: ComparisonRecord } {
  return { visibility: comparison.visibility, comparison: comparisonRecordSchema.parse(comparison) };
}

/** `{"public.clients": 1204}` for the tables that fail. */
export function missingRowsByTable(comparison: LiveComparison): Record<string, number> {
  const failing = comparison.tables.filter((table) => table.failure !== null);
  return Object.fromEntries(failing.map((table) => [table.table, table.missing]));
}

/** Compares only: nothing is recorded, nothing frozen, nothing ended. */
export async function compareWithReceipt(input: ReceiptVerificationInput): Promise<ReceiptVerification> {
  const { receipt } = input;
  await demandSameDatabase(input);
  const policies = receipt.settings.tables;
  return compareWithBackup({ ...input, copyOf: receipt, policies, judged: judgedStatements(receipt) });
}

export interface BackupComparisonInput extends Pick<
  ReceiptVerificationInput,
  "store" | "live" | "signal" | "onProgress"
> {
  /** The backup, where its restored copy may still be, and the run after which the file with missing keys is named. */
  readonly copyOf: CopiedBackup;
  readonly policies: TablePolicies;
  /** What the judge said of the migrations since; see `findCatalogLosses`. */
  readonly judged: readonly JudgedStatement[];
  /** Rights that a write fence took for a while; default: none. */
  readonly withheld?: readonly WriteGrant[];
}

/** What the judge said of the migrations that this receipt lets a release apply. */
export function judgedStatements({ migrations }: Pick<Receipt, "migrations">): JudgedStatement[] {
  return migrations.flatMap(({ file, findings }) => findings.map((finding) => ({ file, ...finding })));
}

/** Compares the live database with a backup's fingerprint. Nothing is recorded. */
export async function compareWithBackup(input: BackupComparisonInput): Promise<ReceiptVerification> {
  const { store, copyOf, policies, judged, withheld = [] } = input;
  const manifest = await readManifest(store, copyOf.backup);
  const copy = new ScratchCopy(store, copyOf, input);
  const keys = new MissingKeysFile(copyOf.runId);
  try {
    const comparison = await compareWithLive({
      fingerprint: await readFingerprint(store, manifest),
      manifest,
      live: input.live,
      copy: () => copy.open(),
      policies,
      judged,
      withheld,
      listenerOf: (table) => ({ onMissing: (key) => keys.add(table, key) }),
      ...(input.signal === undefined ? {} : { signal: input.signal }),
    });
    const missingKeysFile = await keys.close();
    return { comparison, findings: findingsOf(comparison), missingKeysFile, missingKeysProblem: keys.problem };
  } finally {
    await keys.close();
    await copy.close();
  }
}

/** @throws UsageError when the live database is not the one that the receipt speaks of. */
export async function demandSameDatabase({
  receipt,
  live,
}: {
  readonly receipt: Pick<Receipt, "runId" | "database">;
  readonly live: DatabaseTarget;
}): Promise<void> {
  const identity = await withConnection(live, (client) => readIdentity(client, live));
  if (isSameDatabase(identity, receipt.database)) return;
  throw new UsageError(
    `${live.source}: found ${describeIdentity(identity)}: expected the database of receipt ${receipt.runId}, ${describeIdentity(receipt.database)}`,
  );
}

/** Lines for people: one for each table or object that fails, with its first missing keys. */
export function findingsOf(comparison: LiveComparison): string[] {
  const tables = comparison.tables
    .filter((table) => table.failure !== null)
    .map((table) => {
      const [shown, all] =
        table.missingKeys.length > 0 ? [table.missingKeys, table.missing] : [table.unwrittenKeys, table.unwritten];
      const keys = shown.length === 0 ? "" : `: ${shown.join(", ")}${all > shown.length ? ", …" : ""}`;
      return `${table.table}: ${table.failure ?? ""}${keys}`;
    });
  return [...tables, ...comparison.failures];
}

export function summarize(comparison: LiveComparison): string {
  const rows = comparison.tables.reduce((sum, table) => sum + table.rowsBefore, 0);
  const [changed, added, allowed] = (["changed", "added", "missing"] as const).map((field) =>
    comparison.tables.reduce((sum, table) => sum + table[field], 0),
  );
  const present = rows - (allowed ?? 0);
  const gone = allowed === 0 ? "none deleted" : `${allowed} deleted as allowed`;
  return `${present} of ${rows} rows of the snapshot are there in ${comparison.tables.length} tables, ${gone}; since then ${changed} changed, ${added} added`;
}

export function identityOfReceipt({
  receipt,
  receiptSha256,
}: {
  readonly receipt: Pick<Receipt, "runId" | "releaseVersion" | "stack">;
  readonly receiptSha256: string;
}): RunIdentity {
  const { runId, releaseVersion, stack } = receipt;
  return { runId, releaseVersion, stack, receiptSha256 };
}

/** A backup taken after the gate's own may hold the damage; it stays, but nobody restores it unknowing. */
export async function markBackupsSince(store: Store, receipt: Receipt): Promise<void> {
  for (const backup of (await listBackups(store)).filter(({ name }) => name > receipt.backup.name)) {
    const manifest = await readManifest(store, backup);
    await store.create(
      suspectMarkKey(backup.name, `${compactUtc(new Date())}-${process.pid}`),
      encodeDocument({
        schemaVersion: 1,
        backup: manifest.name,
        receipt: receipt.runId,
        reason: "taken after a release whose verification failed",
        at: new Date().toISOString(),
      }),
    );
  }
}
