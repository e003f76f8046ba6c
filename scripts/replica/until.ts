/** Waits for something that another process brings about, by looking again and again. */
import { setTimeout as sleep } from "node:timers/promises";

export interface Waiting {
  /** Seconds to wait at most. Infinity: until the signal. */
  readonly seconds: number;
  /** Milliseconds between two looks. Default 100. */
  readonly every?: number;
  readonly signal?: AbortSignal;
}

/** @returns what `look` found, or undefined when time was up. @throws the signal's reason. */
export async function until<T>(look: () => Promise<T | undefined>, waiting: Waiting): Promise<T | undefined> {
  const deadline = performance.now() + waiting.seconds * 1000;
  for (;;) {
    waiting.signal?.throwIfAborted();
    const found = await look();
    if (found !== undefined || performance.now() > deadline) return found;
    await sleep(waiting.every ?? 100);
  }
}
