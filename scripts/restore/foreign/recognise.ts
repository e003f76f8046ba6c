/** Tells by its first bytes what a file is: a dump of which kind, compressed how, or none. Names are not believed. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { Readable, type Transform } from "node:stream";
import { Damage, Refusal, UsageError, codeOf, messageOf } from "../../contract/failure";

export type Compression = "gzip" | "zstd" | null;

export interface RecognisedDump {
  /** `script`: SQL for psql. The others are pg_restore's: `-Fc`, `-Fd`, `-Ft`. */
  readonly format: "script" | "custom" | "directory" | "tar";
  /** Of the file as a whole. */
  readonly compression: Compression;
  readonly path: string;
}

export const formatNames: Readonly<Record<RecognisedDump["format"], string>> = {
  script: "plain SQL",
  custom: "pg_dump's custom format",
  directory: "pg_dump's directory format",
  tar: "pg_dump's tar format",
};

/** Of what is in the file: all of it that has to be seen. */
const headBytes = 4096;

/** A block of zstd, the most that has to be there before anything comes out of it (RFC 8878, "3.1.1.2"). */
const compressedHeadBytes = 256 * 1024;

/** pg_backup_archiver.c, WriteHead: five letters, three bytes of version, two of sizes, then the format. */
const archiveMagic = Buffer.from("PGDMP");
const formatPlace = 10;
const customFormat = 1;

/** RFC 1952, "2.3.1"; RFC 8878, "3.1.1". */
const magics = { gzip: Buffer.from([0x1f, 0x8b]), zstd: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) } as const;

/** POSIX.1-1988, ustar. */
const tarMagic = { place: 257, text: "ustar" } as const;
const contentsFile = "toc.dat";

export const decompressors: Readonly<Record<"gzip" | "zstd", () => Transform>> = {
  gzip: () => createGunzip(),
  zstd: () => createZstdDecompress(),
};

/**
 * @throws UsageError for whatever is no dump, or cannot be read; Damage when it cannot be decompressed.
 */
export async function recogniseDump(path: string): Promise<RecognisedDump> {
  const found = await stat(path).catch((error: unknown) => {
    throw new UsageError(
      codeOf(error) === "ENOENT" ? `${path}: no such file or folder` : `${path} cannot be read: ${messageOf(error)}`,
    );
  });
  if (found.isDirectory()) {
    const head = await readHead(join(path, contentsFile)).catch(() => Buffer.alloc(0));
    if (head.subarray(0, archiveMagic.length).equals(archiveMagic))
      return { format: "directory", compression: null, path };
    throw notADump(path, `a folder without ${contentsFile} of pg_dump`);
  }
  const raw = await readHead(path);
  const compression = compressionOf(raw);
  const head =
    compression === null
      ? raw.subarray(0, headBytes)
      : (await decompressHead(raw, compression, path)).subarray(0, headBytes);
  return { format: formatOf(head, path), compression, path };
}

function compressionOf(head: Buffer): Compression {
  for (const [name, magic] of Object.entries(magics))
    if (head.subarray(0, magic.length).equals(magic)) return name as keyof typeof magics;
  return null;
}

function formatOf(head: Buffer, path: string): RecognisedDump["format"] {
  if (head.length === 0) throw notADump(path, "nothing in it");
  if (head.subarray(0, archiveMagic.length).equals(archiveMagic)) {
    if (head[formatPlace] === customFormat) return "custom";
    throw notADump(path, `the ${contentsFile} of a dump`, "name the folder, or the tar file, that it lies in");
  }
  const { place, text } = tarMagic;
  if (head.toString("latin1", place, place + text.length) === text) {
    const name = head.toString("latin1", 0, head.indexOf(0));
    if (name === contentsFile) return "tar";
    throw notADump(path, `a tar file that begins with ${name}`, "unpack it, and name what is in it");
  }
  if (compressionOf(head) !== null) throw notADump(path, "something that is compressed twice", "decompress it once");
  return scriptOf(head, path);
}

/** What pg_dump writes first, with and without its comments (`supabase db dump` takes them out). */
function scriptOf(head: Buffer, path: string): "script" {
  const text = head.toString("latin1");
  if (/^-- PostgreSQL database cluster dump\r?$/m.test(text))
    throw new Refusal(`${path} is of pg_dumpall: it holds the roles and databases of a whole server`, {
      hint: "write a file for each database with pg_dump",
    });
  if (/^-- PostgreSQL database dump\r?$/m.test(text) || /^\s*SET statement_timeout = 0;/.test(text)) return "script";
  if (head.includes(0)) throw notADump(path, "binary data of another kind");
  throw notADump(path, "text that does not begin as pg_dump begins a dump");
}

function notADump(path: string, found: string, hint?: string): UsageError {
  return new UsageError(
    `${path} is not a dump: found ${found}, expected a file of pg_dump (SQL, -Fc or -Ft) or a folder (-Fd)`,
    hint === undefined ? {} : { hint },
  );
}

async function readHead(path: string): Promise<Buffer> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(compressedHeadBytes), 0, compressedHeadBytes, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
  } finally {
    await handle?.close();
  }
}

/** What comes out of the first bytes: that they end too early is no fault of theirs. */
async function decompressHead(raw: Buffer, compression: keyof typeof magics, path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of Readable.from([raw]).pipe(decompressors[compression]())) chunks.push(chunk as Buffer);
  } catch (error) {
    if (codeOf(error) !== "Z_BUF_ERROR") throw new Damage(`${path} is damaged: ${messageOf(error)}`, { cause: error });
  }
  return Buffer.concat(chunks);
}
