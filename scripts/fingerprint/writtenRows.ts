/**
 * Rows that were written since a snapshot are told apart from those that were not. Each of them is looked for in a copy
 * of the snapshot: what was not written, and what the written rows were then, must be the snapshot's rows, bucket by
 * bucket. Where it is not, rows are missing or damaged, and only there rows are compared. The sums prove it, whatever a
 * row says of its age: that only decides which rows are looked for.
 */
import type { Client } from "pg";
import { bucketNumber, bucketOf, fingerprintOf } from "./buckets";
import { differingBuckets } from "./compare";
import type { Bucket, TableFingerprint } from "./fingerprint";
import { identifiedQuery } from "./hashing";
import { type RowDifferences, type RowListener, findRowDifferences } from "./rowDifferences";

/** Held in memory for all tables together: about 50 MB. More are compared row by row, in constant memory. */
export const mostWrittenRows = 200_000;

export interface WrittenRow {
  /** Hash of its key, a decimal. */
  readonly k: string;
  /** Hash of its content, a decimal. */
  readonly r: string;
  /** Its key as JSON. */
  readonly key: string;
}

/** A table, read apart. */
export interface ApartTable {
  /** Of the rows that were not written since. */
  readonly unwritten: readonly Bucket[];
  readonly written: readonly WrittenRow[];
}

/** What the written rows were, and where they do not explain what the table lacks. */
interface Settled {
  readonly changed: readonly PlacedRow[];
  readonly added: readonly WrittenRow[];
  readonly open: readonly number[];
}

type PlacedRow = WrittenRow & { readonly place: string };

/**
 * As `findRowDifferences`, of a table that was read apart; of most buckets only the rows that were written.
 *
 * @param table of the original, with a key.
 * @param visibility the snapshot of `live` that `original` is a copy of.
 */
export async function findWrittenDifferences(
  original: Client,
  live: Client,
  table: TableFingerprint,
  apart: ApartTable,
  listener: RowListener,
  visibility: string | undefined,
): Promise<RowDifferences> {
  const { changed, added, open } = await settle(original, table, apart);
  for (const { place } of changed) await listener.onChanged?.(place);
  const found = { missing: 0, changed: changed.length, unwritten: 0, added: added.length };
  if (open.length === 0) return found;
  const rest = await findRowDifferences(original, live, table, open, listener, visibility);
  return { ...rest, changed: rest.changed + found.changed, added: rest.added + found.added };
}

async function settle(original: Client, table: TableFingerprint, { unwritten, written }: ApartTable): Promise<Settled> {
  const { rows } = await original.query<PlacedRow>(identifiedQuery(table, new Set(written.map(({ k }) => k))));
  // Two keys with the same 64-bit hash are told apart by their text.
  const known = new Map(rows.map((row) => [`${row.k} ${row.key}`, row]));
  const pairs = written.map((is) => ({ is, was: known.get(`${is.k} ${is.key}`) }));
  const before = pairs.flatMap(({ was }) => (was === undefined ? [] : [bucketOf(was)]));
  const open = differingBuckets(table, fingerprintOf(table, [...unwritten, ...before]));
  const isOpen = new Set(open);
  const settled = pairs.filter(({ is }) => !isOpen.has(bucketNumber(is.k, table.bucketCount)));
  return {
    changed: settled.flatMap(({ is, was }) => (was === undefined || was.r === is.r ? [] : [was])),
    added: settled.flatMap(({ is, was }) => (was === undefined ? [is] : [])),
    open,
  };
}
