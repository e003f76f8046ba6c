/** Buckets of rows, added up: of several ranges of a table, or of a table that was read with more buckets than it gets. */
import type { Bucket, TableFingerprint } from "./fingerprint";
import type { HashedTable } from "./hashing";

/**
 * @param buckets sums of rows by the last bits of a hash, at least as many bits as `bucketCount` has.
 * @param bucketCount a power of two.
 * @returns one bucket for each number that occurs, sorted by it.
 */
export function foldBuckets(buckets: readonly Bucket[], bucketCount: number): Bucket[] {
  const sums = new Map<number, { rows: number; keys: bigint; content: bigint }>();
  for (const [bucket, rows, keys, content] of buckets) {
    const number = bucket & (bucketCount - 1);
    const sum = sums.get(number) ?? { rows: 0, keys: 0n, content: 0n };
    sums.set(number, { rows: sum.rows + rows, keys: sum.keys + BigInt(keys), content: sum.content + BigInt(content) });
  }
  return [...sums]
    .sort(([a], [b]) => a - b)
    .map(([number, { rows, keys, content }]) => [number, rows, keys.toString(), content.toString()]);
}

/** The fingerprint of a table of which these buckets were read, in any order, of as many bits as it gets or more. */
export function fingerprintOf(table: HashedTable, read: readonly Bucket[]): TableFingerprint {
  const buckets = foldBuckets(read, table.bucketCount);
  return {
    schema: table.schema,
    name: table.name,
    coverage: "content",
    rowText: table.rowText,
    columns: [...table.columns],
    key: [...table.key],
    rows: buckets.reduce((sum, [, count]) => sum + count, 0),
    bucketCount: table.bucketCount,
    buckets,
  };
}

/** More buckets than any table has. */
const allBuckets = 2 ** 31;

/** A row as a bucket of its own, `k` and `r` as decimals: the hashes of its key and of its content. */
export function bucketOf({ k, r }: { readonly k: string; readonly r: string }): Bucket {
  return [bucketNumber(k, allBuckets), 1, k, r];
}

export function bucketNumber(k: string, bucketCount: number): number {
  return Number(BigInt.asUintN(32, BigInt(k))) & (bucketCount - 1);
}
