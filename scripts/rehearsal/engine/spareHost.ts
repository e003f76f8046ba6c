/**
 * A process that has loaded Pulumi's SDK and waits for the program it shall run: loading it takes longer than most
 * programs, and happens while something else is being waited for.
 */
import { type ChildProcess, spawn } from "node:child_process";
import * as path from "node:path";

/** One at a time: what it loads meanwhile, two cores can spare. */
export class SpareHost {
  #spare: ChildProcess | undefined;

  /** The one that waits for its job, or a new one. */
  take(): ChildProcess {
    const host = this.#spare;
    this.#spare = undefined;
    const waits = host?.exitCode === null && host.signalCode === null && host.pid !== undefined;
    return waits ? host : startHost();
  }

  /** Starts the next one, unless there is one. */
  prepare(): void {
    this.#spare ??= startHost();
  }

  close(): void {
    this.#spare?.kill();
    this.#spare = undefined;
  }
}

/** A process that runs a program once, as soon as it gets its job on stdin; it ends with us, for then stdin does. */
function startHost(): ChildProcess {
  // The SDK before the TypeScript loader: a thousand files of plain JavaScript that it need not look at.
  const preloaded = ["@pulumi/pulumi", "@pulumi/command", "zod", "tsx/cjs"].flatMap((module) => [
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
