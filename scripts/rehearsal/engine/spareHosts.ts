/**
 * Processes that have loaded Pulumi's SDK and wait for the program they shall run: loading it takes longer than most
 * programs, and happens while something else is being waited for.
 */
import { type ChildProcess, spawn } from "node:child_process";
import * as path from "node:path";

/** A preview and an update. */
const wanted = 2;

export class SpareHosts {
  readonly #spares: ChildProcess[] = [];

  /** One that waits for its job, or a new one. */
  take(): ChildProcess {
    for (let host = this.#spares.shift(); host !== undefined; host = this.#spares.shift()) {
      if (host.exitCode === null && host.signalCode === null && host.pid !== undefined) return host;
    }
    return startHost();
  }

  /** Takes back one that got no job. */
  giveBack(host: ChildProcess): void {
    this.#spares.push(host);
  }

  /** Starts as many as an `up` takes. */
  refill(): void {
    while (this.#spares.length < wanted) this.#spares.push(startHost());
  }

  close(): void {
    for (const host of this.#spares.splice(0)) host.kill();
  }
}

/** A process that runs a program once, as soon as it gets its job on stdin; it ends with us, for then stdin does. */
function startHost(): ChildProcess {
  // The SDK before the TypeScript loader: a thousand files of plain JavaScript that it need not look at.
  const preloaded = ["@pulumi/pulumi", "@pulumi/command", "tsx/cjs"].flatMap((module) => [
    "--require",
    require.resolve(module),
  ]);
  const child = spawn(process.execPath, [...preloaded, path.join(__dirname, "programHost.ts")], {
    // Loading the SDK's code takes longer than most of what is done with it; Node keeps it compiled.
    env: { NODE_COMPILE_CACHE: path.resolve(__dirname, "../../../node_modules/.cache/node"), ...process.env },
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  });
  // Whoever awaits its end hears of an error too; a host without a job has nobody.
  child.on("error", () => undefined);
  return child;
}
