/** What bytes pass through on their way into and out of a store: gathered into larger blocks, counted, hashed. */
import { createHash } from "node:crypto";
import { Transform, type TransformCallback } from "node:stream";

/** Bytes handed to the compressor at once: each hand-over to its thread costs as much as compressing 10 kB. */
const blockBytes = 256 * 1024;

/**
 * Gathers what programs write a few kilobytes at a time into blocks. `ended` holds back the end of the stream: what
 * it rejects with becomes the stream's error.
 */
export class Gather extends Transform {
  bytes = 0;
  #block = Buffer.allocUnsafeSlow(blockBytes);
  #filled = 0;

  constructor(
    private readonly ended: () => Promise<void>,
    private readonly onBytes: (bytes: number) => void,
  ) {
    super({ readableHighWaterMark: blockBytes });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length;
    this.onBytes(chunk.length);
    for (let place = 0; place < chunk.length;) {
      const copied = chunk.copy(this.#block, this.#filled, place);
      place += copied;
      this.#filled += copied;
      if (this.#filled === blockBytes) {
        this.push(this.#block);
        this.#block = Buffer.allocUnsafeSlow(blockBytes);
        this.#filled = 0;
      }
    }
    done();
  }

  override _flush(done: TransformCallback): void {
    if (this.#filled > 0) this.push(this.#block.subarray(0, this.#filled));
    finishAfter(this.ended, done);
  }
}

/** Counts and hashes what passes through; `ended` may hold back the end of the stream. */
export class Meter extends Transform {
  bytes = 0;
  readonly #hash = createHash("sha256");
  #full: number | undefined;
  #waited = 0;

  constructor(private readonly ended: () => Promise<void> = () => Promise.resolve()) {
    super();
  }

  /** Milliseconds in which there were bytes and nobody took them. */
  get waitedMs(): number {
    return this.#waited;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
    if (!this.push(chunk)) this.#full ??= performance.now();
    done();
  }

  override _read(size: number): void {
    if (this.#full !== undefined) this.#waited += performance.now() - this.#full;
    this.#full = undefined;
    super._read(size);
  }

  override _flush(done: TransformCallback): void {
    finishAfter(this.ended, done);
  }

  sha256(): string {
    return this.#hash.digest("hex");
  }
}

function finishAfter(ended: () => Promise<void>, done: TransformCallback): void {
  ended().then(
    () => done(),
    (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
  );
}
