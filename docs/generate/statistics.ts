/** What several runs of a benchmark are told as. */

export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The value below which this part of all lies, 0 to 1; 1: the largest. */
export function quantile(values: readonly number[], part: number): number {
  return ascending(values)[Math.min(values.length - 1, Math.floor(part * values.length))] ?? Number.NaN;
}

function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}
