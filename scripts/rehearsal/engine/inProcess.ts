/**
 * `pulumi up` without the CLI: the real program under the SDK's mock monitor, whose resources the stand-in engine
 * really executes. Preview first, then the update.
 */
import * as path from "node:path";
import { type Engine, type ResourceOutcome, type UpOptions, type UpResult, configText } from "./engine";
import type { HostEvent, HostJob } from "./hostMessages";
import { HostProcess } from "./hostProcess";
import { statePassphrase } from "./passphrase";
import { readProject } from "./project";

interface Pass {
  readonly ok: boolean;
  readonly resources: readonly ResourceOutcome[];
  readonly errors: readonly string[];
  readonly outputs: Readonly<Record<string, unknown>>;
}

export class InProcessEngine implements Engine {
  readonly name = "in-process";
  #host: HostProcess | undefined;

  async up(options: UpOptions): Promise<UpResult> {
    const host = this.#ready();
    options.onLine?.(`Previewing update (${options.stack})`);
    const preview = await runProgram(host, options, true);
    if (!preview.ok) return { ...preview, phase: "preview" };
    options.onLine?.(`Updating (${options.stack})`);
    const update = await runProgram(host, options, false);
    const reached = new Set(update.resources.map(({ urn }) => urn));
    const notRun = preview.resources
      .filter(({ urn, op }) => !reached.has(urn) && op !== "delete")
      .map((resource) => ({ ...resource, op: "not-run" as const }));
    return { ...update, phase: "update", resources: [...update.resources, ...notRun] };
  }

  prepare(): void {
    this.#ready();
  }

  close(): void {
    this.#host?.close();
  }

  /** One that was told to stop is gone. */
  #ready(): HostProcess {
    if (this.#host?.isUsable !== true) this.#host = new HostProcess();
    return this.#host;
  }
}

async function runProgram(host: HostProcess, options: UpOptions, preview: boolean): Promise<Pass> {
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
  const resources = new Map<string, ResourceOutcome>();
  const errors: string[] = [];
  let outputs: Readonly<Record<string, unknown>> = {};
  const onEvent = (event: HostEvent): void => {
    if (event.kind === "line") options.onLine?.(event.line);
    if (event.kind === "outcome") resources.set(event.outcome.urn, event.outcome);
    if (event.kind === "error") errors.push(event.message);
    if (event.kind === "outputs") outputs = event.outputs;
  };
  const ok = await host.run(job, onEvent, options.signal).catch((error: unknown) => {
    if (errors.length === 0) errors.push((error as Error).message);
    return false;
  });
  return { ok, resources: [...resources.values()], errors, outputs: ok ? outputs : {} };
}
