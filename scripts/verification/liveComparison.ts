/**
 * Compares the live database with the snapshot that the gate took. After a release, equality is the wrong
 * question, for live traffic writes: the rule is that no row of the snapshot is missing unless the stack's
 * config allows that table deletes, and that nothing which held rows was dropped.
 */
import type { Client } from "pg";
import { connect } from "../database/connect";
import { type DatabaseSnapshot, openSnapshot, readInParallel } from "../database/snapshot";
import { displayName } from "../database/sqlText";
import { type ProtectedTable, listSequences } from "../database/tables";
import type { DatabaseTarget } from "../database/target";
import { readCatalog } from "../fingerprint/catalog";
import { catalogChanges, differingBuckets, sequenceRegressions } from "../fingerprint/compare";
import { hashTable } from "../fingerprint/compute";
import type { Coverage, Fingerprint, TableFingerprint } from "../fingerprint/fingerprint";
import { findRowDifferences } from "../fingerprint/rowDifferences";
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
}

export interface ComparisonInput {
  readonly fingerprint: Fingerprint;
  readonly live: DatabaseTarget;
  /** The restored copy; called only when rows have to be named. */
  readonly copy: () => Promise<DatabaseTarget>;
  readonly policies: Readonly<Record<string, TablePolicy>>;
  /** Gets every missing row's key: the report shows 20, the file has them all. */
  readonly onMissing?: (table: string, key: string) => void;
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
    const weakened = await findDisabledRowSecurity(snapshot.leader, changes);
    const tables = await compareTables(input, snapshot);
    const allFailures = [...failures, ...weakened];
    return {
      verdict: allFailures.length === 0 && tables.every((table) => table.failure === null) ? "pass" : "fail",
      tables,
      failures: allFailures,
      catalogChanges: changes.map((change) => `${change.kind} ${change.name} ${change.change}`),
    };
  } finally {
    await snapshot.close();
  }
}

async function compareTables(input: ComparisonInput, snapshot: DatabaseSnapshot): Promise<TableComparison[]> {
  const live = new Map(snapshot.tables.map((table) => [displayName(table), table]));
  const suspicious: { table: TableFingerprint; buckets: number[]; rowsNow: number }[] = [];
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
      suspicious.push({ table, buckets, rowsNow: now.rows });
      return undefined;
    },
  );
  const named = suspicious.length === 0 ? [] : await nameRows(input, snapshot, suspicious);
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

/** Reads the differing buckets of both databases, one table after the other: each uses the leader's snapshot. */
async function nameRows(
  input: ComparisonInput,
  snapshot: DatabaseSnapshot,
  suspicious: readonly { table: TableFingerprint; buckets: number[]; rowsNow: number }[],
): Promise<TableComparison[]> {
  const original = await connect(await input.copy());
  try {
    const results: TableComparison[] = [];
    for (const { table, buckets, rowsNow } of suspicious) {
      input.signal?.throwIfAborted();
      const name = displayName(table);
      const missingKeys: string[] = [];
      const differences = await findRowDifferences(original, snapshot.leader, table, buckets, (key) => {
        if (missingKeys.length < shownKeys) missingKeys.push(key);
        input.onMissing?.(name, key);
      });
      const failure = judge(table, differences, input.policies[name] ?? defaultPolicy);
      results.push({ ...comparisonOf(table, rowsNow), ...differences, missingKeys, failure });
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

/** Row security switched off shows in the relation's definition; ask the live catalog which way it changed. */
async function findDisabledRowSecurity(
  client: Client,
  changes: readonly { change: string; kind: string; name: string }[],
): Promise<string[]> {
  const removedPolicies = changes.filter((change) => change.kind === "policy" && change.change === "removed");
  const { rows } = await client.query<{ name: string }>(
    `SELECT n.nspname || '.' || c.relname AS name
       FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE NOT c.relrowsecurity GROUP BY 1 ORDER BY 1`,
  );
  const unguarded = new Set(rows.map((row) => row.name));
  const switchedOff = changes.filter(
    (change) => change.kind === "relation" && change.change === "changed" && unguarded.has(change.name),
  );
  return [
    ...removedPolicies.map((change) => `row security policy ${change.name} is gone`),
    ...switchedOff.map((change) => `row security of ${change.name} is switched off, though it has policies`),
  ];
}
