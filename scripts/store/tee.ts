/** One stream into several writers, as fast as the slowest of them takes it. */
import { PassThrough, type Readable } from "node:stream";
import { chunksOf } from "./chunks";

/** One of the writers: it is handed a stream, and says by its promise how that ended. */
export class Branch {
  /** What `write` came to; undefined while it runs. */
  outcome: PromiseSettledResult<number> | undefined;
  readonly #stream = new PassThrough();
  readonly #end = new AbortController();
  #waits = false;
  readonly #done = Promise.withResolvers<PromiseSettledResult<number>>();

  /** @param write is told by its signal that nobody waits for it any more. */
  constructor(write: (body: Readable, abandoned: AbortSignal) => Promise<number>, onFailure: (error: unknown) => void) {
    // A writer that gave up destroys its stream, with an error or without; its promise says why.
    this.#stream.on("error", () => undefined);
    write(this.#stream, this.#end.signal).then(
      (value) => this.#settle({ status: "fulfilled", value }),
      (reason: unknown) => {
        if (this.outcome === undefined) onFailure(reason);
        this.#settle({ status: "rejected", reason });
      },
    );
  }

  #settle(outcome: PromiseSettledResult<number>): void {
    this.outcome ??= outcome;
    this.#done.resolve(this.outcome);
  }

  /** Whether somebody waits for this writer now. */
  get isWaitedFor(): boolean {
    return this.#waits && this.outcome === undefined;
  }

  /** Done when the writer can take more, or will take no more. */
  async write(chunk: Buffer): Promise<void> {
    const stream = this.#stream;
    if (stream.destroyed || stream.write(chunk)) return;
    this.#waits = true;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stream.off("drain", done).off("close", done);
        resolve();
      };
      stream.on("drain", done).on("close", done);
    });
    this.#waits = false;
  }

  /** Nothing follows: the writer may make its object visible. */
  end(): Promise<PromiseSettledResult<number>> {
    this.#waits = true;
    this.#stream.end();
    return this.#done.promise;
  }

  /** The writer must not make anything visible. */
  breakOff(error: Error): Promise<PromiseSettledResult<number>> {
    this.#stream.destroy(error);
    return this.#done.promise;
  }

  /** As `breakOff`, and nobody waits for the writer any more: it may hang. */
  abandon(error: Error): void {
    this.#settle({ status: "rejected", reason: error });
    this.#end.abort(error);
    this.#stream.destroy(error);
  }
}

/** How often in the span of the patience is looked who is waited for. */
const looks = 60;

/**
 * Tells of a branch for which all others waited for longer than `milliseconds` altogether, and for at least half of the
 * time: once, whether it stands still or trickles.
 *
 * @returns what ends the watch.
 */
export function watchPace(
  branches: readonly Branch[],
  milliseconds: number,
  onSlow: (branch: Branch) => void,
): () => void {
  const pause = milliseconds / looks;
  const waited = new Map(branches.map((branch) => [branch, 0]));
  const started = performance.now();
  let last = started;
  const timer = setInterval(() => {
    const now = performance.now();
    // A process that was stopped for an hour waited for nobody.
    const span = Math.min(now - last, 2 * pause);
    last = now;
    const awaited = branches.filter((branch) => branch.isWaitedFor);
    const [slow] = awaited;
    if (slow === undefined || awaited.length > 1) return;
    const total = waited.get(slow);
    if (total === undefined) return;
    waited.set(slow, total + span);
    if (total + span < milliseconds || total + span < (now - started) / 2) return;
    waited.delete(slow);
    onSlow(slow);
  }, pause);
  return () => clearInterval(timer);
}

/**
 * Hands every chunk of `body` to all branches. A branch that gave up is passed over; whoever cannot do without it
 * destroys `body`.
 *
 * @throws the error of `body`; the reason of `signal`.
 */
export async function pump(body: Readable, branches: readonly Branch[], signal?: AbortSignal): Promise<void> {
  for await (const chunk of chunksOf(body, signal)) await Promise.all(branches.map((branch) => branch.write(chunk)));
}
