/** The process that runs programs, seen from the engine: given a job, it tells what came of each resource. */
import { type ChildProcess, spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { HostEvent, HostJob } from "./hostMessages";

export class HostProcess {
  readonly #child: ChildProcess;
  #onEvent: (event: HostEvent) => void = () => undefined;

  /** It loads what every program needs at once, while something else is being waited for. */
  constructor() {
    // The SDK before the TypeScript loader: a thousand files of plain JavaScript that it need not look at.
    const preloaded = ["@pulumi/pulumi", "@pulumi/command", "zod", "tsx/cjs"].flatMap((module) => [
      "--require",
      require.resolve(module),
    ]);
    // Room for what a program leaves behind quickly: the SDK makes much of it, and collecting it took a fifth of the time.
    const words = ["--max-semi-space-size=64", ...preloaded, join(__dirname, "programHost.ts")];
    this.#child = spawn(process.execPath, words, {
      // Loading the SDK's code takes longer than most of what is done with it; Node keeps it compiled.
      env: { NODE_COMPILE_CACHE: resolve(__dirname, "../../../node_modules/.cache/node"), ...process.env },
      stdio: ["pipe", "pipe", "pipe", "pipe"],
    });
    // Whoever runs something hears of an error too; a host without a job has nobody.
    this.#child.on("error", () => undefined);
    const [stdin, stdout, stderr, events] = this.#child.stdio as readonly unknown[] as [
      Writable,
      Readable,
      Readable,
      Readable,
    ];
    stdin.on("error", () => undefined);
    for (const stream of [stdout, stderr])
      createInterface(stream).on("line", (line) => this.#onEvent({ kind: "line", line }));
    createInterface(events).on("line", (line) => this.#onEvent(JSON.parse(line) as HostEvent));
  }

  get isUsable(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined;
  }

  /**
   * One job at a time.
   *
   * @param signal ends the process, and with it what the program started.
   * @returns whether everything converged.
   * @throws Error when the process could not start, or ended before the program did.
   */
  async run(job: HostJob, onEvent: (event: HostEvent) => void, signal?: AbortSignal): Promise<boolean> {
    const stop = (): void => this.close();
    signal?.addEventListener("abort", stop);
    if (signal?.aborted === true) stop();
    try {
      return await new Promise<boolean>((done, failed) => {
        this.#onEvent = (event) => {
          // What the program printed before its end is read in the same turn.
          if (event.kind === "end") setImmediate(done, event.ok);
          else onEvent(event);
        };
        this.#child.once("error", failed);
        this.#child.once("close", (code) =>
          failed(new Error(`the program ended with ${code ?? "a signal"} and no message`)),
        );
        this.#child.stdin?.write(`${JSON.stringify(job)}\n`);
      });
    } finally {
      signal?.removeEventListener("abort", stop);
      this.#child
        .removeAllListeners("close")
        .removeAllListeners("error")
        .on("error", () => undefined);
      this.#onEvent = () => undefined;
    }
  }

  close(): void {
    this.#child.kill();
  }
}
