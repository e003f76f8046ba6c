/** Numbers of a list of latencies. */

/**
 * By the nearest rank: the smallest value that at least `share` of all are not above.
 *
 * @param share from 0 to 1: 0.5 is the median.
 * @returns null of no values.
 */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? null;
}
