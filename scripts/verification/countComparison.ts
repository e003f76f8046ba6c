/**
 * Row counts now against those of a backup. Quick, and less than a proof: a count does not see one row
 * deleted and another inserted. The post-deploy verification compares keys and content.
 */
import type { Manifest } from "../backup/manifest";
import { openSnapshot, readInParallel } from "../database/snapshot";
import { displayName } from "../database/sqlText";
import type { DatabaseTarget } from "../database/target";
import { countRows } from "../fingerprint/compute";
import type { TablePolicy } from "../settings";
import { type TablePolicies, demandKnownTables, policyOf } from "./tablePolicies";

export interface CountComparison {
  readonly table: string;
  readonly before: number;
  /** Null: the table is gone. */
  readonly now: number | null;
  readonly failure: string | null;
}

/** @throws UsageError when a policy names a table that neither the backup nor the database has. */
export async function compareCounts(
  live: DatabaseTarget,
  manifest: Pick<Manifest, "tables">,
  policies: TablePolicies,
): Promise<CountComparison[]> {
  const snapshot = await openSnapshot(live);
  try {
    const existing = new Map(snapshot.tables.map((table) => [displayName(table), table]));
    const before = manifest.tables.map((table) => ({ ...table, ancestors: [] }));
    demandKnownTables(policies, [...before, ...snapshot.tables]);
    return await readInParallel(snapshot, 2, manifest.tables, async (client, table) => {
      const name = displayName(table);
      const live = existing.get(name);
      const now = live === undefined ? null : await countRows(client, table);
      return {
        table: name,
        before: table.rows,
        now,
        failure: judge(table.rows, now, policyOf(live ?? { ...table, ancestors: [] }, policies)),
      };
    });
  } finally {
    await snapshot.close();
  }
}

function judge(before: number, now: number | null, { deletes }: TablePolicy): string | null {
  if (now === null) return "the table is gone";
  if (deletes === "any" || now >= before) return null;
  const allowed = deletes === "none" ? 0 : Number(deletes.slice(2));
  return before - now > allowed ? `${before - now} row(s) fewer (deletes: ${deletes})` : null;
}
