/** Looks at a platform's state again and again, quickly at first, until it is what was asked for. */
import { setTimeout as sleep } from "node:timers/promises";
import { Unavailable } from "../contract/failure";

/** Milliseconds before the second look; half as long again each time, up to the longest. */
const firstPause = 100;
const longestPause = 3000;

/**
 * @param look returns what was found, or a line that says what is still awaited.
 * @param seconds from now, after which it gives up.
 * @throws Unavailable naming what was awaited; whatever `look` throws.
 */
export async function followState<T>(
  what: string,
  look: () => Promise<{ readonly done: T } | { readonly awaited: string }>,
  options: { readonly seconds: number; readonly signal: AbortSignal; readonly onProgress: (line: string) => void },
): Promise<T> {
  const { seconds, signal, onProgress } = options;
  const deadline = performance.now() + seconds * 1000;
  let said = "";
  for (let pause = firstPause; ; pause = Math.min(pause * 1.5, longestPause)) {
    const found = await look();
    if ("done" in found) return found.done;
    if (found.awaited !== said) onProgress(`${what}: ${found.awaited}`);
    said = found.awaited;
    if (performance.now() + pause > deadline) throw new Unavailable(`${what}: not done within ${seconds} s: ${said}`);
    await sleep(pause, undefined, { signal });
  }
}
