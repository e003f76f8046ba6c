/** How the parts of a multipart upload are cut, and the cutting of a stream of unknown length. */
const mebibyte = 1024 * 1024;

/** S3's limits of one part; the last part may be smaller. Those of an upload: 10,000 parts, 5 TiB. */
export const smallestPart = 5 * mebibyte;
const largestPart = 5 * 1024 * mebibyte;

/** How many parts S3 allows; some servers allow 1,000. */
export const s3MostParts = 10_000;

export const partShapes = ["growing", "fixed"] as const;
export type PartShape = (typeof partShapes)[number];

export interface PartPolicy {
  /** How many parts the server allows in one upload. */
  readonly mostParts: number;
  /** Bytes of the part with this number (from 1). */
  readonly sizeOf: (number: number) => number;
}

export interface PartLimits {
  /** Whether later parts may be larger than the first. Default: what the server at the store's host wants. */
  readonly shape?: PartShape;
  /** Bytes of the first part (growing) or of every part (fixed). Default: 6 MiB growing, 32 MiB fixed. */
  readonly bytes?: number;
  /** Default 10,000. */
  readonly mostParts?: number;
}

/**
 * Growing parts double after every tenth of those allowed: an object below 6 GiB costs 6 MiB of memory a part, and
 * yet the 10,000 parts that S3 allows hold more than the 5 TiB that it allows. 10,000 fixed ones hold 312 GiB.
 *
 * @param host of the server.
 */
export function partPolicy(host: string, limits: PartLimits = {}): PartPolicy {
  const { shape = shapeAt(host), mostParts = s3MostParts } = limits;
  if (shape === "fixed") {
    const { bytes = 32 * mebibyte } = limits;
    return { mostParts, sizeOf: () => bytes };
  }
  const { bytes = 6 * mebibyte } = limits;
  const step = Math.ceil(mostParts / 10);
  return { mostParts, sizeOf: (number) => Math.min(bytes * 2 ** Math.floor((number - 1) / step), largestPart) };
}

/**
 * Cloudflare R2 completes an upload only if all parts but the last are of one size
 * (developers.cloudflare.com/r2/objects/multipart-objects, "Limitations"); others take growing parts.
 */
function shapeAt(host: string): PartShape {
  return /\.r2\.cloudflarestorage\.com(:\d+)?$/.test(host) ? "fixed" : "growing";
}

/** The bytes that the largest object has under this policy. */
export function mostBytes({ mostParts, sizeOf }: PartPolicy): number {
  let sum = 0;
  for (let number = 1; number <= mostParts; number++) sum += sizeOf(number);
  return sum;
}

/** Memory for one part, to be given back once it is sent. */
export interface PartBuffer {
  readonly buffer: Buffer;
  readonly giveBack: () => void;
}

export interface Part {
  readonly number: number;
  readonly bytes: Buffer;
  /** Nothing follows. The first part may be the last one, and empty. */
  readonly last: boolean;
  /** To be called when `bytes` is needed no longer: the memory is used for another part. */
  readonly giveBack: () => void;
}

/**
 * Every part but the last has exactly `sizeOf(number)` bytes. Reads no further than one chunk ahead. The parts that
 * were not handed out, because `body` ended in an error, have their memory given back.
 *
 * @param memoryFor waits until there is memory for a part of so many bytes.
 */
export async function* partsOf(
  body: AsyncIterable<Buffer>,
  sizeOf: (number: number) => number,
  memoryFor: (bytes: number) => Promise<PartBuffer>,
): AsyncGenerator<Part> {
  let number = 1;
  // Filled in place: joining chunks afterwards would need every part's memory twice.
  let memory: PartBuffer | undefined = await memoryFor(sizeOf(number));
  let filled = 0;
  const part = (last: boolean, { buffer, giveBack }: PartBuffer): Part => {
    memory = undefined;
    return { number, bytes: buffer.subarray(0, filled), last, giveBack };
  };
  try {
    for await (const chunk of body) {
      let rest = chunk;
      while (rest.length > 0) {
        if (memory === undefined || filled === memory.buffer.length) {
          if (memory !== undefined) yield part(false, memory);
          number += 1;
          filled = 0;
          memory = await memoryFor(sizeOf(number));
        }
        const copied = rest.copy(memory.buffer, filled);
        filled += copied;
        rest = rest.subarray(copied);
      }
    }
    if (memory !== undefined) yield part(true, memory);
  } finally {
    (memory as PartBuffer | undefined)?.giveBack();
  }
}
