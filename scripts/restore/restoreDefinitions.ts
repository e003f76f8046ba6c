/**
 * What needs the rows, made by several sessions: they can only share a file. It holds definitions, no rows, is read to
 * its end before the first of them is used, and nobody else may read it.
 *
 * pg_restore knows which definitions lock the same tables by the tables in the archive, and this one has none: two
 * tables whose foreign keys point at each other can be in each other's way. What the server undid for that is made
 * again by one session.
 */
import { createWriteStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { readVerified } from "../backup/archiveStream";
import { type Archive, fileKey } from "../backup/manifest";
import { type RunningProgram, startProgram } from "../database/program";
import { type ArchivesOptions, restoreArguments, wholeOrNothing } from "./restoreArguments";
import { parseContents } from "./tableOfContents";

export async function restoreDefinitions(options: ArchivesOptions, archive: Archive): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "dbprotect-restore-"));
  try {
    const file = join(folder, "post-data.dump");
    const sink = createWriteStream(file, { mode: 0o600 });
    await readVerified(options.store, fileKey(options.manifest, archive.file), archive, sink, options.signal);
    const together = start(options, [...restoreArguments(options), `--jobs=${options.jobs}`, file]);
    await Promise.all([text(together.stdout), together.succeeded]).catch(async (error: unknown) => {
      if (!wasOnlyDeadlock(together.stderr())) throw error;
      await restoreAgain(options, file, join(folder, "again.list"));
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Without the workers' `--exit-on-error` pg_restore goes on after an error; only this one is gone when tried again. */
function wasOnlyDeadlock(stderr: string): boolean {
  const errors = stderr.match(/^.*ERROR: {2}.*$/gm) ?? [];
  return errors.length > 0 && errors.every((line) => line.endsWith("ERROR:  deadlock detected"));
}

/** These lock one table, so that no deadlock takes them, and making them again would take long. */
const kept = ["CONSTRAINT", "INDEX", "INDEX ATTACH", "MATERIALIZED VIEW DATA"];

/** Those that were made are dropped first: pg_restore does not say which ones were not. */
async function restoreAgain(options: ArchivesOptions, file: string, list: string): Promise<void> {
  const listed = start(options, ["--list", file]);
  const [contents] = await Promise.all([text(listed.stdout), listed.succeeded]);
  const entries = parseContents(contents).filter(({ kind }) => !kept.includes(kind));
  await writeFile(list, entries.map(({ line }) => `${line}\n`).join(""), { mode: 0o600 });
  const again = ["--clean", "--if-exists", `--use-list=${list}`, file];
  const alone = start(options, [...restoreArguments(options), ...wholeOrNothing, ...again]);
  await Promise.all([text(alone.stdout), alone.succeeded]);
}

function start({ binDir, target, signal }: ArchivesOptions, args: readonly string[]): RunningProgram {
  return startProgram({
    ...{ binDir, program: "pg_restore", target, args },
    ...(signal === undefined ? {} : { signal }),
  });
}
