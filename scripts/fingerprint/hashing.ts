/**
 * The SQL that hashes rows. Order-independent: sums of 64-bit hashes with the row count, never XOR, whose
 * pairs cancel. `ROW(…)::text` tells NULL from '' and survives added columns and widened types.
 * The session must have pinned settings (`database/connect.ts`): they decide how a value looks as text.
 */
import { type QualifiedName, quoteIdentifier, quoteLiteral, quoteName } from "../database/sqlText";

export interface HashedTable extends QualifiedName {
  readonly columns: readonly string[];
  readonly key: readonly string[];
  readonly bucketCount: number;
}

function rowHash(columns: readonly string[]): string {
  return `hashtextextended((ROW(${columns.map(quoteIdentifier).join(", ")})::text) COLLATE "C", 0)`;
}

/** What identifies a row: its key, or, without one, its content. */
function identityHash(table: HashedTable): string {
  return rowHash(table.key.length > 0 ? table.key : table.columns);
}

/** `FROM ONLY`: inherited and partitioned tables are each hashed by themselves. */
export function bucketQuery(table: HashedTable): string {
  return `SELECT (h.k & ${table.bucketCount - 1})::int AS bucket, count(*)::text AS rows,
                 sum(h.k)::text AS keys, sum(h.r)::text AS content
            FROM (SELECT ${identityHash(table)} AS k, ${rowHash(table.columns)} AS r FROM ONLY ${quoteName(table)}) h
           GROUP BY 1 ORDER BY 1`;
}

/**
 * The rows of some buckets, sorted by the hash `k` (identity), key and the hash `r` (content). `key` names the row to
 * people as JSON; a table without a key has none, and a row's content is never shown, so it is null there.
 */
export function rowsQuery(table: HashedTable, buckets: readonly number[]): string {
  const pairs = table.key.map((column) => `${quoteLiteral(column)}, ${quoteIdentifier(column)}::text`);
  const key = pairs.length > 0 ? `json_build_object(${pairs.join(", ")})::text` : "NULL::text";
  return `SELECT h.k::text AS k, h.r::text AS r, h.key
            FROM (SELECT ${identityHash(table)} AS k, ${rowHash(table.columns)} AS r, ${key} AS key
                    FROM ONLY ${quoteName(table)}) h
           WHERE (h.k & ${table.bucketCount - 1}) = ANY ('{${buckets.join(",")}}'::int8[])
           ORDER BY h.k, h.key COLLATE "C", h.r`;
}
