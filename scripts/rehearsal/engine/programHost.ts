/**
 * The process that runs programs, one after the other, each loaded anew: loading Pulumi's SDK takes longer than most of
 * what a program does with it.
 *
 * Jobs come as JSON lines on stdin (they hold secrets, so they are no arguments), and it ends when that does; events
 * leave as JSON lines on descriptor 3; stdout and stderr are the program's own.
 */
import { writeSync } from "node:fs";
import { resolve, sep } from "node:path";
import { createInterface } from "node:readline";
import type { Socket } from "node:net";
import { ProviderProcess } from "./providerProcess";
import type { HostEvent, HostJob } from "./hostMessages";
import { stopCommands } from "./localCommand";
import { type ProgramRun, startProgram } from "./programRun";

const stdin = process.stdin as unknown as Socket;
const ownEnvironment = { ...process.env };
const ownModules = new Set(Object.keys(require.cache));
const provider = new ProviderProcess((line) => emit({ kind: "line", line }));
let running: ProgramRun | undefined;

function emit(event: HostEvent): void {
  writeSync(3, `${JSON.stringify(event)}\n`);
}

/** Waiting for the next job must not keep the process from seeing that this one's program has nothing left to do. */
async function start(job: HostJob): Promise<void> {
  stdin.unref();
  process.chdir(job.projectDir);
  Object.assign(process.env, job.env);
  running = await startProgram(
    { ...job, program: resolve(job.projectDir, job.program) },
    provider.for(job.config),
    emit,
  );
}

/** As under the real language host, a program is over when nothing it started is left to do. */
async function finish(): Promise<void> {
  const run = running;
  if (run === undefined) return;
  running = undefined;
  const ok = await run.finish();
  await provider.settled();
  forget();
  stdin.ref();
  emit({ kind: "end", ok });
}

/** The next program finds neither this one's modules nor its environment. */
function forget(): void {
  const packages = `${sep}node_modules${sep}`;
  for (const path of Object.keys(require.cache)) {
    if (!ownModules.has(path) && !path.includes(packages)) delete require.cache[path];
  }
  for (const name of Object.keys(process.env)) {
    if (!(name in ownEnvironment)) delete process.env[name];
  }
  Object.assign(process.env, ownEnvironment);
}

function end(): never {
  stopCommands();
  process.exit(130);
}

process.on("beforeExit", () => void finish());
process.on("unhandledRejection", (reason) => running?.report(reason));
process.on("uncaughtException", (error) => running?.report(error));
process.on("SIGINT", end).on("SIGTERM", end);
createInterface(stdin)
  .on("line", (line) => void start(JSON.parse(line) as HostJob))
  .on("close", end);
