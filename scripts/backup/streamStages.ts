/** What bytes pass through on their way into and out of a store: gathered into larger blocks, counted, hashed. */
import { createHash } from "node:crypto";
import { Transform, type TransformCallback, Writable } from "node:stream";

/** Bytes handed to the compressor at once: each hand-over to its thread costs as much as compressing 10 kB. */
const blockBytes = 256 * 1024;

export interface GatherOptions {
  /** Awaited before the end is passed on; what it rejects with becomes the stream's error. */
  readonly ended: () => Promise<void>;
  readonly onBytes: (bytes: number) => void;
  /**
   * Whether a chunk is nobody else's, so that its memory can be given back once it was copied. A process that waits
   * for the garbage collector instead, at hundreds of megabytes a second, spends a fifth of its time there.
   */
  readonly ownsChunks: boolean;
}

/**
 * Gathers what programs write a few kilobytes at a time, and gives it to `compressor` in two blocks that take turns:
 * while one is compressed, the other is filled.
 */
export class Gather extends Writable {
  bytes = 0;
  #filling = Buffer.allocUnsafeSlow(blockBytes);
  #compressed = Buffer.allocUnsafeSlow(blockBytes);
  #filled = 0;
  #compressing: Promise<void> = Promise.resolve();

  constructor(
    private readonly compressor: Transform,
    private readonly options: GatherOptions,
  ) {
    super();
    // Where nobody takes what is compressed, the source is not waited for.
    compressor.once("close", () => this.destroy());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length;
    this.options.onBytes(chunk.length);
    const copied = this.#copy(chunk, 0);
    // Most chunks are small, and there are thousands a second: no promise for those that fit.
    if (copied < chunk.length) return settle(this.#copyRest(chunk, copied), done);
    this.#release(chunk);
    done();
  }

  override _final(done: TransformCallback): void {
    settle(this.#finish(), done);
  }

  override _destroy(error: Error | null, done: TransformCallback): void {
    // Whoever reads at the other end must not take what came so far for all of it.
    if (!this.compressor.writableEnded) this.compressor.destroy(error ?? undefined);
    done(error);
  }

  /** @returns up to where there was room. */
  #copy(chunk: Buffer, from: number): number {
    const copied = chunk.copy(this.#filling, this.#filled, from);
    this.#filled += copied;
    return from + copied;
  }

  async #copyRest(chunk: Buffer, from: number): Promise<void> {
    for (let place = from; place < chunk.length; place = this.#copy(chunk, place)) await this.#takeTurns();
    this.#release(chunk);
  }

  #release(chunk: Buffer): void {
    const memory = chunk.buffer;
    if (this.options.ownsChunks && memory instanceof ArrayBuffer && memory.byteLength === chunk.length)
      memory.transfer(0);
  }

  async #finish(): Promise<void> {
    await this.#takeTurns();
    await this.#compressing;
    await this.options.ended();
    this.compressor.end();
  }

  async #takeTurns(): Promise<void> {
    await this.#compressing;
    const full = this.#filling.subarray(0, this.#filled);
    this.#compressing = new Promise((resolve, reject) => {
      this.compressor.write(full, (error) => (error ? reject(error) : resolve()));
    });
    this.#compressing.catch(() => undefined); // told at the next turn
    [this.#filling, this.#compressed] = [this.#compressed, this.#filling];
    this.#filled = 0;
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
    settle(this.ended(), done);
  }

  sha256(): string {
    return this.#hash.digest("hex");
  }
}

function settle(work: Promise<void>, done: TransformCallback): void {
  work.then(
    () => done(),
    (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
  );
}
