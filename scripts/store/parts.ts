/** Cuts a stream of unknown length into the parts of a multipart upload. */
const mebibyte = 1024 * 1024;

/** S3's limit; its others are 5 MiB to 5 GiB a part and 5 TiB an object. */
export const mostParts = 10_000;

/**
 * Bytes of the part with this number (from 1): 8 MiB, doubled every 1,000 parts, so that the 10,000 parts that
 * S3 allows hold more than the 5 TiB that it allows, while an object below 8 GiB costs 8 MiB of memory a part.
 */
export function partBytes(number: number): number {
  return 8 * mebibyte * 2 ** Math.floor((number - 1) / 1000);
}

export interface Part {
  readonly number: number;
  readonly bytes: Buffer;
  /** Nothing follows. The first part may be the last one, and empty. */
  readonly last: boolean;
}

/** Every part but the last has exactly `sizeOf(number)` bytes. Reads no further than one chunk ahead. */
export async function* partsOf(
  body: AsyncIterable<Buffer>,
  sizeOf: (number: number) => number = partBytes,
): AsyncGenerator<Part> {
  let number = 1;
  // Filled in place: joining chunks afterwards would need every part's memory twice.
  let part = Buffer.allocUnsafe(sizeOf(number));
  let filled = 0;
  for await (const chunk of body) {
    let rest = chunk;
    while (rest.length > 0) {
      if (filled === part.length) {
        yield { number, bytes: part, last: false };
        number += 1;
        part = Buffer.allocUnsafe(sizeOf(number));
        filled = 0;
      }
      const copied = rest.copy(part, filled);
      filled += copied;
      rest = rest.subarray(copied);
    }
  }
  yield { number, bytes: part.subarray(0, filled), last: true };
}
