/** How far a long run of reading or writing is: a line every few seconds with bytes, rate and what is left. */

/** Seconds between two lines: nothing is said of what takes less. */
const seconds = 5;

export interface Progress {
  /** Counts bytes of the work as they pass. */
  add(bytes: number): void;
  /** No further line. */
  end(): void;
}

/**
 * @param what `rows read`.
 * @param totalBytes all that will be counted, as far as that is known beforehand.
 */
export function startProgress(
  what: string,
  totalBytes: number,
  onLine: ((line: string) => void) | undefined,
): Progress {
  const started = performance.now();
  let bytes = 0;
  const timer = setInterval(() => {
    onLine?.(`${what}: ${describeProgress(bytes, totalBytes, (performance.now() - started) / 1000)}`);
  }, seconds * 1000).unref();
  return { add: (count) => void (bytes += count), end: () => clearInterval(timer) };
}

/** `312 MB of about 1450 MB, 156 MB/s, about 8 s left`. */
export function describeProgress(bytes: number, totalBytes: number, elapsedSeconds: number): string {
  const rate = bytes / elapsedSeconds;
  const left = rate > 0 ? `, about ${Math.ceil(Math.max(0, totalBytes - bytes) / rate)} s left` : "";
  const megabytes = (count: number): string => (count / 1e6).toFixed(0);
  return `${megabytes(bytes)} MB of about ${megabytes(Math.max(bytes, totalBytes))} MB, ${megabytes(rate)} MB/s${left}`;
}
