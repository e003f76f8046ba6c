/** Buckets of rows, added up: of several ranges of a table, or of a table that was read with more buckets than it gets. */
import type { Bucket } from "./fingerprint";

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
