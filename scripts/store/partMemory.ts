/**
 * The memory that the parts of all uploads of a process hold together, filling or on their way: parallel shards
 * upload at once, and each alone knows nothing of the others.
 */
import { orAbort } from "./chunks";
import type { PartBuffer } from "./parts";

/**
 * Eight parts of 6 MiB: four uploads each fill one while another is on its way. With 64 MiB, four uploads at once took a
 * process to 240 MB here; a backup is to stay below 200.
 */
const sharedCeiling = 48 * 1024 * 1024;

interface Waiting {
  readonly upload: UploadMemory;
  readonly bytes: number;
  readonly grant: (memory: PartBuffer) => void;
}

export class PartMemory {
  #held = 0;
  #peak = 0;
  readonly #open = new Set<UploadMemory>();
  /** First come, first served. */
  readonly #waiting: Waiting[] = [];
  /** Buffers to be used again: hundreds of fresh ones would pile up until they are collected. */
  #idle: Buffer[] = [];

  /** @param ceiling bytes that all uploads may hold together. */
  constructor(readonly ceiling: number = sharedCeiling) {}

  /** The most bytes that were held at once. */
  get peak(): number {
    return this.#peak;
  }

  /** The share of one upload, to be closed at its end. */
  open(): UploadMemory {
    const upload: UploadMemory = new UploadMemory(
      (bytes, signal) => this.#take(upload, bytes, signal),
      () => {
        this.#open.delete(upload);
        if (this.#open.size === 0) this.#idle = [];
        this.#grant();
      },
    );
    this.#open.add(upload);
    return upload;
  }

  async #take(upload: UploadMemory, bytes: number, signal: AbortSignal | undefined): Promise<PartBuffer> {
    signal?.throwIfAborted();
    const granted = Promise.withResolvers<PartBuffer>();
    const waiting: Waiting = { upload, bytes, grant: granted.resolve };
    this.#waiting.push(waiting);
    this.#grant();
    try {
      return await orAbort(granted.promise, signal);
    } catch (error) {
      const place = this.#waiting.indexOf(waiting);
      if (place >= 0) this.#waiting.splice(place, 1);
      else void granted.promise.then(({ giveBack }) => giveBack());
      throw error;
    }
  }

  /** Leaves as much for each upload that holds nothing: it will ask, and must not be refused. */
  #fits(bytes: number): boolean {
    const empty = [...this.#open].filter(({ held }) => held === 0).length;
    return this.#held + bytes * (1 + empty) <= this.ceiling;
  }

  #lend(upload: UploadMemory, bytes: number): PartBuffer {
    this.#held += bytes;
    upload.held += bytes;
    upload.parts += 1;
    this.#peak = Math.max(this.#peak, this.#held);
    const place = this.#idle.findIndex(({ length }) => length === bytes);
    const buffer = place >= 0 ? this.#idle.splice(place, 1)[0] : undefined;
    // Parts have grown: nobody asks for the smaller ones again.
    if (buffer === undefined) this.#idle = [];
    let given = false;
    const lent = buffer ?? Buffer.allocUnsafeSlow(bytes);
    return {
      buffer: lent,
      giveBack: () => {
        if (given) return;
        given = true;
        this.#held -= bytes;
        upload.held -= bytes;
        upload.parts -= 1;
        if (this.#open.size > 0) this.#idle.push(lent);
        this.#grant();
      },
    };
  }

  /**
   * First those that hold nothing, then the others in the order of asking: a large part is not overtaken for ever by
   * small ones.
   *
   * Whoever holds nothing waits only while somebody has a part on its way, which comes back whatever happens. Else it
   * gets one above the ceiling: what fills another one's part may have to wait for this one, as when a stream is
   * written to two stores, and both would wait for ever.
   */
  #grant(): void {
    for (const waiting of this.#waiting.filter(({ upload }) => upload.held === 0)) {
      const onItsWay = [...this.#open].some(({ parts }) => parts > 1);
      if (this.#held + waiting.bytes <= this.ceiling || !onItsWay) this.#fulfil(waiting);
    }
    for (const waiting of this.#waiting.filter(({ upload }) => upload.held > 0)) {
      if (!this.#fits(waiting.bytes)) return;
      this.#fulfil(waiting);
    }
  }

  #fulfil(waiting: Waiting): void {
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    waiting.grant(this.#lend(waiting.upload, waiting.bytes));
  }
}

/** What one upload holds. */
class UploadMemory {
  /** Bytes. */
  held = 0;
  /** All but one are certainly full and on their way. */
  parts = 0;

  constructor(
    /**
     * Memory for the next part, once the former one is full and on its way. All uploads together stay below the
     * ceiling, or at one part each where there are so many that the ceiling does not hold these.
     */
    readonly take: (bytes: number, signal?: AbortSignal) => Promise<PartBuffer>,
    readonly close: () => void,
  ) {}
}

/** That of this process. */
export const sharedPartMemory = new PartMemory();
