/**
 * Whether an S3 server keeps what it said that it took. A 200 is the server's word; a second request shows the object: our
 * mark, its length, and, where the server has one, the checksum of what it stored. One more request for each object; that
 * a server which keeps other bytes and tells the right checksum lies, only reading them back shows (depth 5).
 */
import { crc32 } from "node:zlib";
import { Damage } from "../contract/failure";
import type { S3Connection } from "./s3Connection";
import { isAbsent } from "./s3Failure";

export interface Kept {
  /** Mark of the writer, in the object's metadata. */
  readonly writer: string;
  readonly bytes: number;
  /** CRC32 as S3 writes it: base64, and for an upload in parts `-<parts>` behind. */
  readonly checksum: string;
}

/** How often an object is looked for that a server with several nodes does not show yet. */
const lookAttempts = 4;

/** @throws Damage when the object is not the one that was written; a failure of the contract. */
export async function demandKept(
  connection: S3Connection,
  key: string,
  expected: Kept,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const found = await lookAt(connection, key, signal);
    if (found === undefined && attempt < lookAttempts) {
      await connection.pause(attempt, signal);
      continue;
    }
    const problem = problemOf(found, expected);
    if (problem === undefined) return;
    throw new Damage(`store ${connection.url}: ${connection.host} said that it took ${key}, but ${problem}`, {
      hint: "this store cannot be trusted with backups: compare it with store:compare before you rely on anything in it",
    });
  }
}

type Found = { [name in keyof Kept]: Kept[name] | undefined };

async function lookAt(connection: S3Connection, key: string, signal?: AbortSignal): Promise<Found | undefined> {
  try {
    const head = await connection.send(
      ({ sdk, client }) =>
        client.send(
          new sdk.HeadObjectCommand({ ...connection.at(key), ChecksumMode: "ENABLED" }),
          signal === undefined ? {} : { abortSignal: signal },
        ),
      signal,
    );
    return { writer: head.Metadata?.["writer"], bytes: head.ContentLength, checksum: head.ChecksumCRC32 };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw connection.failure(error);
  }
}

/** Undefined: it is what was written, as far as the server tells. */
function problemOf(found: Found | undefined, expected: Kept): string | undefined {
  if (found === undefined) return "keeps nothing";
  if (found.writer !== undefined && found.writer !== expected.writer) return "keeps what somebody else wrote";
  if (found.bytes !== expected.bytes) return `keeps ${found.bytes} bytes of ${expected.bytes}`;
  if (found.checksum === undefined || isOtherKind(found.checksum, expected.checksum)) return undefined;
  return found.checksum === expected.checksum ? undefined : "keeps other bytes";
}

/** A server may tell the checksum of the whole where S3 tells one of the parts' checksums. */
function isOtherKind(found: string, expected: string): boolean {
  return found.includes("-") !== expected.includes("-");
}

/** CRC32 of the bytes, in base64. */
export function checksumOf(bytes: Buffer): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString("base64");
}

/** Of an upload in parts: the CRC32 of its parts' CRC32s, and their number (S3 User Guide, "Checking object integrity"). */
export function checksumOfParts(checksums: readonly string[]): string {
  const all = Buffer.concat(checksums.map((checksum) => Buffer.from(checksum, "base64")));
  return `${checksumOf(all)}-${checksums.length}`;
}
