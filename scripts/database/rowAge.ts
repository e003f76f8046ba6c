/** Whether a row version is older than a database snapshot, told by the transaction that wrote it. */
import { quoteLiteral } from "./sqlText";

/**
 * SQL that is true when the row version was certainly there when the snapshot was taken. A row knows the lower half of
 * its transaction's number; the upper half is that of the newest transaction before which it fits. Only what is older
 * than every transaction that was running then counts: a snapshot does not list subtransactions, so a row that one of
 * them wrote would look as if it had been committed (PostgreSQL manual, "9.27.8", `pg_visible_in_snapshot`).
 *
 * @param visibility what `pg_current_snapshot()` was, in the same cluster.
 * @param row the row's alias.
 */
export function isOlderThan(visibility: string, row: string): string {
  // A query of its own: read once, not for every row.
  const next = "(SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8)";
  const number = `${next} - ((${next} - ${row}.xmin::text::int8) & 4294967295)`;
  return `(${number} < pg_snapshot_xmin(${quoteLiteral(visibility)}::pg_snapshot)::text::int8)`;
}
