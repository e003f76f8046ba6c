/**
 * Walks through a tar file to its end and keeps nothing of it. pg_restore does not notice every tar that was cut short, and
 * at some never ends: it skips to the next file byte by byte, also where there are none (pg_backup_tar.c,
 * `_tarPositionTo`; seen with 17.10).
 */
import { Writable } from "node:stream";
import { Damage } from "../../contract/failure";

const block = 512;

/** Where they are in a header: POSIX.1-1988, ustar. */
const sizeField = { start: 124, end: 136 } as const;
const checksumField = { start: 148, end: 156 } as const;

/** GNU's way to write sizes from 8 GiB on. */
const binaryNumber = 0x80;

export class TarFile extends Writable {
  #bytes: Buffer = Buffer.alloc(0);
  /** What is left of the file that is passed over, with what fills its last block. */
  #skip = 0;
  #zeroBlocks = 0;

  /** @param what for messages. */
  constructor(private readonly what: string) {
    super();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    try {
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
      for (;;) {
        const skipped = Math.min(this.#skip, this.#bytes.length);
        this.#bytes = this.#bytes.subarray(skipped);
        this.#skip -= skipped;
        if (this.#skip > 0 || this.#bytes.length < block) break;
        this.#readHeader(this.#bytes.subarray(0, block));
        this.#bytes = this.#bytes.subarray(block);
      }
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  /** Two blocks of zeroes end a tar file. */
  override _final(done: (error?: Error) => void): void {
    done(this.#zeroBlocks >= 2 ? undefined : new Damage(`${this.what} is damaged: the tar file was cut short`));
  }

  #readHeader(header: Buffer): void {
    if (header.every((byte) => byte === 0)) return void (this.#zeroBlocks += 1);
    if (this.#zeroBlocks >= 2) return;
    const sum = header.reduce((total, byte, place) => total + (isChecksum(place) ? 0x20 : byte), 0);
    if (sum !== numberIn(header, checksumField))
      throw new Damage(`${this.what} is damaged: a header in the tar file has another checksum`);
    this.#skip = Math.ceil(numberIn(header, sizeField) / block) * block;
  }
}

function isChecksum(place: number): boolean {
  return place >= checksumField.start && place < checksumField.end;
}

function numberIn(header: Buffer, { start, end }: { start: number; end: number }): number {
  if ((header[start]! & binaryNumber) !== 0) return Number(header.readBigUInt64BE(end - 8));
  return Number.parseInt(header.toString("latin1", start, end), 8);
}
