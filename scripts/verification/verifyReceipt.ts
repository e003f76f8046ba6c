/**
 * Verifies the live database against a receipt and draws the consequence: a receipt that passes is closed
 * and its scratch server ends; one that fails freezes further releases, marks the backups taken since as
 * suspect, and names the rows. Used after a release, by a release that failed, and by every gate that finds
 * an open receipt, so that no loss is laundered by a later fingerprint.
 */
import { listBackups, readManifest } from "../backup/manifest";
import { setFreeze } from "../control/freeze";
import { UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { describeIdentity, isSameDatabase, readIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import { encodeDocument } from "../store/documents";
import type { Receipt } from "../record/receipt";
import { recordEvent } from "../record/releaseEvents";
import { readFingerprint } from "../restore/compareCopy";
import { compactUtc, suspectMarkKey } from "../store/layout";
import type { Store } from "../store/store";
import { type LiveComparison, compareWithLive } from "./liveComparison";
import { MissingKeysFile } from "./missingKeysFile";
import { ScratchCopy } from "./scratchCopy";

export interface ReceiptVerificationInput {
  readonly store: Store;
  readonly receipt: Receipt;
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
}

/**
 * Compares and draws the consequence.
 *
 * @throws UsageError when the live database is not the one that the receipt speaks of.
 */
export async function verifyReceipt(input: ReceiptVerificationInput): Promise<ReceiptVerification> {
  const verification = await compareWithReceipt(input);
  if (verification.comparison.verdict === "pass")
    await closeReceipt(input.store, input.receipt, verification.comparison);
  else await freezeReleases(input.store, input.receipt, verification);
  return verification;
}

/** Nothing is open any more: the copy that could name rows is spent. */
export async function closeReceipt(store: Store, receipt: Receipt, comparison: LiveComparison): Promise<void> {
  await recordEvent(store, eventOf(receipt, "verified", summarize(comparison)));
  await new ScratchCopy(store, receipt).spend();
}

async function freezeReleases(store: Store, receipt: Receipt, verification: ReceiptVerification): Promise<void> {
  // The freeze first: whatever is interrupted after it, no further release can start.
  await setFreeze(store, {
    kind: "failed-verification",
    runId: receipt.runId,
    reason: verification.findings[0] ?? "the verification failed",
    person: null,
    missingRows: missingRowsByTable(verification.comparison),
  });
  await recordEvent(store, eventOf(receipt, "verification-failed", verification.findings.join("\n")));
  await markBackupsSince(store, receipt);
}

/** `{"public.clients": 1204}` for the tables that fail. */
export function missingRowsByTable(comparison: LiveComparison): Record<string, number> {
  const failing = comparison.tables.filter((table) => table.failure !== null);
  return Object.fromEntries(failing.map((table) => [table.table, table.missing]));
}

/** Compares only: nothing is recorded, nothing frozen, nothing ended. */
export async function compareWithReceipt(input: ReceiptVerificationInput): Promise<ReceiptVerification> {
  const { store, receipt } = input;
  await demandSameDatabase(input);
  const manifest = await readManifest(store, receipt.backup);
  const copy = new ScratchCopy(store, receipt, input);
  const keys = new MissingKeysFile(receipt.runId);
  try {
    const comparison = await compareWithLive({
      fingerprint: await readFingerprint(store, manifest),
      live: input.live,
      copy: () => copy.open(),
      policies: receipt.settings.tables,
      onMissing: (table, key) => keys.add(table, key),
      ...(input.signal === undefined ? {} : { signal: input.signal }),
    });
    return { comparison, findings: findingsOf(comparison), missingKeysFile: await keys.close() };
  } finally {
    await keys.close();
    await copy.close();
  }
}

async function demandSameDatabase({ receipt, live }: ReceiptVerificationInput): Promise<void> {
  const identity = await withConnection(live, (client) => readIdentity(client, live));
  if (isSameDatabase(identity, receipt.database)) return;
  throw new UsageError(
    `${live.source}: found ${describeIdentity(identity)}: expected the database of receipt ${receipt.runId}, ${describeIdentity(receipt.database)}`,
  );
}

function findingsOf(comparison: LiveComparison): string[] {
  const tables = comparison.tables
    .filter((table) => table.failure !== null)
    .map((table) => {
      const keys =
        table.missingKeys.length === 0
          ? ""
          : `: ${table.missingKeys.join(", ")}${table.missing > table.missingKeys.length ? ", …" : ""}`;
      return `${table.table}: ${table.failure ?? ""}${keys}`;
    });
  return [...tables, ...comparison.failures];
}

export function summarize(comparison: LiveComparison): string {
  const rows = comparison.tables.reduce((sum, table) => sum + table.rowsBefore, 0);
  const [changed, added, allowed] = (["changed", "added", "missing"] as const).map((field) =>
    comparison.tables.reduce((sum, table) => sum + table[field], 0),
  );
  return `all ${rows} rows of the snapshot accounted for in ${comparison.tables.length} tables; since then ${changed} changed, ${added} added, ${allowed} deleted as allowed`;
}

function eventOf(receipt: Receipt, event: string, detail: string): Parameters<typeof recordEvent>[1] {
  return { event, runId: receipt.runId, releaseVersion: receipt.releaseVersion, detail };
}

/** A backup taken after the gate's own may hold the damage; it stays, but nobody restores it unknowing. */
async function markBackupsSince(store: Store, receipt: Receipt): Promise<void> {
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
