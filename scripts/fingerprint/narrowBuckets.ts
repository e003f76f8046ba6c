/**
 * Changes that are scattered make every bucket differ, and every row would be sorted and sent. Sums of much finer
 * buckets, of which most do not differ, tell first which few rows can.
 */
import type { Client } from "pg";
import type { TableFingerprint } from "./fingerprint";
import { type HashedTable, sumsQuery } from "./hashing";
import { ReadAhead } from "./readAhead";

/** Below it the rows themselves are as quick. */
const fewRows = 50_000;

const rowsPerBucket = 8;

/** A list of more takes longer to look up than what it spares; then most rows differ anyway. */
const mostBuckets = 50_000;

export interface Narrowed {
  /** With the number of buckets that the numbers are of. */
  readonly table: HashedTable;
  readonly buckets: readonly number[];
}

/** Whether so many rows that may differ are narrowed down first. */
export function isNarrowed(rows: number): boolean {
  return rows >= fewRows;
}

/** @param table as the fingerprint knows it: with the rows of each bucket. */
export async function narrowBuckets(
  original: Client,
  live: Client,
  table: HashedTable & Pick<TableFingerprint, "buckets">,
  buckets: readonly number[],
): Promise<Narrowed> {
  const wanted = new Set(buckets);
  let [rows, differing] = [0, 0];
  for (const [bucket, count] of table.buckets) {
    rows += count;
    if (wanted.has(bucket)) differing += count;
  }
  if (!isNarrowed(differing)) return { table, buckets };
  const finer = { ...table, bucketCount: 2 ** Math.ceil(Math.log2(rows / rowsPerBucket)) };
  const query = sumsQuery(finer, { of: table.bucketCount, buckets });
  const found = await compareSums(original, live, query);
  return found === undefined ? { table, buckets } : { table: finer, buckets: found };
}

interface Sum {
  readonly bucket: number;
  readonly sum: string;
}

/** @returns undefined when more differ than a query can name. */
async function compareSums(original: Client, live: Client, query: string): Promise<number[] | undefined> {
  const parse = ({ bucket, sum }: { bucket: string; sum: string }): Sum => ({ bucket: Number(bucket), sum });
  const [before, after] = [new ReadAhead(original, query, parse), new ReadAhead(live, query, parse)];
  const found: number[] = [];
  try {
    let [was, is] = await Promise.all([before.next(), after.next()]);
    while (was !== undefined || is !== undefined) {
      const bucket = Math.min(was?.bucket ?? Infinity, is?.bucket ?? Infinity);
      const [here, there] = [was?.bucket === bucket, is?.bucket === bucket];
      if (was?.sum !== is?.sum || here !== there) found.push(bucket);
      if (found.length > mostBuckets) return undefined;
      if (here) was = before.take() ?? (await before.next());
      if (there) is = after.take() ?? (await after.next());
    }
    return found;
  } finally {
    await Promise.allSettled([before.close(), after.close()]);
  }
}
