/**
 * Puts a backup's archives into an empty database: definitions first, then rows, several archives at the same time,
 * then what needs the rows. Every archive is checked against the manifest while it is read, and what it held is only
 * committed when it was whole; a damaged one ends the restore.
 */
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { from as copyFrom } from "pg-copy-streams";
import { readVerified } from "../backup/archiveStream";
import { copyBackStatement } from "../backup/copyRows";
import { type Archive, type CopiedArchive, type Manifest, fileKey } from "../backup/manifest";
import { startProgress } from "../backup/progress";
import { withConnection } from "../database/connect";
import { runInLanes } from "../database/lanes";
import { startProgram } from "../database/program";
import type { DatabaseTarget } from "../database/target";
import type { Store } from "../store/store";
import { type ArchiveSource, feedArchive, feedCopy } from "./readArchive";

export interface ArchivesOptions {
  readonly store: Store;
  readonly manifest: Manifest;
  /** An empty database. */
  readonly target: DatabaseTarget;
  /** Of the client programs. */
  readonly binDir: string;
  /** Archives of rows that are read, and indexes that are built, at the same time. */
  readonly jobs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

const restored: readonly Archive["section"][] = ["pre-data", "data", "post-data"];

/** Whether it is put into the database; of the cluster's roles a restore makes those that the manifest names. */
export function isRestored(archive: Archive): boolean {
  return restored.includes(archive.section);
}

export async function restoreArchives(options: ArchivesOptions): Promise<void> {
  const { manifest, signal, onProgress } = options;
  const ofSection = (section: Archive["section"]): Archive[] =>
    manifest.archives.filter((archive) => archive.section === section);
  const done = ({ file }: Archive): void => onProgress?.(`${file} restored`);
  for (const archive of ofSection("pre-data")) {
    signal?.throwIfAborted();
    await restoreDump(options, archive, signal);
    done(archive);
  }
  await restoreRows(options, ofSection("data"), done);
  for (const archive of ofSection("post-data")) {
    signal?.throwIfAborted();
    // One session needs no file to share, and can take all of it in one transaction.
    await (options.jobs === 1 ? restoreDump(options, archive, signal) : restoreStaged(options, archive));
    done(archive);
  }
}

/** Largest first, so that no lane ends long after the others. */
async function restoreRows(
  options: ArchivesOptions,
  archives: readonly Archive[],
  done: (archive: Archive) => void,
): Promise<void> {
  const total = archives.reduce((sum, archive) => sum + archive.uncompressedBytes, 0);
  const progress = startProgress("rows restored", total, options.onProgress);
  try {
    await runInLanes(
      Array.from({ length: options.jobs }),
      [...archives].sort((a, b) => b.uncompressedBytes - a.uncompressedBytes),
      async (archive, _lane, signal) => {
        await (archive.format === "copy"
          ? restoreCopy(options, archive, signal)
          : restoreDump(options, archive, signal));
        progress.add(archive.uncompressedBytes);
        done(archive);
      },
      options.signal,
    );
  } finally {
    progress.end();
  }
}

function sourceOf(
  { store, manifest }: ArchivesOptions,
  archive: Archive,
  signal: AbortSignal | undefined,
): ArchiveSource {
  return { store, backup: manifest, archive, ...(signal === undefined ? {} : { signal }) };
}

/** Another server need have neither the tablespaces nor what provides the labels (manifest.notRestored). */
const restoreArguments = ["--no-password", "--exit-on-error", "--no-tablespaces", "--no-security-labels"];

/** One transaction an archive: an archive that turns out to be damaged at its end leaves no row behind. */
async function restoreDump(options: ArchivesOptions, archive: Archive, signal: AbortSignal | undefined): Promise<void> {
  const program = startProgram({
    ...{ binDir: options.binDir, program: "pg_restore", target: options.target },
    args: [...restoreArguments, "--single-transaction", `--dbname=${options.target.database}`],
    ...(signal === undefined ? {} : { signal }),
  });
  await feedArchive(sourceOf(options, archive, signal), program);
}

/** Committed only after the last of its checksums was right. */
async function restoreCopy(options: ArchivesOptions, archive: CopiedArchive, signal: AbortSignal): Promise<void> {
  const { manifest, target } = options;
  const table = { schema: archive.schema, name: archive.table };
  await withConnection(target, async (client) => {
    await client.query("BEGIN");
    const rows = client.query(copyFrom(copyBackStatement(table, archive.columns, manifest.encoding)));
    await feedCopy(sourceOf(options, archive, signal), rows);
    await client.query("COMMIT");
  });
}

/**
 * Several sessions of pg_restore can only share a file. It holds definitions, no rows, is read to its end before the
 * first of them is used, and nobody else may read it.
 */
async function restoreStaged(options: ArchivesOptions, archive: Archive): Promise<void> {
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const folder = await mkdtemp(join(tmpdir(), "dbprotect-restore-"));
  try {
    const file = join(folder, "post-data.dump");
    const sink = createWriteStream(file, { mode: 0o600 });
    await readVerified(options.store, fileKey(options.manifest, archive.file), archive, sink, options.signal);
    const program = startProgram({
      ...{ binDir: options.binDir, program: "pg_restore", target: options.target },
      args: [...restoreArguments, `--jobs=${options.jobs}`, `--dbname=${options.target.database}`, file],
      ...signal,
    });
    program.stdout.resume();
    await program.succeeded;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
