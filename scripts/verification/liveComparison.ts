/**
 * Compares the live database with the snapshot that the gate took. After a release, equality is the wrong
 * question, for live traffic writes: the rule is that no row of the snapshot is missing unless the stack's
 * config allows that table deletes, and that nothing which held rows was dropped.
 */
import { Failure, Interrupted, Unavailable } from "../contract/failure";
import { connect } from "../database/connect";
import { type DatabaseSnapshot, openSnapshot, readInParallel } from "../database/snapshot";
import { displayName } from "../database/sqlText";
import { type ProtectedTable, listSequences } from "../database/tables";
import type { DatabaseTarget } from "../database/target";
import { readCatalog } from "../fingerprint/catalog";
import { type CatalogChange, catalogChanges, differingBuckets, sequenceRegressions } from "../fingerprint/compare";
import { hashTable } from "../fingerprint/compute";
import type { Coverage, Fingerprint, TableFingerprint } from "../fingerprint/fingerprint";
import { type RowListener, findRowDifferences } from "../fingerprint/rowDifferences";
import { type Allowance, type TablePolicy, tablePolicySchema } from "../settings";

export interface TableComparison {
  readonly table: string;
  readonly coverage: Coverage;
  readonly rowsBefore: number;
  readonly rowsNow: number;
  readonly missing: number;
  readonly changed: number;
  readonly added: number;
  /** Keys of the first missing rows, as JSON. */
  readonly missingKeys: readonly string[];
  /** Why this table fails; null: it passes. */
  readonly failure: string | null;
}

export interface LiveComparison {
  readonly verdict: "pass" | "fail";
  readonly tables: readonly TableComparison[];
  /** Failures beyond rows: dropped columns, sequences that fell, row security switched off. */
  readonly failures: readonly string[];
  /** Changes of the catalog that destroy nothing; a release makes some. */
  readonly catalogChanges: readonly string[];
  /** What the comparison saw of the live database: its `pg_current_snapshot()`. */
  readonly visibility: string;
}

export interface ComparisonInput {
  readonly fingerprint: Fingerprint;
  readonly live: DatabaseTarget;
  /**
   * The restored copy; called only when rows have to be named. Where there is none to be had (it throws a `Failure`
   * other than `Unavailable` and `Interrupted`), what the checksums cannot prove fails.
   */
  readonly copy: () => Promise<DatabaseTarget>;
  readonly policies: Readonly<Record<string, TablePolicy>>;
  /** Told of the rows of a table as they are found: the report shows 20 missing keys, the file has them all. */
  readonly listenerOf?: (table: string) => RowListener;
  readonly jobs?: number;
  readonly signal?: AbortSignal;
}

/** Missing keys shown per table. */
export const shownKeys = 20;

const defaultPolicy = tablePolicySchema.parse({});

export async function compareWithLive(input: ComparisonInput): Promise<LiveComparison> {
  const snapshot = await openSnapshot(input.live);
  try {
    const failures = sequenceRegressions(input.fingerprint.sequences, await listSequences(snapshot.leader));
    const changes = catalogChanges(input.fingerprint.catalog, await readCatalog(snapshot.leader));
    const tables = await compareTables(input, snapshot);
    const allFailures = [...failures, ...lostRowSecurity(changes)];
    return {
      verdict: allFailures.length === 0 && tables.every((table) => table.failure === null) ? "pass" : "fail",
      tables,
      failures: allFailures,
      catalogChanges: changes.map((change) => `${change.kind} ${change.name} ${change.change}`),
      visibility: snapshot.visibility,
    };
  } finally {
    await snapshot.close();
  }
}

/** A table whose checksums differ, in these buckets. */
interface Suspicion {
  readonly table: TableFingerprint;
  readonly buckets: readonly number[];
  readonly now: TableFingerprint;
}

async function compareTables(input: ComparisonInput, snapshot: DatabaseSnapshot): Promise<TableComparison[]> {
  const live = new Map(snapshot.tables.map((table) => [displayName(table), table]));
  const suspicious: Suspicion[] = [];
  const results = await readInParallel(
    snapshot,
    input.jobs ?? 2,
    input.fingerprint.tables,
    async (client, table): Promise<TableComparison | undefined> => {
      input.signal?.throwIfAborted();
      const lost = structuralLoss(table, live.get(displayName(table)));
      if (lost !== undefined) return { ...comparisonOf(table, 0), missing: table.rows, failure: lost };
      const now = await hashTable(client, table);
      const buckets = differingBuckets(table, now);
      if (buckets.length === 0) return comparisonOf(table, now.rows);
      suspicious.push({ table, buckets, now });
      return undefined;
    },
  );
  const named = suspicious.length === 0 ? [] : await judgeSuspicious(input, snapshot, suspicious);
  return [...results.filter((result) => result !== undefined), ...named].sort((a, b) => (a.table < b.table ? -1 : 1));
}

