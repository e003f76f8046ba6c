/** Reads a body to write, and lets go of it the moment a signal says so. */
import type { Readable } from "node:stream";

/**
 * The chunks of `body`, which is destroyed at the end, whatever the end is. Destroying alone does not interrupt a
 * stream that is made of an async generator and waits: so the wait itself is given up.
 *
 * @throws the error of `body`, or the reason of `signal`.
 */
export async function* chunksOf(body: Readable, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const chunks = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await orAbort(chunks.next(), signal);
      if (next.done === true) return;
      yield typeof next.value === "string" ? Buffer.from(next.value) : (next.value as Buffer);
    }
  } finally {
    body.destroy();
  }
}

/** Not `Promise.race`: the signal outlives every chunk, and would keep them all. */
function orAbort<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
