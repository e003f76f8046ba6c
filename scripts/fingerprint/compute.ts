/** Reads the fingerprint of a database in a snapshot, tables and ranges of large tables in parallel. */
import type { Client, ClientBase } from "pg";
import { connect } from "../database/connect";
import { runInLanes } from "../database/lanes";
import { type PageRange, fairPiece, pageRanges } from "../database/pageRanges";
import type { Queryable } from "../database/queryable";
import { type DatabaseSnapshot, readInParallel } from "../database/snapshot";
import { displayName, quoteName } from "../database/sqlText";
import { closeConnection } from "../database/stallWatch";
import type { DatabaseTarget } from "../database/target";
import { type ProtectedTable, type SequenceState, listSequences } from "../database/tables";
import { bucketOf, fingerprintOf } from "./buckets";
import { readCatalog } from "./catalog";
import {
  type Bucket,
  type CatalogItem,
  type Fingerprint,
  type LargeObjectsFingerprint,
  type RowText,
  type TableFingerprint,
  bucketCountFor,
  totalsOf,
} from "./fingerprint";
import { type HashedTable, bucketQuery, totalsQuery, writtenQuery } from "./hashing";
import { readLargeObjects } from "./largeObjects";
import { type ApartTable, type WrittenRow, mostWrittenRows } from "./writtenRows";

export interface ComputeOptions {
  /** Connections that read at the same time. */
  readonly jobs: number;
  /** Default `joined`; a copy is read as its original was. */
  readonly rowText?: RowText;
  /** Where somebody else reads them at the same time: what they were before. Default: read first. */
  readonly sequences?: readonly SequenceState[];
  /** What is known of tables of the snapshot, which are not read. Default: of none. */
  readonly known?: readonly TableFingerprint[];
  readonly signal?: AbortSignal;
}

/** The fingerprint of every protected table. Sequences are read first: they only ever move ahead of the snapshot. */
export async function computeFingerprint(snapshot: DatabaseSnapshot, options: ComputeOptions): Promise<Fingerprint> {
  const sequences = options.sequences ?? (await listSequences(snapshot.leader));
  let catalog: CatalogItem[] = [];
  let largeObjects: LargeObjectsFingerprint = { objects: 0, bytes: "0", checksum: "0" };
  const { known = [], rowText = "joined" } = options;
  const read = new Set(known.map(displayName));
  const unread = snapshot.tables.filter((table) => !read.has(displayName(table)));
  const readings = unread.map((table) => new TableReading(table, rowText));
  const pieceBytes = fairPiece(
    unread.reduce((sum, table) => sum + table.bytes, 0),
    options.jobs,
  );
  const steps: ((client: ClientBase) => Promise<void>)[] = [
    async (client) => void (catalog = await readCatalog(client)),
    async (client) => void (largeObjects = await readLargeObjects(client)),
    // Largest first, and in the order in which they are dumped: who comes second finds the pages in memory.
    ...readings
      .sort((a, b) => b.table.bytes - a.table.bytes)
      .flatMap((reading) => reading.steps(pieceBytes, snapshot.serverMajor)),
  ];
  await readInParallel(snapshot, options.jobs, steps, (client, step) => step(client), options.signal);
  const tables = sortByName([...known, ...readings.map((reading) => reading.result())]);
  return { tables, sequences, catalog, largeObjects };
}

/** Smallest bytes of a row in a page: its header and its pointer (PostgreSQL manual, "65.6 Database Page Layout"). */
const smallestRow = 28;

/**
 * How many buckets a table gets depends on its rows, which nobody has counted. So it is read with as many as its bytes
 * could need, and these are folded: they are powers of two, and a bucket is the last bits of a hash.
 */
class TableReading {
  readonly #hashed: HashedTable;
  readonly #buckets: Bucket[] = [];

  constructor(
    readonly table: ProtectedTable,
    rowText: RowText,
  ) {
    const mostRows = table.heap ? table.bytes / smallestRow : Infinity;
    this.#hashed = { ...table, rowText, bucketCount: bucketCountFor(mostRows, table.key.length > 0) };
  }

  steps(pieceBytes: number, serverMajor: number): ((client: ClientBase) => Promise<void>)[] {
    return pageRanges(this.table, pieceBytes, serverMajor).map(
      (range) => async (client) => void this.#buckets.push(...(await readBuckets(client, this.#hashed, range))),
    );
  }

