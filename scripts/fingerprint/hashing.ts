/**
 * The SQL that hashes rows. Order-independent: sums of 64-bit hashes with the row count, never XOR, whose
 * pairs cancel. The session must have pinned settings (`database/connect.ts`): they decide how a value looks as text.
 */
import { type PageRange, pageCondition } from "../database/pageRanges";
import { isOlderThan } from "../database/rowAge";
import { type QualifiedName, quoteIdentifier, quoteLiteral, quoteName } from "../database/sqlText";
import type { RowText } from "./fingerprint";

export interface HashedTable extends QualifiedName {
  readonly columns: readonly string[];
  readonly key: readonly string[];
  readonly bucketCount: number;
  readonly rowText: RowText;
}

/** Between the values of a row, and in place of a NULL: characters that no text of people has (U+001F, U+0001). */
const separator = String.raw`E'\x1f'`;
const nullMark = String.raw`E'\x01'::"char"`;

/** A function takes at most 100 arguments (FUNC_MAX_ARGS): the separator, and two for each column. */
const columnsPerCall = 49;

/** Half the time of `ROW(…)::text`, which looks at every character for something to quote. NULL is skipped: so a mark. */
function joinedText(columns: readonly string[]): string {
  if (columns.length === 0) return "''";
  const calls: string[] = [];
  for (let start = 0; start < columns.length; start += columnsPerCall) {
    const values = columns
      .slice(start, start + columnsPerCall)
      .map(quoteIdentifier)
      .map((column) => `${column}, CASE WHEN ${column} IS NULL THEN ${nullMark} END`);
    calls.push(`concat_ws(${separator}, ${values.join(", ")})`);
  }
  if (calls.length === 1) return calls[0]!;
  // 1,600 columns, PostgreSQL's most, are 33 calls.
  return `concat_ws(${separator}, ${calls.join(", ")})`;
}

/** Both tell NULL from '' and survive added columns and widened types. */
const textOf: Readonly<Record<RowText, (columns: readonly string[]) => string>> = {
  joined: joinedText,
  record: (columns) => `(ROW(${columns.map(quoteIdentifier).join(", ")})::text)`,
};

function rowHash(table: HashedTable, columns: readonly string[]): string {
  return `hashtextextended(${textOf[table.rowText](columns)} COLLATE "C", 0)`;
}

/** What identifies a row: its key, or, without one, its content. */
function identityHash(table: HashedTable): string {
  return rowHash(table, table.key.length > 0 ? table.key : table.columns);
}

/** `k` identifies a row, `r` stands for its content. `FROM ONLY`: inherited and partitioned tables are hashed each. */
function hashes(table: HashedTable): string {
  return `${identityHash(table)} AS k, ${rowHash(table, table.columns)} AS r`;
}

/**
 * Count and sums of each bucket. OFFSET 0: without it the planner would compute a hash as often as it is used.
 *
 * @param range only these pages of the table; null: all of it.
 * @param visibility a snapshot of the same cluster: only rows that are as they were then; absent: all.
 */
export function bucketQuery(table: HashedTable, range: PageRange | null, visibility?: string): string {
  const rows = rowsIn(table, range, visibility === undefined ? undefined : isOlderThan(visibility, "t"));
  return `SELECT (h.k & ${table.bucketCount - 1})::int AS bucket, count(*)::text AS rows,
                 sum(h.k)::text AS keys, sum(h.r)::text AS content
            FROM (SELECT ${hashes(table)} ${rows} OFFSET 0) h
           GROUP BY 1`;
}

/**
 * The rows that `bucketQuery` leaves out: those that were written since. `key` as `rowsQuery` gives it.
 *
 * @param most reads no more of them.
 */
export function writtenQuery(table: HashedTable, range: PageRange | null, visibility: string, most: number): string {
  const rows = rowsIn(table, range, `NOT ${isOlderThan(visibility, "t")}`);
  return `SELECT h.k::text AS k, h.r::text AS r, h.key
            FROM (SELECT ${hashes(table)}, ${keyAsJson(table.key)} AS key ${rows} LIMIT ${most}) h`;
}

/** Rows whose identity has one of these hashes, as `rowsQuery` gives them, in no order. */
export function identifiedQuery(table: HashedTable, identities: Iterable<string>): string {
  const wanted = (k: string): string => `${k} = ANY ('{${[...identities].join(",")}}'::int8[])`;
  const { k, rows } = rowsWhere(table, wanted);
  return `SELECT i.${k}::text AS k, (${rowHash(table, table.columns)})::text AS r, ${keyAsJson(table.key)} AS key, i.ctid::text AS place
            ${rows}`;
}

