/** One stream into several writers, as fast as the slowest of them takes it. */
import { PassThrough, type Readable } from "node:stream";
import { chunksOf } from "./chunks";

/** One of the writers: it is handed a stream, and says by its promise how that ended. */
export class Branch {
  /** What `write` came to; undefined while it runs. */
  outcome: PromiseSettledResult<number> | undefined;
  readonly #stream = new PassThrough();
  readonly #done: Promise<PromiseSettledResult<number>>;

  constructor(write: (body: Readable) => Promise<number>, onFailure: (error: unknown) => void) {
    // A writer that gave up destroys its stream, with an error or without; its promise says why.
    this.#stream.on("error", () => undefined);
    this.#done = write(this.#stream).then(
      (value) => (this.outcome = { status: "fulfilled", value }),
      (reason: unknown) => {
        this.outcome = { status: "rejected", reason };
        onFailure(reason);
        return this.outcome;
      },
    );
  }

  /** Done when the writer can take more, or will take no more. */
  async write(chunk: Buffer): Promise<void> {
    const stream = this.#stream;
    if (stream.destroyed || stream.write(chunk)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stream.off("drain", done).off("close", done);
        resolve();
      };
      stream.on("drain", done).on("close", done);
    });
  }

  /** Nothing follows: the writer may make its object visible. */
  end(): Promise<PromiseSettledResult<number>> {
    this.#stream.end();
    return this.#done;
  }

  /** The writer must not make anything visible. */
  breakOff(error: Error): Promise<PromiseSettledResult<number>> {
    this.#stream.destroy(error);
    return this.#done;
  }
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
