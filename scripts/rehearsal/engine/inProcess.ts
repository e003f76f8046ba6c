/**
 * `pulumi up` without the CLI: the real program under the SDK's mock monitor, whose resources the stand-in engine
 * really executes. Preview first, then the update, each in a process of its own.
 */
import { spawn } from "node:child_process";
import * as path from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { type Engine, type ResourceOutcome, type UpOptions, type UpResult, configText } from "./engine";
import { statePassphrase } from "./passphrase";
import type { HostEvent, HostJob } from "./programHost";
import { readProject } from "./project";

interface Pass {
  readonly ok: boolean;
  readonly resources: readonly ResourceOutcome[];
  readonly errors: readonly string[];
  readonly outputs: Readonly<Record<string, unknown>>;
}

export const inProcessEngine: Engine = {
  name: "in-process",
  async up(options: UpOptions): Promise<UpResult> {
    options.onLine?.(`Previewing update (${options.stack})`);
    const preview = await runProgram(options, true);
    if (!preview.ok) return { ...preview, phase: "preview" };
    options.onLine?.(`Updating (${options.stack})`);
    const update = await runProgram(options, false);
    const reached = new Set(update.resources.map(({ urn }) => urn));
    const notRun = preview.resources
      .filter(({ urn, op }) => !reached.has(urn) && op !== "delete")
      .map((resource) => ({ ...resource, op: "not-run" as const }));
    return { ...update, phase: "update", resources: [...update.resources, ...notRun] };
  },
};

async function runProgram(options: UpOptions, preview: boolean): Promise<Pass> {
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
  };
  // The SDK before the TypeScript loader: a thousand files of plain JavaScript that it need not look at.
  const preloaded = ["@pulumi/pulumi", "@pulumi/command", "tsx/cjs"].flatMap((module) => [
    "--require",
    require.resolve(module),
  ]);
  const child = spawn(process.execPath, [...preloaded, path.join(__dirname, "programHost.ts")], {
    cwd: job.projectDir,
    // Loading the SDK's code takes longer than most of what is done with it; Node keeps it compiled.
    env: {
      NODE_COMPILE_CACHE: path.join(job.projectDir, "node_modules", ".cache", "node"),
      ...process.env,
      ...options.env,
    },
    stdio: ["pipe", "pipe", "pipe", "pipe"],
    signal: options.signal,
  });
  const resources = new Map<string, ResourceOutcome>();
  const errors: string[] = [];
  let outputs: Readonly<Record<string, unknown>> = {};
  const onEvent = (event: HostEvent): void => {
    if (event.kind === "line") options.onLine?.(event.line);
    if (event.kind === "outcome") resources.set(event.outcome.urn, event.outcome);
    if (event.kind === "error") errors.push(event.message);
    if (event.kind === "outputs") outputs = event.outputs;
  };
  const [stdin, stdout, stderr, events] = child.stdio as readonly unknown[] as [Writable, Readable, Readable, Readable];
  for (const stream of [stdout, stderr]) createInterface(stream).on("line", (line) => options.onLine?.(line));
  createInterface(events).on("line", (line) => onEvent(JSON.parse(line) as HostEvent));
  stdin.end(JSON.stringify(job));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0 && errors.length === 0) errors.push(`the program ended with ${code ?? "a signal"} and no message`);
  const ok = code === 0;
  return { ok, resources: [...resources.values()], errors, outputs: ok ? outputs : {} };
}