  result(): TableFingerprint {
    const rows = this.#buckets.reduce((sum, [, count]) => sum + count, 0);
    const bucketCount = bucketCountFor(rows, this.table.key.length > 0);
    return fingerprintOf({ ...this.#hashed, bucketCount }, this.#buckets);
  }
}

/** @param visibility only rows that are as they were then; absent: all. */
async function readBuckets(
  client: Queryable,
  table: HashedTable,
  range: PageRange | null,
  visibility?: string,
): Promise<Bucket[]> {
  const { rows } = await client.query<{ bucket: number; rows: string; keys: string; content: string }>(
    bucketQuery(table, range, visibility),
  );
  return rows.map((row) => [row.bucket, Number(row.rows), row.keys, row.content]);
}

/** A table as it is there, and the columns, key and buckets with which it is to be read. */
export interface TableToHash {
  readonly at: ProtectedTable;
  readonly as: HashedTable;
  /** A snapshot of the same cluster: rows that were written since are read one by one. Absent: no row is. */
  readonly since?: string | undefined;
}

export interface ReadTable {
  /** Undefined: more rows were written than are held. */
  readonly now: TableFingerprint | undefined;
  /** Undefined: more than are held, or nobody asked. */
  readonly apart: ApartTable | undefined;
}

/** As the original was read, and in ranges of pages like it: however large one table is, all sessions have work. */
export async function hashTables(
  snapshot: DatabaseSnapshot,
  tables: readonly Omit<TableToHash, "since">[],
  options: Pick<ComputeOptions, "jobs" | "signal">,
): Promise<TableFingerprint[]> {
  return (await readTables(snapshot, tables, options)).map(({ now }) => now!);
}

/** As `hashTables`, with the rows that were written since told apart where that is asked for. */
export async function readTables(
  snapshot: DatabaseSnapshot,
  tables: readonly TableToHash[],
  { jobs, signal }: Pick<ComputeOptions, "jobs" | "signal">,
): Promise<ReadTable[]> {
  type Reading = TableToHash & { readonly buckets: Bucket[]; written: WrittenRow[] | undefined };
  const readings = tables.map((table): Reading => ({ ...table, buckets: [], written: [] }));
  let room = mostWrittenRows;
  const keep = (table: Reading, rows: readonly WrittenRow[]): void => {
    if (table.written === undefined) return;
    if (rows.length <= room) {
      room -= rows.length;
      for (const row of rows) table.written.push(row);
    } else {
      room += table.written.length;
      table.written = undefined;
    }
  };
  await readInParallel(
    snapshot,
    jobs,
    piecesOf(readings, jobs, snapshot.serverMajor),
    async (client, { table, range }) => {
      if (table.written === undefined) return;
      table.buckets.push(...(await readBuckets(client, table.as, range, table.since)));
      if (table.since === undefined) return;
      const { rows } = await client.query<WrittenRow>(writtenQuery(table.as, range, table.since, room + 1));
      keep(table, rows);
    },
    signal,
  );
  return readings.map(({ as, since, buckets, written }) => ({
    now: written && fingerprintOf(as, [...buckets, ...written.map(bucketOf)]),
    apart: written && since !== undefined ? { unwritten: buckets, written } : undefined,
  }));
}

/**
 * Which tables hold the rows that they held in the original, in a database to which nobody writes and whose definitions
 * somebody changes meanwhile: a statement for each range, and no lock beyond it. Where one has to wait for a lock, it
 * waits.
 */
export async function findEqualTables<T extends { readonly at: ProtectedTable; readonly as: TableFingerprint }>(
  target: DatabaseTarget,
  tables: readonly T[],
  { jobs, serverMajor, signal }: Pick<ComputeOptions, "jobs" | "signal"> & { readonly serverMajor: number },
): Promise<T[]> {
  const sums = new Map(tables.map((table) => [table, { rows: 0, content: 0n }]));
  const pieces = piecesOf(tables, jobs, serverMajor);
  const sessions: Client[] = [];
  try {
    while (sessions.length < Math.min(jobs, pieces.length)) {
      const session = await connect(target);
      sessions.push(session);
      await session.query("SET lock_timeout = 0");
    }
    await runInLanes(
      sessions,
      pieces,
      async ({ table, range }, session) => {
        const { rows } = await session.query<{ rows: string; content: string }>(totalsQuery(table.as, range));
        const sum = sums.get(table)!;
        sum.rows += Number(rows[0]!.rows);
        sum.content += BigInt(rows[0]!.content);
      },
      signal,
    );
  } finally {
    await Promise.allSettled(sessions.map(closeConnection));
  }
  return tables.filter((table) => {
    const [was, is] = [totalsOf(table.as), sums.get(table)!];
    return was.rows === is.rows && was.content === is.content.toString();
  });
}

/** Largest tables first. */
function piecesOf<T extends { readonly at: ProtectedTable }>(
  tables: readonly T[],
  jobs: number,
  serverMajor: number,
): { table: T; range: PageRange | null }[] {
  const pieceBytes = fairPiece(
    tables.reduce((sum, { at }) => sum + at.bytes, 0),
    jobs,
  );
  return [...tables]
    .sort((a, b) => b.at.bytes - a.at.bytes)
    .flatMap((table) => pageRanges(table.at, pieceBytes, serverMajor).map((range) => ({ table, range })));
}

/** Hashes a table with given columns, key and buckets: also for a copy that is to be compared. */
export async function hashTable(client: Queryable, table: HashedTable): Promise<TableFingerprint> {
  return fingerprintOf(table, await readBuckets(client, table, null));
}

export async function countRows(client: ClientBase, table: Pick<ProtectedTable, "schema" | "name">): Promise<number> {
  const { rows } = await client.query<{ rows: string }>(`SELECT count(*)::text AS rows FROM ONLY ${quoteName(table)}`);
  return Number(rows[0]!.rows);
}

function sortByName(tables: readonly TableFingerprint[]): TableFingerprint[] {
  return [...tables].sort((a, b) => (displayName(a) < displayName(b) ? -1 : 1));
}
