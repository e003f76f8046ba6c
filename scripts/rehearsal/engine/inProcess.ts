/**
 * `pulumi up` without the CLI: the real program under the SDK's mock monitor, whose resources the stand-in engine
 * really executes. Preview first, then the update, each in a process of its own.
 */
import type { ChildProcess } from "node:child_process";
import * as path from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { type Engine, type ResourceOutcome, type UpOptions, type UpResult, configText } from "./engine";
import { statePassphrase } from "./passphrase";
import type { HostEvent, HostJob } from "./programHost";
import { readProject } from "./project";
import { SpareHost } from "./spareHost";

interface Pass {
  readonly ok: boolean;
  readonly resources: readonly ResourceOutcome[];
  readonly errors: readonly string[];
  readonly outputs: Readonly<Record<string, unknown>>;
}

export class InProcessEngine implements Engine {
  readonly name = "in-process";
  readonly #spare = new SpareHost();

  async up(options: UpOptions): Promise<UpResult> {
    const previewHost = this.#spare.take();
    // While the preview runs, the update's process loads what it needs; while that runs, the next preview's.
    this.#spare.prepare();
    options.onLine?.(`Previewing update (${options.stack})`);
    const preview = await runProgram(previewHost, options, true);
    if (!preview.ok) return { ...preview, phase: "preview" };
    const updateHost = this.#spare.take();
    this.#spare.prepare();
    options.onLine?.(`Updating (${options.stack})`);
    const update = await runProgram(updateHost, options, false);
    const reached = new Set(update.resources.map(({ urn }) => urn));
    const notRun = preview.resources
      .filter(({ urn, op }) => !reached.has(urn) && op !== "delete")
      .map((resource) => ({ ...resource, op: "not-run" as const }));
    return { ...update, phase: "update", resources: [...update.resources, ...notRun] };
  }

  close(): void {
    this.#spare.close();
  }
}

async function runProgram(host: ChildProcess, options: UpOptions, preview: boolean): Promise<Pass> {
  const project = readProject(options.projectDir);
  const secrets = options.secrets ?? {};
  const job: HostJob = {
    projectDir: path.resolve(options.projectDir),
    program: project.main,
    project: project.name,
    stack: options.stack,
    preview,
    config: {
      ...Object.fromEntries(Object.entries(options.config).map(([key, value]) => [key, configText(value)])),
      ...secrets,
    },
    secretKeys: Object.keys(secrets),
    stateFile: path.resolve(options.stateDir, `${options.stack}.json`),
    passphrase: statePassphrase,
    env: { ...options.env },
  };
  const stop = (): boolean => host.kill();
  options.signal?.addEventListener("abort", stop);
  if (options.signal?.aborted === true) stop();
  const resources = new Map<string, ResourceOutcome>();
  const errors: string[] = [];
  let outputs: Readonly<Record<string, unknown>> = {};
  const onEvent = (event: HostEvent): void => {
    if (event.kind === "line") options.onLine?.(event.line);
    if (event.kind === "outcome") resources.set(event.outcome.urn, event.outcome);
    if (event.kind === "error") errors.push(event.message);
    if (event.kind === "outputs") outputs = event.outputs;
  };
  const [stdin, stdout, stderr, events] = host.stdio as readonly unknown[] as [Writable, Readable, Readable, Readable];
  for (const stream of [stdout, stderr]) createInterface(stream).on("line", (line) => options.onLine?.(line));
  createInterface(events).on("line", (line) => onEvent(JSON.parse(line) as HostEvent));
  stdin.end(JSON.stringify(job));
  const code = await new Promise<number | null>((resolve, reject) => {
    if (host.exitCode !== null || host.signalCode !== null) resolve(host.exitCode);
    host.on("error", reject);
    host.on("close", resolve);
  }).finally(() => options.signal?.removeEventListener("abort", stop));
  if (code !== 0 && errors.length === 0) errors.push(`the program ended with ${code ?? "a signal"} and no message`);
  const ok = code === 0;
  return { ok, resources: [...resources.values()], errors, outputs: ok ? outputs : {} };
}
