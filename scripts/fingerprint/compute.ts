/** Reads the fingerprint of a database in a snapshot, tables in parallel. */
import type { ClientBase } from "pg";
import type { DatabaseSnapshot } from "../database/snapshot";
import { readInParallel } from "../database/snapshot";
import { displayName, quoteName } from "../database/sqlText";
import { type ProtectedTable, listSequences } from "../database/tables";
import { readCatalog } from "./catalog";
import { type Bucket, type Fingerprint, type TableFingerprint, bucketCountFor } from "./fingerprint";
import { readLargeObjects } from "./largeObjects";
import { type HashedTable, bucketQuery } from "./hashing";

export interface ComputeOptions {
  /** Connections that read at the same time. */
  readonly jobs: number;
  readonly signal?: AbortSignal;
  readonly onTable?: (table: TableFingerprint) => void;
}

/** The fingerprint of every protected table. Sequences are read first: they only ever move ahead of the snapshot. */
export async function computeFingerprint(snapshot: DatabaseSnapshot, options: ComputeOptions): Promise<Fingerprint> {
  const sequences = await listSequences(snapshot.leader);
  const catalog = await readCatalog(snapshot.leader);
  const largeObjects = await readLargeObjects(snapshot.leader);
  const largestFirst = [...snapshot.tables].sort((a, b) => b.bytes - a.bytes);
  const tables = await readInParallel(snapshot, options.jobs, largestFirst, async (client, table) => {
    options.signal?.throwIfAborted();
    const fingerprint = await fingerprintTable(client, table);
    options.onTable?.(fingerprint);
    return fingerprint;
  });
  return { tables: sortByName(tables), sequences, catalog, largeObjects };
}

async function fingerprintTable(client: ClientBase, table: ProtectedTable): Promise<TableFingerprint> {
  const rows = await countRows(client, table);
  return hashTable(client, { ...table, bucketCount: bucketCountFor(rows, table.key.length > 0) });
}

/** Hashes a table with given columns, key and buckets: also for a copy that is to be compared. */
export async function hashTable(client: ClientBase, table: HashedTable): Promise<TableFingerprint> {
  const result = await client.query<{ bucket: number; rows: string; keys: string; content: string }>(
    bucketQuery(table),
  );
  const buckets = result.rows.map((row): Bucket => [row.bucket, Number(row.rows), row.keys, row.content]);
  return {
    schema: table.schema,
    name: table.name,
    coverage: "content",
    columns: [...table.columns],
    key: [...table.key],
    rows: buckets.reduce((sum, bucket) => sum + bucket[1], 0),
    bucketCount: table.bucketCount,
    buckets,
  };
}

export async function countRows(client: ClientBase, table: Pick<ProtectedTable, "schema" | "name">): Promise<number> {
  const { rows } = await client.query<{ rows: string }>(`SELECT count(*)::text AS rows FROM ONLY ${quoteName(table)}`);
  return Number(rows[0]!.rows);
}

function sortByName(tables: readonly TableFingerprint[]): TableFingerprint[] {
  return [...tables].sort((a, b) => (displayName(a) < displayName(b) ? -1 : 1));
}
