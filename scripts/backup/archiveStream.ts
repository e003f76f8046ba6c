/**
 * Streams into and out of a store: zstd frames that carry a content checksum (pg_dump's own zstd output has
 * none), hashed on the way. Nothing is staged on disk and nothing becomes visible before its source is known
 * to have ended well.
 */
import { createHash } from "node:crypto";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { Damage, codeOf, messageOf } from "../contract/failure";
import { AlreadyExists, NotFound, type Store } from "../store/store";

export interface StoredStream {
  readonly bytes: number;
  readonly uncompressedBytes: number;
  readonly sha256: string;
}

const zstdParameters = {
  [constants.ZSTD_c_compressionLevel]: 1,
  [constants.ZSTD_c_checksumFlag]: 1,
};

/** A stream that counts and hashes what passes through; `ended` may hold back the end of the stream. */
class Meter extends Transform {
  bytes = 0;
  private readonly hash = createHash("sha256");

  constructor(private readonly ended?: () => Promise<void>) {
    super();
  }

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null, data?: Buffer) => void,
  ): void {
    this.bytes += chunk.length;
    this.hash.update(chunk);
    done(null, chunk);
  }

  override _flush(done: (error?: Error | null) => void): void {
    if (this.ended === undefined) return done();
    this.ended().then(
      () => done(),
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    );
  }

  sha256(): string {
    return this.hash.digest("hex");
  }
}

/**
 * Compresses `source` into a new object. `succeeded` is awaited when the source has ended and before the
 * object is completed: a program that exits non-zero must not leave an object that looks whole.
 */
export async function storeCompressed(
  store: Store,
  key: string,
  source: Readable,
  options: { succeeded?: () => Promise<void>; signal?: AbortSignal } = {},
): Promise<StoredStream> {
  const incoming = new Meter(options.succeeded);
  const outgoing = new Meter();
  const compression = pipeline(source, incoming, createZstdCompress({ params: zstdParameters }), outgoing, {
    end: true,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const [compressed, stored] = await Promise.allSettled([compression, store.create(key, outgoing, options.signal)]);
  // The source's own failure says more than the store's "the stream ended early".
  if (compressed.status === "rejected" && !isPrematureClose(compressed.reason)) throw compressed.reason;
  if (stored.status === "rejected") throw stored.reason;
  if (compressed.status === "rejected") throw compressed.reason;
  return { bytes: outgoing.bytes, uncompressedBytes: incoming.bytes, sha256: outgoing.sha256() };
}

function isPrematureClose(error: unknown): boolean {
  return codeOf(error) === "ERR_STREAM_PREMATURE_CLOSE" || error instanceof AlreadyExists;
}

/**
 * Reads an archive into `sink`, checking its length and SHA-256 against the manifest and zstd's checksums.
 *
 * @throws Damage on any difference. `sink` may have received bytes by then: it must not treat the end of
 *   the stream as success before this function has returned.
 */
export async function readVerified(
  store: Store,
  key: string,
  expected: { bytes: number; sha256: string },
  sink: NodeJS.WritableStream,
  signal?: AbortSignal,
): Promise<void> {
  const incoming: Meter = new Meter(async () => checkStored(incoming, key, expected));
  try {
    await pipeline(await openObject(store, key), incoming, createZstdDecompress(), sink, {
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (isZstdError(error)) throw new Damage(`${key} is damaged: ${messageOf(error)}`, { cause: error });
    throw error;
  }
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
