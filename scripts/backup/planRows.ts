/**
 * Plans which archive holds which rows, so that several can be written, and later restored, at the same time. What is
 * large enough gets `copy` archives of its own, a table larger than its fair share several of them; the rest goes to
 * the one archive of rows that pg_dump writes, with sequences and large objects. Pure.
 */
import { type PageRange, fairPiece, pageRanges } from "../database/pageRanges";
import { type QualifiedName, quoteName } from "../database/sqlText";
import type { ProtectedTable } from "../database/tables";

/** A smaller table never gets an archive of its own: of such there may be thousands. */
const smallestTable = 1024 * 1024;

/** Bytes of arguments that pg_dump gets to leave out tables: half of what macOS allows for a program's start (1 MiB). */
const mostArgumentBytes = 512 * 1024;

/** What the plan has to know of a table. */
export type PlannedTable = Pick<
  ProtectedTable,
  "schema" | "name" | "bytes" | "pages" | "heap" | "loadedByRoot" | "dataColumns"
>;

/** One `copy` archive: a table, or a range of its pages. */
export interface CopiedPiece<T extends PlannedTable = PlannedTable> {
  readonly table: T;
  /** Null: the whole table. */
  readonly range: PageRange | null;
  /** Its share of the table's bytes, in the database: an estimate of what is to be read. */
  readonly bytes: number;
}

export interface RowPlan<T extends PlannedTable = PlannedTable> {
  /** Largest tables first. */
  readonly copied: readonly CopiedPiece<T>[];
  /** Bytes of the tables whose rows pg_dump writes. */
  readonly dumpedBytes: number;
  /** Bytes of all tables. */
  readonly totalBytes: number;
}

export interface RowPlanOptions {
  readonly jobs: number;
  readonly serverMajor: number;
  /** Bytes of tables that an archive is to hold, about. Default: see `fairPiece`. */
  readonly pieceBytes?: number;
}

export function planRows<T extends PlannedTable>(tables: readonly T[], options: RowPlanOptions): RowPlan<T> {
  const totalBytes = tables.reduce((sum, table) => sum + table.bytes, 0);
  const pieceBytes = options.pieceBytes ?? fairPiece(totalBytes, options.jobs);
  const copied: CopiedPiece<T>[] = [];
  let dumpedBytes = totalBytes;
  let argumentBytes = 0;
  for (const table of [...tables].sort((a, b) => b.bytes - a.bytes)) {
    if (dumpedBytes <= pieceBytes || table.bytes < Math.min(pieceBytes, smallestTable)) break;
    argumentBytes += excludedRows(table).length;
    if (argumentBytes > mostArgumentBytes) break;
    if (!isCopied(table)) continue;
    const ranges = pageRanges(table, pieceBytes, options.serverMajor);
    copied.push(...ranges.map((range) => ({ table, range, bytes: table.bytes / ranges.length })));
    dumpedBytes -= table.bytes;
  }
  return { copied, dumpedBytes, totalBytes };
}

/**
 * pg_dump knows how to write the rows of every table; COPY those of all but two kinds: without a column (COPY has no
 * such list), and below a table that is partitioned by the hash of an enum, whose rows another server may put
 * elsewhere (pg_dump 16 writes them through the root: `forcePartitionRootLoad`).
 */
function isCopied(table: PlannedTable): boolean {
  return table.dataColumns.length > 0 && !table.loadedByRoot;
}

/** Has pg_dump leave out the table's rows, but not its definition and sequences. Quoted: pg_dump reads a pattern. */
export function excludedRows(table: QualifiedName): string {
  return `--exclude-table-data=${quoteName(table)}`;
}