function rowsIn(table: HashedTable, range: PageRange | null, condition?: string): string {
  const pages = pageCondition(range);
  const further = condition === undefined ? "" : `${pages === "" ? " WHERE" : " AND"} ${condition}`;
  return `FROM ONLY ${quoteName(table)} t${pages}${further}`;
}

/** Count and sum of the content of all rows: the totals of what `bucketQuery` gives, in three quarters of the time. */
export function totalsQuery(table: HashedTable, range: PageRange | null): string {
  return `SELECT count(*)::text AS rows, COALESCE(sum(${rowHash(table, table.columns)}), 0)::text AS content
            FROM ONLY ${quoteName(table)}${pageCondition(range)}`;
}

/**
 * Number of rows and their content, one text for each bucket, sorted by bucket.
 *
 * @param within only rows of these buckets of another, smaller number of buckets.
 */
export function sumsQuery(
  table: HashedTable,
  within: { readonly of: number; readonly buckets: readonly number[] },
): string {
  const { k, rows } = rowsWhere(table, (k) => isInBuckets(k, within.of, within.buckets));
  const wanted =
    within.buckets.length === within.of
      ? `SELECT ${hashes(table)} FROM ONLY ${quoteName(table)} OFFSET 0`
      : `SELECT i.${k} AS k, ${rowHash(table, table.columns)} AS r ${rows}`;
  return `SELECT (h.k & ${table.bucketCount - 1})::text AS bucket, count(*) || ' ' || sum(h.r) AS sum
            FROM (${wanted}) h
           GROUP BY h.k & ${table.bucketCount - 1} ORDER BY h.k & ${table.bucketCount - 1}`;
}

/**
 * Rows chosen by the hash of their identity: what is not wanted is not hashed whole, and OFFSET 0 keeps the planner from
 * hashing an identity twice.
 *
 * @returns the part of a query after SELECT's list, with the table's columns by name, and `k` and `ctid` of `i`.
 */
function rowsWhere(table: HashedTable, isWanted: (k: string) => string): { k: string; rows: string } {
  const read = [...new Set([...table.columns, ...table.key])];
  const k = quoteIdentifier(nameBeside(read));
  const columns = [`${identityHash(table)} AS ${k}`, "ctid", ...read.map(quoteIdentifier)];
  const rows = `FROM (SELECT ${columns.join(", ")} FROM ONLY ${quoteName(table)} OFFSET 0) i WHERE ${isWanted(`i.${k}`)}`;
  return { k, rows };
}

/** A name that none of these columns has. */
function nameBeside(columns: readonly string[]): string {
  let name = "k";
  while (columns.includes(name)) name += "k";
  return name;
}

function isInBuckets(k: string, bucketCount: number, buckets: readonly number[]): string {
  return `(${k} & ${bucketCount - 1}) = ANY ('{${buckets.join(",")}}'::int8[])`;
}

/**
 * The rows of some buckets, sorted by the hash `k` (identity), key and the hash `r` (content). `key` names the row to
 * people as JSON; a table without a key has none, and a row's content is never shown, so it is null there. `place`: ctid.
 *
 * @param visibility a snapshot of the same cluster: `old` says of each row whether it was there then, as it is now.
 */
export function rowsQuery(table: HashedTable, buckets: readonly number[], visibility?: string): string {
  const old = visibility === undefined ? "false" : isOlderThan(visibility, "t");
  return `SELECT h.k::text AS k, h.r::text AS r, h.key, h.place::text AS place, h.old
            FROM (SELECT ${hashes(table)}, ${keyAsJson(table.key)} AS key, t.ctid AS place, ${old} AS old
                    FROM ONLY ${quoteName(table)} t) h
           WHERE ${isInBuckets("h.k", table.bucketCount, buckets)}
           ORDER BY h.k, h.key COLLATE "C", h.r`;
}

/** A row's key for people, as the text of a JSON object; NULL for a table without a key. */
export function keyAsJson(key: readonly string[]): string {
  if (key.length === 0) return "NULL::text";
  const pairs = key.map((column) => `${quoteLiteral(column)}, ${quoteIdentifier(column)}::text`);
  return `json_build_object(${pairs.join(", ")})::text`;
}
