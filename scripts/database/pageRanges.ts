/**
 * Cuts a table into ranges of pages that several sessions read at the same time. The server reads such a range without
 * looking at the rest of the table since version 14 (TID Range Scan); under one snapshot no row changes its place.
 */

/** The first major whose servers read a range of pages only. */
const readsRanges = 14;

const mebibyte = 1024 * 1024;

/** Pieces that each job gets: enough that all end at about the same time. */
const piecesPerJob = 4;

/** Below it, a piece of its own costs more time than it saves. */
const smallestPiece = 16 * mebibyte;

/** Above it, the end of the work would be one job's alone. */
const largestPiece = 1024 * mebibyte;

/** How large a piece of `totalBytes` is to be, that are read by so many jobs. */
export function fairPiece(totalBytes: number, jobs: number): number {
  return Math.max(smallestPiece, Math.min(totalBytes / (jobs * piecesPerJob), largestPiece));
}

/** Pages `from` to `to`, without `to`; `to` null: to the table's end, wherever that is by now. */
export interface PageRange {
  readonly from: number;
  readonly to: number | null;
}

/** What has to be known of a table to cut it. */
export interface CuttableTable {
  /** Bytes of the table with what is stored beside it (TOAST). */
  readonly bytes: number;
  /** Pages of the table proper. */
  readonly pages: number;
  /** Whether its rows lie in pages by number: PostgreSQL's own table access method. */
  readonly heap: boolean;
}

/**
 * About equal ranges of at most `pieceBytes`, together the whole table; one (null) where the table is not larger, or
 * cannot be read by ranges.
 */
export function pageRanges(table: CuttableTable, pieceBytes: number, serverMajor: number): (PageRange | null)[] {
  const pieces = Math.min(Math.ceil(table.bytes / pieceBytes), table.pages);
  if (pieces <= 1 || !table.heap || serverMajor < readsRanges) return [null];
  const start = (piece: number): number => Math.round((table.pages * piece) / pieces);
  return Array.from({ length: pieces }, (_, piece) => ({
    from: start(piece),
    to: piece === pieces - 1 ? null : start(piece + 1),
  }));
}

/** ` WHERE …` for the range; empty for a whole table. The session's search_path must find pg_catalog's operators. */
export function pageCondition(range: PageRange | null): string {
  if (range === null) return "";
  const above = `ctid >= '(${range.from},0)'`;
  return ` WHERE ${range.to === null ? above : `${above} AND ctid < '(${range.to},0)'`}`;
}
