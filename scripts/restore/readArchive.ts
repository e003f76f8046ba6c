/**
 * Reads a backup's archives with every check that they allow, with or without pg_restore at the other end.
 * Damage is judged before anything that pg_restore says: it explains whatever pg_restore then stumbled over.
 */
import { Writable } from "node:stream";
import { DatabaseError } from "pg";
import { readVerified } from "../backup/archiveStream";
import { type Archive, type BackupReference, fileKey } from "../backup/manifest";
import { Damage, Failure, Refusal, codeOf } from "../contract/failure";
import { databaseFailure } from "../database/databaseFailure";
import type { RunningProgram } from "../database/program";
import type { Store } from "../store/store";

export interface ArchiveSource {
  readonly store: Store;
  readonly backup: BackupReference;
  readonly archive: Archive;
  readonly signal?: AbortSignal;
}

/** The last line that pg_dumpall writes (pg_dumpall.c): plain SQL that was cut short has none. */
const sqlEnd = "\n-- PostgreSQL database cluster dump complete\n";

/** Bytes at the end among which that line is looked for: a blank comment, and a date with `--verbose`, follow. */
const sqlTail = 512;

/**
 * Reads the whole archive and keeps nothing of it.
 *
 * @throws Damage when it differs from the manifest, or is SQL that does not end as pg_dumpall ends it.
 */
export async function readWhole(source: ArchiveSource): Promise<void> {
  let tail = Buffer.alloc(0);
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      tail = Buffer.concat([tail, chunk.subarray(-sqlTail)]).subarray(-sqlTail);
      done();
    },
  });
  const key = keyOf(source);
  await readVerified(source.store, key, source.archive, sink, source.signal);
  if (source.archive.format === "sql" && !tail.toString("utf8").includes(sqlEnd)) {
    throw new Damage(`${key} is damaged: it does not end with the line "${sqlEnd.trim()}"`);
  }
}

/**
 * Feeds the archive to a pg_restore that was just started, and waits for both to end. pg_restore stops reading
 * where it fails, and may end well a moment before the last bytes have reached it; the checksum that tells
 * damage comes last, so the archive is then read once more, to its end.
 *
 * @param options.lastBytes `demanded` (default): all of it must be whole; `ignored`: only what pg_restore reads.
 * @throws Damage when the archive differs from the manifest; what pg_restore said when it failed.
 */
export async function feedArchive(
  source: ArchiveSource,
  program: RunningProgram,
  options: { lastBytes?: "demanded" | "ignored" } = {},
): Promise<void> {
  program.stdout.resume();
  const [reading, restoring] = await Promise.allSettled([
    readVerified(source.store, keyOf(source), source.archive, program.stdin, source.signal),
    program.succeeded,
  ]);
  if (reading.status === "fulfilled" && restoring.status === "fulfilled") return;
  if (reading.status === "rejected" && reading.reason instanceof Damage) throw reading.reason;
  if (restoring.status === "rejected") {
    if (source.signal?.aborted !== true) await readWhole(source);
    throw restoring.reason;
  }
  if (reading.status === "rejected" && !isClosedPipe(reading.reason)) throw reading.reason;
  if (options.lastBytes !== "ignored") await readWhole(source);
}

/**
 * Feeds rows to a COPY that was just started, and waits for its end. Where the server refuses a row, damage explains
 * it, if there is any.
 *
 * @throws Damage when the archive differs from the manifest: the COPY has then failed; Refusal with the server's words.
 */
export async function feedCopy(source: ArchiveSource, rows: Writable): Promise<void> {
  const key = keyOf(source);
  // Also when it is heard only later that the session, which is then closed, has ended in the middle of its COPY.
  rows.on("error", () => undefined);
  try {
    await readVerified(source.store, key, source.archive, rows, source.signal);
  } catch (error) {
    if (error instanceof Failure || source.signal?.aborted === true) throw error;
    await readWhole(source);
    const failure = databaseFailure(error);
    if (failure !== undefined || !(error instanceof DatabaseError)) throw failure ?? error;
    throw new Refusal(`the server does not take the rows of ${key}: ${error.message}`, { cause: error });
  }
}

function keyOf({ backup, archive }: ArchiveSource): string {
  return fileKey({ tier: backup.tier, name: backup.name }, archive.file);
}

/** How a reader that went away shows: depending on the moment, as each of the three. */
function isClosedPipe(error: unknown): boolean {
  return ["EPIPE", "ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"].includes(codeOf(error) ?? "");
}
