/**
 * The rows of one piece of a table, as COPY writes them, read by a psql of its own in the backup's snapshot. psql and
 * not a stream of our own: its bytes cost our process nothing until they are compressed.
 */
import { pinnedSettings } from "../database/connect";
import { pageCondition } from "../database/pageRanges";
import { type RunningProgram, startProgram } from "../database/program";
import { type QualifiedName, quoteIdentifier, quoteLiteral, quoteName } from "../database/sqlText";
import type { DatabaseTarget } from "../database/target";
import type { CopiedPiece } from "./planRows";

export interface RowSource {
  readonly target: DatabaseTarget;
  readonly binDir: string;
  /** Of the exported snapshot. */
  readonly snapshotId: string;
  readonly serverMajor: number;
  /** The database's own encoding: in it rows are written, so that none has to be converted. */
  readonly encoding: string;
}

export function startCopy(piece: CopiedPiece, source: RowSource, signal?: AbortSignal): RunningProgram {
  const { table, range } = piece;
  const rows = `SELECT ${table.dataColumns.map(quoteIdentifier).join(", ")} FROM ONLY ${quoteName(table)}${pageCondition(range)}`;
  const statements = [
    ...pinnedSettings(source.serverMajor),
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    `SET TRANSACTION SNAPSHOT ${quoteLiteral(source.snapshotId)}`,
    `COPY (${rows}) TO STDOUT WITH (ENCODING ${quoteLiteral(source.encoding)})`,
  ];
  return startProgram({
    binDir: source.binDir,
    program: "psql",
    args: ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", `--command=${statements.join("; ")}`],
    target: source.target,
    watched: true,
    ...(signal === undefined ? {} : { signal }),
  });
}

/** The statement that takes the rows of a `copy` archive back: ours, and a person's with psql. */
export function copyBackStatement(table: QualifiedName, columns: readonly string[], encoding: string): string {
  const names = columns.map(quoteIdentifier).join(", ");
  return `COPY ${quoteName(table)} (${names}) FROM STDIN WITH (ENCODING ${quoteLiteral(encoding)})`;
}
