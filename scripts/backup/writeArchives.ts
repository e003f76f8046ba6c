/**
 * Writes the archives of a backup, several at the same time, all of one snapshot: definitions and roles by pg_dump and
 * pg_dumpall, rows as `planRows` has it. Each is streamed into the store; none is staged on disk.
 */
import { type RunningProgram, startProgram } from "../database/program";
import { allOrNone, runInLanes } from "../database/lanes";
import type { DatabaseSnapshot } from "../database/snapshot";
import type { BackupScope } from "../database/supabasePreset";
import type { DatabaseTarget } from "../database/target";
import type { Store } from "../store/store";
import { archiveName } from "./ageKeys";
import { type StoredStream, storeCompressed } from "./archiveStream";
import { CompressionLevel } from "./compressionLevel";
import { copyBackStatement, startCopy } from "./copyRows";
import { dumpFilters } from "./dumpFilters";
import { type Archive, type BackupReference, type CopiedArchive, type DumpedArchive, fileKey } from "./manifest";
import { type CopiedPiece, type RowPlan, excludedRows, planRows } from "./planRows";
import { type Progress, startProgress } from "./progress";

export interface ArchiveOptions {
  readonly target: DatabaseTarget;
  readonly store: Store;
  readonly reference: BackupReference;
  readonly snapshot: DatabaseSnapshot;
  readonly scope: BackupScope;
  /** Of the client programs. */
  readonly binDir: string;
  /** The database's encoding. */
  readonly encoding: string;
  /** Archives of rows that are written at the same time. */
  readonly jobs: number;
  /** Public keys of age that they are encrypted to; empty: they are not. */
  readonly recipients: readonly string[];
  /** Bytes of tables that an archive is to hold, about. Default: see `fairPiece`. */
  readonly pieceBytes?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

/** What of the plan and the options every archive shares. */
interface Writing extends ArchiveOptions {
  readonly compression: CompressionLevel;
  readonly progress: Progress;
}

/** @returns the archives in the order in which a restore takes them, roles first. */
export async function writeArchives(options: ArchiveOptions): Promise<Archive[]> {
  const plan = planRows(options.snapshot.tables, {
    jobs: options.jobs,
    serverMajor: options.snapshot.serverMajor,
    ...(options.pieceBytes === undefined ? {} : { pieceBytes: options.pieceBytes }),
  });
  const compression = new CompressionLevel();
  options.onProgress?.(describePlan(plan, options.jobs, compression.level));
  const progress = startProgress("rows read", plan.totalBytes, options.onProgress);
  const writing = (signal: AbortSignal): Writing => ({ ...options, compression, progress, signal });
  try {
    const [[roles, pre, post], rows] = await allOrNone<[Archive[], Archive[]]>(
      [
        (signal) => writeDefinitions(writing(signal)),
        (signal) =>
          runInLanes(
            Array.from({ length: options.jobs }),
            rowArchives(plan),
            (write, _lane, stop) => write(writing(stop)),
            signal,
          ),
      ],
      options.signal,
    );
    return [roles!, pre!, ...rows, post!];
  } finally {
    progress.end();
  }
}

function describePlan({ copied, dumpedBytes, totalBytes }: RowPlan, jobs: number, level: number): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
  const tables = new Set(copied.map(({ table }) => table)).size;
  const pieces =
    copied.length === 0
      ? ""
      : `, of them ${megabytes(totalBytes - dumpedBytes)} MB of ${tables} table(s) in ${copied.length} archive(s) of their own`;
  return `${megabytes(totalBytes)} MB of tables${pieces}; ${jobs} job(s), zstd level ${level}`;
}

type WriteArchive = (writing: Writing) => Promise<Archive>;

/** First the one that cannot be divided. */
function rowArchives(plan: RowPlan): WriteArchive[] {
  const excluded = [...new Set(plan.copied.map(({ table }) => table))].map(excludedRows);
  return [
    (writing) => writeDumpedRows(writing, excluded, plan.dumpedBytes),
    ...plan.copied.map(
      (piece, place): WriteArchive =>
        (writing) =>
          writeCopiedRows(writing, piece, place + 1),
    ),
  ];
}

