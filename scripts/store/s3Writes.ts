/** Conditional writes to a bucket: plain ones, and those in parts. Each knows its own write again by a mark on it. */
import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import type { CompletedPart, PutObjectCommandInput } from "@aws-sdk/client-s3";
import { Failure, Unavailable, messageOf } from "../contract/failure";
import { type Part, type PartPolicy, mostBytes } from "./parts";
import type { S3Connection } from "./s3Connection";
import { checksumOf, checksumOfParts, demandKept } from "./s3Kept";
import { isAbsent, statusOf } from "./s3Failure";
import type { ObjectLock } from "./objectLock";
import { AlreadyExists } from "./store";

/** How often a write is repeated that collided with another one (409 ConditionalRequestConflict). */
const conflictAttempts = 4;

/** Parts of one upload under way at once; the memory of all uploads together has a ceiling of its own. */
const partsInFlight = 6;

/** How long it is tried to take back an upload that failed: whoever waits has an error to hear. */
const takeBackSeconds = 15;

export type WriteCondition = Pick<PutObjectCommandInput, "IfMatch" | "IfNoneMatch">;
export type Encryption = Pick<PutObjectCommandInput, "ServerSideEncryption" | "SSEKMSKeyId">;
/** What a write says of the object besides its bytes. */
export type ObjectSettings = Encryption & ObjectLock;

/**
 * The writer's mark and the version of an object, or undefined when there is none.
 *
 * @throws a failure of the contract.
 */
export async function writerOf(
  connection: S3Connection,
  key: string,
  signal?: AbortSignal,
): Promise<{ writer: string | undefined; version: string } | undefined> {
  try {
    const head = await connection.send(
      ({ sdk, client }) => client.send(new sdk.HeadObjectCommand(connection.at(key)), abortable(signal)),
      signal,
    );
    return { writer: head.Metadata?.["writer"], version: head.ETag ?? "" };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw connection.failure(error);
  }
}

/** What a write left: the mark that the object bears, and its entity tag. */
export interface Written {
  readonly writer: string;
  readonly version: string;
}

/**
 * One write. A repeated request whose first try had arrived after all meets its own object: the mark of the writer in
 * its metadata tells that from somebody else's.
 *
 * @throws the SDK's error.
 */
export async function putObject(
  connection: S3Connection,
  key: string,
  body: Buffer,
  condition: WriteCondition & ObjectSettings,
  signal?: AbortSignal,
): Promise<Written> {
  const writer = randomUUID();
  const object = { ...connection.at(key), Body: body, ChecksumCRC32: checksumOf(body), Metadata: { writer } };
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await connection.send(
        ({ sdk, client }) => client.send(new sdk.PutObjectCommand({ ...object, ...condition }), abortable(signal)),
        signal,
      );
      return { writer, version: answer.ETag ?? "" };
    } catch (error) {
      if (signal?.aborted === true) throw error;
      const found = isUnclear(error) ? await writerOf(connection, key).catch(() => undefined) : undefined;
      if (found?.writer === writer) return { writer, version: found.version };
      if (statusOf(error) !== 409 || attempt === conflictAttempts) throw error;
      await connection.pause(attempt, signal);
    }
  }
}

export interface UploadOptions {
  readonly key: string;
  /** Where `first` and `others` come from: ended when a part cannot be sent, for its producer may wait for us. */
  readonly body: Readable;
  readonly first: Part;
  readonly others: AsyncIterable<Part>;
  readonly policy: PartPolicy;
  readonly settings: ObjectSettings;
  /** Makes the last request fail when the key is taken; empty for a server that honours no condition there. */
  readonly condition: Pick<WriteCondition, "IfNoneMatch">;
  readonly signal: AbortSignal | undefined;
}

/**
 * One object that is written once, and looked at again: the server's word that it took it is no proof.
 *
 * @throws as `putObject`; Damage when it keeps something else.
 */
export async function putOnce(
  connection: S3Connection,
  key: string,
  body: Buffer,
  condition: WriteCondition & ObjectSettings,
  signal?: AbortSignal,
): Promise<void> {
  const { writer } = await putObject(connection, key, body, condition, signal);
  await demandKept(connection, key, { writer, bytes: body.byteLength, checksum: checksumOf(body) }, signal);
}

/**
 * Sends the parts and completes the upload, or takes it back; what it became is looked at again. lib-storage's `Upload` is not used: its parts cannot
 * grow, and when aborted it returns before it has taken the upload back.
 *
 * @returns bytes.
 * @throws AlreadyExists, a failure of the contract, the error of `body`, the reason of `signal`; Damage when the server
 *   keeps something else.
 */
export async function uploadParts(connection: S3Connection, options: UploadOptions): Promise<number> {
  const writer = randomUUID();
  const uploaded = await sendParts(connection, options, writer);
  await demandKept(connection, options.key, { writer, ...uploaded }, options.signal);
  return uploaded.bytes;
}