function comparisonOf(table: TableFingerprint, rowsNow: number): TableComparison {
  return {
    table: displayName(table),
    coverage: table.coverage,
    rowsBefore: table.rows,
    rowsNow,
    missing: 0,
    changed: 0,
    added: 0,
    missingKeys: [],
    failure: null,
  };
}

/** A dropped table or column took its content with it, whatever the policy allows rows. */
function structuralLoss(before: TableFingerprint, now: ProtectedTable | undefined): string | undefined {
  if (now === undefined) return "the table is gone (dropped, renamed or moved)";
  const gone = before.columns.filter((column) => !now.columns.includes(column));
  return gone.length === 0 ? undefined : `column(s) gone: ${gone.join(", ")}`;
}

async function judgeSuspicious(
  input: ComparisonInput,
  snapshot: DatabaseSnapshot,
  suspicious: readonly Suspicion[],
): Promise<TableComparison[]> {
  let copy: DatabaseTarget;
  try {
    copy = await input.copy();
  } catch (error) {
    // Neither an interruption nor what may pass by itself is a verdict.
    if (!(error instanceof Failure) || error instanceof Interrupted || error instanceof Unavailable) throw error;
    const reason = error.message;
    return suspicious.map((suspicion) =>
      judgeByBuckets(suspicion, input.policies[displayName(suspicion.table)] ?? defaultPolicy, reason),
    );
  }
  return nameRows(input, snapshot, copy, suspicious);
}

/**
 * Without a copy: a bucket with the same keys (their number and sum) lacks no row, and one that was empty has none to
 * lack. In every other bucket rows were added, deleted or both; sums alone don't tell which. Numbers are lower bounds.
 */
function judgeByBuckets({ table, buckets, now }: Suspicion, policy: TablePolicy, reason: string): TableComparison {
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
    ...comparisonOf(table, now.rows),
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

/** Reads the differing buckets of both databases, one table after the other: each uses the leader's snapshot. */
async function nameRows(
  input: ComparisonInput,
  snapshot: DatabaseSnapshot,
  copy: DatabaseTarget,
  suspicious: readonly Suspicion[],
): Promise<TableComparison[]> {
  const original = await connect(copy);
  try {
    const results: TableComparison[] = [];
    for (const { table, buckets, now } of suspicious) {
      input.signal?.throwIfAborted();
      const name = displayName(table);
      const missingKeys: string[] = [];
      const listener = input.listenerOf?.(name) ?? {};
      const differences = await findRowDifferences(original, snapshot.leader, table, buckets, {
        ...listener,
        onMissing: (key, place) => {
          if (missingKeys.length < shownKeys) missingKeys.push(key);
          return listener.onMissing?.(key, place);
        },
      });
      const failure = judge(table, differences, input.policies[name] ?? defaultPolicy);
      results.push({ ...comparisonOf(table, now.rows), ...differences, missingKeys, failure });
    }
    return results;
  } finally {
    await original.end();
  }
}

function judge(
  table: TableFingerprint,
  differences: { missing: number; changed: number },
  policy: TablePolicy,
): string | null {
  if (exceeds(differences.missing, policy.deletes)) {
    return table.key.length > 0
      ? `${differences.missing} row(s) of the snapshot are missing (deletes: ${policy.deletes})`
      : `the content of ${differences.missing} row(s) is no longer there; without a key an update cannot be told from a delete: add a primary key, or allow it (deletes: any)`;
  }
  return exceeds(differences.changed, policy.updates)
    ? `${differences.changed} row(s) of the snapshot were changed (updates: ${policy.updates})`
    : null;
}

function exceeds(count: number, allowance: Allowance): boolean {
  if (allowance === "any") return false;
  return count > (allowance === "none" ? 0 : Number(allowance.slice(2)));
}

/** Rows that were hidden are open now. What went with its table is that table's failure, not one of its own. */
function lostRowSecurity(changes: readonly CatalogChange[]): string[] {
  const removed = changes.filter(({ change }) => change === "removed");
  const gone = removed.filter(({ kind }) => kind === "relation").map(({ name }) => name);
  return removed.flatMap(({ kind, name }) => {
    if (kind === "policy") return [`row security policy ${name} is gone`];
    if (kind !== "row-security" || gone.includes(name.replace(/ \(forced\)$/, ""))) return [];
    return [`row security of ${name} is switched off`];
  });
}
