/**
 * Which rows differ: streams the rows of the buckets that differ from both databases, sorted by hash, and
 * merges them into missing, changed and new. Memory stays constant whatever the tables' size.
 */
import type { Client } from "pg";
import type { TableFingerprint } from "./fingerprint";
import { type HashedTable, rowsQuery } from "./hashing";
import { narrowBuckets } from "./narrowBuckets";
import { ReadAhead } from "./readAhead";

export interface RowDifferences {
  /** Rows of the original that the copy lacks. */
  readonly missing: number;
  /** Rows with the same key and other content; always 0 for a table without a key. */
  readonly changed: number;
  /** Of those, rows that nobody wrote since the snapshot: their version was there then, with other content. */
  readonly unwritten: number;
  readonly added: number;
}

interface HashedRow {
  readonly k: bigint;
  readonly r: bigint;
  /** The key as JSON; null for a table without a key. */
  readonly key: string | null;
  /** Where it lies in its table. */
  readonly place: string;
  /** Whether this very version of the row was there in the snapshot that was named. */
  readonly old: boolean;
}

/** Told of rows as they are found, and waited for: there may be millions. */
export interface RowListener {
  /** `key` as JSON, for people; `place`: its `ctid` in the original, good for as long as nobody writes there. */
  onMissing?(key: string, place: string): void | Promise<void>;
  onChanged?(place: string): void | Promise<void>;
  onUnwritten?(key: string): void | Promise<void>;
}

/** For what each of the two sessions sorts and groups: a million rows without a file (PostgreSQL's default: 4 MB). */
const sortMemory = "64MB";

/**
 * @param table of the original; the rows of its buckets say how many there may be to compare.
 * @param visibility the snapshot of `live` that `original` is a copy of; absent: it is not known, or of another
 *   cluster.
 */
export async function findRowDifferences(
  original: Client,
  live: Client,
  table: HashedTable & Pick<TableFingerprint, "buckets">,
  buckets: readonly number[],
  listener: RowListener,
  visibility?: string,
): Promise<RowDifferences> {
  for (const session of [original, live]) await session.query(`SET work_mem = '${sortMemory}'`);
  const narrowed = await narrowBuckets(original, live, table, buckets);
  const query = (of?: string): string => rowsQuery(narrowed.table, narrowed.buckets, of);
  const before = new ReadAhead(original, query(), readRow);
  const after = new ReadAhead(live, query(visibility), readRow);
  let [missing, changed, unwritten, added] = [0, 0, 0, 0];
  try {
    // Both servers hash and sort before their first row: at the same time.
    let [was, is] = await Promise.all([before.next(), after.next()]);
    while (was !== undefined || is !== undefined) {
      if (is === undefined || (was !== undefined && compareIdentity(was, is, table) < 0)) {
        missing++;
        await listener.onMissing?.(was!.key ?? `row with content hash ${was!.r}`, was!.place);
        was = before.take() ?? (await before.next());
      } else if (was === undefined || compareIdentity(was, is, table) > 0) {
        added++;
        is = after.take() ?? (await after.next());
      } else {
        if (was.r !== is.r) {
          changed++;
          await listener.onChanged?.(was.place);
          if (is.old) {
            unwritten++;
            await listener.onUnwritten?.(is.key ?? "");
          }
        }
        was = before.take() ?? (await before.next());
        is = after.take() ?? (await after.next());
      }
    }
    return { missing, changed, unwritten, added };
  } finally {
    await Promise.allSettled([before.close(), after.close()]);
  }
}

/** Two keys with the same 64-bit hash are told apart by their text. */
function compareIdentity(a: HashedRow, b: HashedRow, table: HashedTable): number {
  if (a.k !== b.k) return a.k < b.k ? -1 : 1;
  if (table.key.length === 0 || a.key === b.key) return 0;
  return (a.key ?? "") < (b.key ?? "") ? -1 : 1;
}

function readRow({ k, r, ...rest }: Omit<HashedRow, "k" | "r"> & { k: string; r: string }): HashedRow {
  return { ...rest, k: BigInt(k), r: BigInt(r) };
}
