/** Waiting that ends the moment a signal says so: for the chunks of a body, or for anything else. */
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

/**
 * What `work` comes to, or the reason of `signal` if that comes first. Not `Promise.race`: a signal that outlives
 * every chunk would keep them all.
 */
export function orAbort<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