/** One after the other: they take a moment, and a connection each. */
async function writeDefinitions(writing: Writing): Promise<DumpedArchive[]> {
  const definitions = (file: string, section: "pre-data" | "post-data"): Promise<DumpedArchive> =>
    writeDump(writing, { file, format: "custom", section }, startDump(writing, section, []));
  const roles = startProgram({
    ...{ binDir: writing.binDir, program: "pg_dumpall", target: writing.target, watched: true },
    // Passwords need a superuser, and belong to no archive.
    args: ["--roles-only", "--no-role-passwords", "--no-password", `--database=${writing.target.database}`],
    ...(writing.signal === undefined ? {} : { signal: writing.signal }),
  });
  return [
    await writeDump(writing, { file: "roles.sql.zst", format: "sql", section: "roles" }, roles),
    await definitions("schema-pre.dump.zst", "pre-data"),
    await definitions("schema-post.dump.zst", "post-data"),
  ];
}

/** Sequences, large objects, and the rows of all tables that have no archive of their own. */
async function writeDumpedRows(writing: Writing, excluded: readonly string[], bytes: number): Promise<Archive> {
  const kind = { file: rowFile(0, "dump"), format: "custom", section: "data" } as const;
  return counted(writing, bytes, (onBytes) => writeDump(writing, kind, startDump(writing, "data", excluded), onBytes));
}

async function writeCopiedRows(writing: Writing, piece: CopiedPiece, place: number): Promise<CopiedArchive> {
  const { target, binDir, snapshot, encoding, signal } = writing;
  const source = { target, binDir, encoding, snapshotId: snapshot.id, serverMajor: snapshot.serverMajor };
  const file = archiveName(rowFile(place, "copy"), writing.recipients);
  const { schema, name, dataColumns } = piece.table;
  const stored = await counted(writing, piece.bytes, (onBytes) =>
    storeOutput(writing, file, startCopy(piece, source, signal), onBytes),
  );
  const statement = copyBackStatement(piece.table, dataColumns, encoding);
  return {
    file,
    format: "copy",
    section: "data",
    ...stored,
    schema,
    table: name,
    columns: [...dataColumns],
    statement,
  };
}

function rowFile(place: number, kind: "dump" | "copy"): string {
  return `data-${String(place).padStart(3, "0")}.${kind}.zst`;
}

/** Progress counts the bytes of tables; what comes of them is another number, and only at the end the right one. */
async function counted<T>(
  { progress }: Writing,
  bytes: number,
  write: (onBytes: (count: number) => void) => Promise<T>,
): Promise<T> {
  let counted = 0;
  const result = await write((count) => {
    const added = Math.min(count, bytes - counted);
    counted += added;
    progress.add(added);
  });
  progress.add(bytes - counted);
  return result;
}

/** `--compress=0`: compression is ours, so that every frame carries a checksum. */
function startDump(writing: Writing, section: DumpedArchive["section"], more: readonly string[]): RunningProgram {
  return startProgram({
    ...{ binDir: writing.binDir, program: "pg_dump", target: writing.target, watched: true },
    args: [
      ...["--format=custom", "--compress=0", "--no-password", "--lock-wait-timeout=10s"],
      ...[`--snapshot=${writing.snapshot.id}`, `--section=${section}`, ...dumpFilters(writing.scope), ...more],
    ],
    ...(writing.signal === undefined ? {} : { signal: writing.signal }),
  });
}

async function writeDump(
  writing: Writing,
  kind: Pick<DumpedArchive, "file" | "format" | "section">,
  program: RunningProgram,
  onBytes?: (bytes: number) => void,
): Promise<DumpedArchive> {
  const file = archiveName(kind.file, writing.recipients);
  return { ...kind, file, ...(await storeOutput(writing, file, program, onBytes)) };
}

async function storeOutput(
  { store, reference, recipients, compression, signal, onProgress }: Writing,
  file: string,
  program: RunningProgram,
  onBytes?: (bytes: number) => void,
): Promise<StoredStream> {
  const stored = await storeCompressed(store, fileKey(reference, file), program.stdout, {
    succeeded: () => program.succeeded,
    ...{ recipients, compression, ownsChunks: true },
    ...(onBytes === undefined ? {} : { onBytes }),
    ...(signal === undefined ? {} : { signal }),
  });
  onProgress?.(`${file}: ${stored.bytes} bytes`);
  return stored;
}
