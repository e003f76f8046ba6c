/** In which columns the rows of two copies of a table differ: each column is compared by itself, with the table's key. */
import type { Client } from "pg";
import { withConnection } from "../database/connect";
import type { DatabaseTarget } from "../database/target";
import { differingBuckets } from "../fingerprint/compare";
import { hashTable } from "../fingerprint/compute";
import type { TableFingerprint } from "../fingerprint/fingerprint";
import { findRowDifferences } from "../fingerprint/rowDifferences";

export interface ChangedColumn {
  readonly column: string;
  /** Rows of both copies, known by their key, whose value differs. */
  readonly rows: number;
}

/**
 * Reads the table once for each of its columns: for a table that is known to differ.
 *
 * @param table names the columns, the key (not empty) and the buckets with which both copies are read.
 */
export async function changedColumns(
  original: DatabaseTarget,
  changed: DatabaseTarget,
  table: TableFingerprint,
  signal?: AbortSignal,
): Promise<ChangedColumn[]> {
  return withConnection(original, (before) =>
    withConnection(changed, async (after) => {
      const found: ChangedColumn[] = [];
      for (const column of table.columns.filter((name) => !table.key.includes(name))) {
        signal?.throwIfAborted();
        const rows = await rowsThatDiffer(before, after, { ...table, columns: [column] });
        if (rows > 0) found.push({ column, rows });
      }
      return found;
    }),
  );
}

async function rowsThatDiffer(before: Client, after: Client, column: TableFingerprint): Promise<number> {
  const [was, is] = await Promise.all([hashTable(before, column), hashTable(after, column)]);
  const buckets = differingBuckets(was, is);
  return buckets.length === 0 ? 0 : (await findRowDifferences(before, after, column, buckets, {})).changed;
}
