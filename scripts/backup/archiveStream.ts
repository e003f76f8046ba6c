/**
 * Streams into and out of a store: zstd frames that carry a content checksum (pg_dump's own zstd output has
 * none), encrypted if so wanted, hashed on the way. Nothing is staged on disk and nothing becomes visible
 * before its source is known to have ended well.
 */
import { type Readable, type Transform, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { Damage, UsageError, codeOf, messageOf } from "../contract/failure";
import { AlreadyExists, NotFound, type Store } from "../store/store";
import { encryptedSuffix, readIdentities } from "./ageKeys";
import { AgeDamage, NoIdentityFits, decryptWith, encryptTo } from "./ageStream";
import type { CompressionLevel } from "./compressionLevel";
import { Gather, Meter } from "./streamStages";

export interface StoredStream {
  readonly bytes: number;
  readonly uncompressedBytes: number;
  readonly sha256: string;
}

export interface StoringOptions {
  /** What has to be true, once the source has ended, for it to have ended well. */
  readonly succeeded?: () => Promise<void>;
  /** Keys of age to encrypt to. Default: none, it is not encrypted. */
  readonly recipients?: readonly string[];
  /** Chooses zstd's level, and hears how it went. Default: level 1. */
  readonly compression?: CompressionLevel;
  /** The source's chunks are nobody else's: their memory is given back as soon as they were read. */
  readonly ownsChunks?: true;
  /** Hears of uncompressed bytes as they come. */
  readonly onBytes?: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Bytes that zstd writes into at once, and reads out at once. */
const zstdChunk = 256 * 1024;

function compressor(level: number): Transform {
  return createZstdCompress({
    chunkSize: zstdChunk,
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
}

/**
 * Compresses `source` into a new object, encrypted to `recipients` if there are any. `succeeded` is awaited when
 * the source has ended and before the object is completed: a program that exits non-zero must not leave an object
 * that looks whole.
 */
export async function storeCompressed(
  store: Store,
  key: string,
  source: Readable,
  options: StoringOptions = {},
): Promise<StoredStream> {
  const { recipients = [], compression } = options;
  const level = compression?.level ?? 1;
  const started = performance.now();
  const encryption = recipients.length === 0 ? [] : [encryptTo(recipients)];
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const zstd = compressor(level);
  const incoming = new Gather(zstd, {
    ended: options.succeeded ?? (() => Promise.resolve()),
    onBytes: options.onBytes ?? (() => undefined),
    ownsChunks: options.ownsChunks === true,
  });
  const outgoing = new Meter();
  const [read, compressed, stored] = await Promise.allSettled([
    pipeline(source, incoming, signal),
    pipeline([zstd, ...encryption, outgoing], signal),
    store.create(key, outgoing, options.signal),
  ]);
  // The source's own failure says more than that of whoever waited for its bytes.
  const failures = [read, compressed, stored].flatMap((part): unknown[] =>
    part.status === "rejected" ? [part.reason] : [],
  );
  if (failures.length > 0) throw failures.find((error) => !isPrematureClose(error)) ?? failures.at(-1);
  const [bytes, uncompressedBytes] = [outgoing.bytes, incoming.bytes];
  const waited = outgoing.waitedMs / (performance.now() - started);
  compression?.observe({ level, bytes, uncompressedBytes, waited });
  return { bytes, uncompressedBytes, sha256: outgoing.sha256() };
}

function isPrematureClose(error: unknown): boolean {
  return (
    ["ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"].includes(codeOf(error) ?? "") ||
    error instanceof AlreadyExists
  );
}

/**
 * Reads an archive into `sink`, checking its length and SHA-256 against the manifest and zstd's checksums. What is
 * encrypted, as its name says, is opened by the identities of `BACKUP_AGE_IDENTITY`.
 *
 * @throws Damage on any difference; UsageError when no identity opens it. `sink` may have received bytes by then: it
 *   must not treat the end of the stream as success before this function has returned.
 */
export async function readVerified(
  store: Store,
  key: string,
  expected: { bytes: number; sha256: string },
  sink: NodeJS.WritableStream,
  signal?: AbortSignal,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  try {
    const decryption = key.endsWith(encryptedSuffix) ? [decryptWith(demandIdentities(key))] : [];
    const incoming = checkedMeter(key, expected);
    const stages = [
      await openObject(store, key),
      incoming,
      ...decryption,
      createZstdDecompress({ chunkSize: zstdChunk }),
      sink,
    ];
    await pipeline(stages, options);
  } catch (error) {
    // Whoever reads the other end must not wait for what never comes.
    if (sink instanceof Writable) sink.destroy();
    if (error instanceof NoIdentityFits) {
      // Damage of the header can look like that: the stored bytes tell.
      await pipeline([await openObject(store, key), checkedMeter(key, expected), discard()], options);
      throw new UsageError(`${key} is encrypted to other keys than that of BACKUP_AGE_IDENTITY`, { cause: error });
    }
    if (isZstdError(error) || error instanceof AgeDamage)
      throw new Damage(`${key} is damaged: ${messageOf(error)}`, { cause: error });
    throw error;
  }
}

function demandIdentities(key: string): readonly string[] {
  const identities = readIdentities();
  if (identities.length > 0) return identities;
  throw new UsageError(`BACKUP_AGE_IDENTITY: found nothing: expected the private key of age that opens ${key}`);
}

function checkedMeter(key: string, expected: { bytes: number; sha256: string }): Meter {
  const meter: Meter = new Meter(async () => checkStored(meter, key, expected));
  return meter;
}

function discard(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

async function openObject(store: Store, key: string): Promise<Readable> {
  try {
    return await store.read(key);
  } catch (error) {
    if (error instanceof NotFound)
      throw new Damage(`${store.url}/${key} is missing, though the manifest names it`, { cause: error });
    throw error;
  }
}

function checkStored(meter: Meter, key: string, expected: { bytes: number; sha256: string }): void {
  if (meter.bytes !== expected.bytes) {
    throw new Damage(`${key} is damaged: ${meter.bytes} bytes, expected ${expected.bytes}`);
  }
  const actual = meter.sha256();
  if (actual !== expected.sha256) {
    throw new Damage(`${key} is damaged: SHA-256 ${actual.slice(0, 16)}…, expected ${expected.sha256.slice(0, 16)}…`);
  }
}

/** zlib names a wrong checksum `ZSTD_error_checksum_wrong` and a truncated frame `Z_BUF_ERROR`. */
function isZstdError(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && (code.startsWith("ZSTD_") || code === "Z_BUF_ERROR");
}