async function sendParts(
  connection: S3Connection,
  options: UploadOptions,
  writer: string,
): Promise<{ readonly bytes: number; readonly checksum: string }> {
  const { key, body, first, others, policy, settings, condition, signal } = options;
  const upload = await startUpload(connection, key, writer, settings, signal);
  const underWay = new Map<number, Promise<void>>();
  const sent: CompletedPart[] = [];
  const checksums: string[] = [];
  let total = 0;
  let completing = false;

  const send = async ({ number, bytes, giveBack }: Part): Promise<void> => {
    try {
      const checksum = checksumOf(bytes);
      checksums[number - 1] = checksum;
      const part = { ...upload, PartNumber: number, Body: bytes, ChecksumCRC32: checksum };
      const answer = await connection.send(
        ({ sdk, client }) => client.send(new sdk.UploadPartCommand(part), abortable(signal)),
        signal,
      );
      sent.push({ PartNumber: number, ETag: answer.ETag, ChecksumCRC32: answer.ChecksumCRC32 });
    } catch (error) {
      const failure = partFailure(connection, number, error);
      body.destroy(failure as Error);
      throw failure;
    } finally {
      giveBack();
      underWay.delete(number);
    }
  };

  const enqueue = async (part: Part): Promise<void> => {
    if (part.number > policy.mostParts) {
      part.giveBack();
      throw tooLarge(connection, key, policy);
    }
    total += part.bytes.byteLength;
    const sending = send(part);
    // Its error is met again by whoever waits for it, at the latest before the end.
    sending.catch(() => undefined);
    underWay.set(part.number, sending);
    if (underWay.size >= partsInFlight) await Promise.race(underWay.values());
  };

  try {
    await enqueue(first);
    for await (const part of others) await enqueue(part);
    await Promise.all(underWay.values());
    sent.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    // Where the last request has no condition, this look is the best there is.
    if (condition.IfNoneMatch === undefined && (await writerOf(connection, key, signal)) !== undefined)
      throw new AlreadyExists(key);
    completing = true;
    await connection.send(
      ({ sdk, client }) =>
        client.send(
          new sdk.CompleteMultipartUploadCommand({ ...upload, ...condition, MultipartUpload: { Parts: sent } }),
          abortable(signal),
        ),
      signal,
    );
    return { bytes: total, checksum: checksumOfParts(checksums) };
  } catch (error) {
    // As in putObject: the completion may have arrived although its answer did not.
    if (completing && isUnclear(error)) {
      const found = await writerOf(connection, key).catch(() => undefined);
      if (found?.writer === writer) return { bytes: total, checksum: checksumOfParts(checksums) };
    }
    // A part that arrives after the upload was taken back would stay, and cost, for ever.
    await Promise.allSettled(underWay.values());
    // What cannot be taken back now (the server is gone), the next backup or the bucket's lifecycle rule removes.
    const soon = AbortSignal.timeout(takeBackSeconds * 1000);
    await connection
      .send(({ sdk, client }) => client.send(new sdk.AbortMultipartUploadCommand(upload), abortable(soon)), soon)
      .catch(() => undefined);
    throw statusOf(error) === 412 ? new AlreadyExists(key) : connection.failure(error);
  }
}

async function startUpload(
  connection: S3Connection,
  key: string,
  writer: string,
  settings: ObjectSettings,
  signal: AbortSignal | undefined,
): Promise<{ Bucket: string; Key: string; UploadId: string | undefined }> {
  const place = connection.at(key);
  const mark = { ChecksumAlgorithm: "CRC32", Metadata: { writer } } as const;
  try {
    const { UploadId } = await connection.send(
      ({ sdk, client }) =>
        client.send(new sdk.CreateMultipartUploadCommand({ ...place, ...mark, ...settings }), abortable(signal)),
      signal,
    );
    return { ...place, UploadId };
  } catch (error) {
    throw connection.failure(error);
  }
}

/** A server that allows fewer parts refuses the first one beyond with a 400 of one name or another. */
function partFailure(connection: S3Connection, number: number, error: unknown): unknown {
  const failure = connection.failure(error);
  if (statusOf(error) !== 400 || number === 1 || !(failure instanceof Failure)) return failure;
  return new Unavailable(`${messageOf(failure)} (part ${number})`, {
    hint: `if this server allows at most ${number - 1} parts, say so in BACKUP_STORE: ${connection.url}?mostParts=${number - 1}`,
  });
}

function tooLarge(connection: S3Connection, key: string, policy: PartPolicy): Unavailable {
  const gibibytes = (mostBytes(policy) / 1024 ** 3).toFixed(1);
  return new Unavailable(
    `store ${connection.url}: ${key} is larger than the ${policy.mostParts} parts that an upload may have: ${gibibytes} GiB`,
    { hint: `larger parts hold more: in BACKUP_STORE ${connection.url}?partMebibytes=<n>` },
  );
}

/** Whether a write may have happened although it was answered by this error. */
function isUnclear(error: unknown): boolean {
  const status = statusOf(error);
  return status === undefined || status >= 500 || status === 412 || status === 409 || status === 404;
}

function abortable(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
