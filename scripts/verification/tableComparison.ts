/**
 * What was found of one table after a release, and whether it passes: by its rows where they could be named, else by what
 * its checksums prove. Pure.
 */
import type { ProtectedTable, TableWrites } from "../database/tables";
import { differingBuckets } from "../fingerprint/compare";
import type { Coverage, TableFingerprint } from "../fingerprint/fingerprint";
import type { RowDifferences } from "../fingerprint/rowDifferences";
import type { Allowance, TablePolicy } from "../settings";

export interface TableComparison {
  readonly table: string;
  readonly coverage: Coverage;
  /** How many of the columns that the table has now were compared: those that it had in the snapshot. */
  readonly columns: { readonly compared: number; readonly before: number; readonly now: number };
  readonly rowsBefore: number;
  readonly rowsNow: number;
  readonly missing: number;
  /** Missing here and found in another partition of the same table: not lost. */
  readonly moved: number;
  readonly changed: number;
  /** Of those that changed: rows that nobody wrote since the snapshot. Damage, unless a definition explains it. */
  readonly unwritten: number;
  readonly added: number;
  /** Keys of the first missing rows, as JSON. */
  readonly missingKeys: readonly string[];
  /** Keys of the first unwritten rows, as JSON. */
  readonly unwrittenKeys: readonly string[];
  /**
   * What the server counted since the snapshot, for people: rolled back writes count, TRUNCATE does not, and nothing
   * passes or fails by it. Null: not known, or the statistics were reset.
   */
  readonly writes: TableWrites | null;
  /** Why this table fails; null: it passes. */
  readonly failure: string | null;
}

/** A dropped table or column took its content with it, whatever the policy allows rows. */
export function structuralLoss(before: TableFingerprint, now: ProtectedTable | undefined): string | undefined {
  if (now === undefined) return "the table is gone (dropped, renamed or moved)";
  const gone = before.columns.filter((column) => !now.columns.includes(column));
  return gone.length === 0 ? undefined : `column(s) gone: ${gone.join(", ")}`;
}

/**
 * Without a copy: a bucket with the same keys (their number and sum) lacks no row, and one that was empty has none to
 * lack. In every other bucket rows were added, deleted or both; sums alone don't tell which. Numbers are lower bounds.
 */
export function judgeByBuckets(
  unsuspected: TableComparison,
  { table, now, policy }: { table: TableFingerprint; now: TableFingerprint; policy: TablePolicy },
  reason: string,
): TableComparison {
  const buckets = differingBuckets(table, now);
  if (buckets.length === 0) return unsuspected;
  let [missing, changed, added, unknown] = [0, 0, 0, 0];
  for (const bucket of buckets) {
    const [, rowsBefore, keysBefore] = table.buckets.find(([number]) => number === bucket) ?? [bucket, 0, "0"];
    const [, rowsNow, keysNow] = now.buckets.find(([number]) => number === bucket) ?? [bucket, 0, "0"];
    missing += Math.max(0, rowsBefore - rowsNow);
    added += Math.max(0, rowsNow - rowsBefore);
    if (rowsBefore === rowsNow && keysBefore === keysNow) changed++;
    else if (rowsBefore > 0) unknown++;
  }
  const mayBeMissing = policy.deletes !== "any" && unknown > 0;
  const mayBeChanged = policy.updates !== "any" && changed + unknown > 0;
  const doubt = mayBeMissing ? "whether rows are missing" : "how many rows were changed";
  return {
    ...unsuspected,
    coverage: "keys",
    missing,
    changed,
    added,
    failure:
      mayBeMissing || mayBeChanged
        ? `${doubt} cannot be told: ${table.rows} rows before, ${now.rows} now, and no copy to name rows from (${reason})`
        : null,
  };
}

export function judgeRows(
  table: TableFingerprint,
  differences: RowDifferences,
  policy: TablePolicy,
  explanations: readonly string[],
): string | null {
  if (exceeds(differences.missing, policy.deletes)) {
    return table.key.length > 0
      ? `${differences.missing} row(s) of the snapshot are missing (deletes: ${policy.deletes})`
      : `the content of ${differences.missing} row(s) is no longer there; without a key an update cannot be told from a delete: add a primary key, or allow it (deletes: any)`;
  }
  if (differences.unwritten > 0 && explanations.length === 0)
    return `${differences.unwritten} row(s) have other content and nobody wrote them since the snapshot: damaged storage, or a value that reads otherwise now`;
  return exceeds(differences.changed, policy.updates)
    ? `${differences.changed} row(s) of the snapshot were changed (updates: ${policy.updates})`
    : null;
}

function exceeds(count: number, allowance: Allowance): boolean {
  if (allowance === "any") return false;
  return count > (allowance === "none" ? 0 : Number(allowance.slice(2)));
}
