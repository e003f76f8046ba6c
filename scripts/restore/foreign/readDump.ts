/** Reads a dump as the script that makes its database: SQL as it is, pg_dump's archives through pg_restore, to their end. */
import { createReadStream } from "node:fs";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { loadModule } from "libpg-query";
import { Damage, codeOf, messageOf } from "../../contract/failure";
import { startProgram } from "../../database/program";
import { type AlreadyThere, type DumpSummary, DumpScript } from "./dumpScript";
import { type RecognisedDump, decompressors } from "./recognise";
import { TarFile } from "./tarFile";

export interface ReadDumpOptions {
  /** Of the client programs. */
  readonly binDir: string;
  /** Default: what a new database has. */
  readonly there?: AlreadyThere;
  readonly signal?: AbortSignal;
}

/**
 * @param consume reads all of the script that it is given, which runs in one transaction and holds nothing of the
 *   server's. Default: only judged.
 * @throws Damage when the dump cannot be read to its end, or is unfinished; Refusal when it is not of one database, or
 *   holds no rows. `consume` may have read all of it by then.
 */
export async function readDump(
  dump: RecognisedDump,
  options: ReadDumpOptions,
  consume: (script: DumpScript) => Promise<void> = discard,
): Promise<DumpSummary> {
  await loadModule();
  const script = new DumpScript(options.there);
  // Neither must wait for what the other will not give.
  const breakOff = (error: unknown): never => {
    script.destroy(error instanceof Error ? error : new Error(messageOf(error)));
    throw error;
  };
  const [written, read] = await Promise.allSettled([
    feedInto(dump, script, options).catch(breakOff),
    consume(script).catch(breakOff),
  ]);
  // Whoever was broken off by the other knows less.
  const failures = [written, read].flatMap((part): unknown[] => (part.status === "rejected" ? [part.reason] : []));
  if (failures.length > 0) throw failures.find((error) => !isBrokenOff(error)) ?? failures[0];
  return script.summary(dump.path);
}

function isBrokenOff(error: unknown): boolean {
  return ["ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED", "EPIPE"].includes(codeOf(error) ?? "");
}

async function discard(script: DumpScript): Promise<void> {
  await pipeline(script, new Writable({ write: (_chunk, _encoding, done) => done() }));
}

/** The file's bytes, decompressed, into `sink`. */
async function feed(
  { path, compression }: RecognisedDump,
  sink: NodeJS.WritableStream,
  options: ReadDumpOptions,
): Promise<void> {
  const stages = compression === null ? [] : [decompressors[compression]()];
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  await pipeline([file, ...stages, sink], signalOf(options)).catch((error: unknown) => {
    throw damageOf(path, error);
  });
}

function feedInto(dump: RecognisedDump, script: DumpScript, options: ReadDumpOptions): Promise<void> {
  return dump.format === "script" ? feed(dump, script, options) : feedArchive(dump, script, options);
}

/** pg_restore reads what is not compressed by itself: from a pipe it could not seek. */
async function feedArchive(dump: RecognisedDump, script: DumpScript, options: ReadDumpOptions): Promise<void> {
  if (dump.format === "tar") await feed(dump, new TarFile(dump.path), options);
  const piped = dump.compression !== null;
  const program = startProgram({
    ...{ binDir: options.binDir, program: "pg_restore" },
    args: ["--no-tablespaces", "--no-security-labels", "--file=-", ...(piped ? [] : [dump.path])],
    ...signalOf(options),
  });
  const [fed, written, ended] = await Promise.allSettled([
    piped ? feed(dump, program.stdin, options) : Promise.resolve(),
    pipeline(program.stdout, script),
    program.succeeded,
  ]);
  if (written.status === "rejected" && !isBrokenOff(written.reason)) throw written.reason;
  if (fed.status === "rejected" && !isBrokenOff(fed.reason)) throw fed.reason;
  if (ended.status === "rejected") throw ended.reason;
  if (written.status === "rejected") throw written.reason;
}

function signalOf({ signal }: ReadDumpOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** zlib's errors are told by their codes: `Z_DATA_ERROR`, `Z_BUF_ERROR` for an end that came too early, `ZSTD_…`. */
function damageOf(path: string, error: unknown): unknown {
  return /^(Z_|ZSTD_)/.test(codeOf(error) ?? "")
    ? new Damage(`${path} is damaged: ${messageOf(error)}`, { cause: error })
    : error;
}
