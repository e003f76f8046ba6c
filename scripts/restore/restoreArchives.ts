/**
 * Puts a backup's archives into an empty database: definitions first, then rows, several archives at the same time,
 * then what needs the rows. Every archive is checked against the manifest while it is read, and what it held is only
 * committed when it was whole; a damaged one ends the restore.
 */
import { from as copyFrom } from "pg-copy-streams";
import { copyBackStatement } from "../backup/copyRows";
import { type Archive, type CopiedArchive } from "../backup/manifest";
import { startProgress } from "../backup/progress";
import { withConnection } from "../database/connect";
import { allOrNone, runInLanes } from "../database/lanes";
import { startProgram } from "../database/program";
import { type ArchiveSource, feedArchive, feedCopy } from "./readArchive";
import { type ArchivesOptions, restoreArguments, wholeOrNothing } from "./restoreArguments";
import { restoreDefinitions } from "./restoreDefinitions";

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
  if (options.jobs === 1) {
    // One session needs no file to share, and can take all of it in one transaction.
    for (const archive of ofSection("post-data")) {
      signal?.throwIfAborted();
      await restoreDump(options, archive, signal);
      done(archive);
    }
    return;
  }
  await allOrNone(
    [
      async (stop) => {
        for (const archive of ofSection("post-data")) {
          await restoreDefinitions({ ...options, signal: stop }, archive);
          done(archive);
        }
      },
      (stop) => options.meanwhile?.(stop) ?? Promise.resolve(),
    ],
    signal,
  );
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

/** One transaction an archive: an archive that turns out to be damaged at its end leaves no row behind. */
async function restoreDump(options: ArchivesOptions, archive: Archive, signal: AbortSignal | undefined): Promise<void> {
  const program = startProgram({
    ...{ binDir: options.binDir, program: "pg_restore", target: options.target },
    args: [...restoreArguments(options), ...wholeOrNothing],
    ...(signal === undefined ? {} : { signal }),
  });
  await feedArchive(sourceOf(options, archive, signal), program);
}

/** Committed only after the last of its checksums was right. */
async function restoreCopy(options: ArchivesOptions, archive: CopiedArchive, signal: AbortSignal): Promise<void> {
  const { manifest, target } = options;
  const table = { schema: archive.schema, name: archive.table };
  await withConnection(target, async (client) => {
    // Nobody trusts these rows before a later commit that does wait for the disk: with it, theirs is there too.
    await client.query("BEGIN; SET LOCAL synchronous_commit = off");
    const rows = client.query(copyFrom(copyBackStatement(table, archive.columns, manifest.encoding)));
    await feedCopy(sourceOf(options, archive, signal), rows);
    await client.query("COMMIT");
  });
}
