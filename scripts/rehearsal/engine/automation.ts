/**
 * `pulumi up` by the real CLI, through the Automation API, with a local backend. The CLI's project file and
 * stack configuration live beside the state; its `main` points to the program, so that the program's folder stays
 * as it is and is still where everything runs.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import type { EngineEvent, Stack } from "@pulumi/pulumi/automation";
import type { ConfigValue, Engine, ResourceOperation, ResourceOutcome, UpOptions, UpResult } from "./engine";
import { statePassphrase } from "./passphrase";
import { readProject } from "./project";

export const automationEngine: Engine = {
  name: "automation",
  async up(options: UpOptions): Promise<UpResult> {
    const stack = await openStack(options);
    const preview = await follow(options, (handlers) => stack.preview(handlers));
    if (preview.errors.length > 0) return { ok: false, phase: "preview", ...preview, outputs: {} };
    const update = await follow(options, (handlers) => stack.up(handlers));
    const reached = new Set(update.resources.map(({ urn }) => urn));
    const notRun = preview.resources
      .filter(({ urn, op }) => !reached.has(urn) && op !== "delete")
      .map((resource) => ({ ...resource, op: "not-run" as const }));
    const ok = update.errors.length === 0;
    return {
      ok,
      phase: "update",
      resources: [...update.resources, ...notRun],
      errors: update.errors,
      outputs: ok ? await readOutputs(stack) : {},
    };
  },
  prepare: () => undefined,
  close: () => undefined,
};

async function openStack(options: UpOptions): Promise<Stack> {
  const workDir = path.resolve(options.stateDir, "project", options.stack);
  const backend = path.resolve(options.stateDir, "backend");
  for (const folder of [workDir, backend]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const project = readProject(options.projectDir);
  const main = path.relative(workDir, path.resolve(options.projectDir, project.main));
  writeFileSync(path.join(workDir, "Pulumi.yaml"), project.text.replace(/^main:.*$/m, `main: ${main}`));
  writeStackConfig(path.join(workDir, `Pulumi.${options.stack}.yaml`), options.config);
  // Loaded here: it takes a second, and most machines never need it.
  const { LocalWorkspace } = await import("@pulumi/pulumi/automation/index.js");
  const stack = await LocalWorkspace.createOrSelectStack(
    { stackName: options.stack, workDir },
    {
      envVars: {
        ...options.env,
        PULUMI_BACKEND_URL: pathToFileURL(backend).href,
        PULUMI_CONFIG_PASSPHRASE: statePassphrase,
        PULUMI_SKIP_UPDATE_CHECK: "true",
      },
    },
  );
  for (const [key, value] of Object.entries(options.secrets ?? {})) await stack.setConfig(key, { value, secret: true });
  return stack;
}

/** Exactly this configuration, whatever the last `up` had; only the salt of the stack's secrets stays. JSON is YAML. */
function writeStackConfig(file: string, config: Readonly<Record<string, ConfigValue>>): void {
  const salt = /encryptionsalt["']?:\s*["']?(v1:[^\s"']+)/.exec(readIfThere(file))?.[1];
  writeFileSync(
    file,
    JSON.stringify({ ...(salt === undefined ? {} : { encryptionsalt: salt }), config }, undefined, 2),
  );
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

interface Handlers {
  readonly onEvent: (event: EngineEvent) => void;
  readonly onOutput: (text: string) => void;
  readonly color: "never";
  readonly signal?: AbortSignal;
}

/** Runs one operation and keeps what its events say of each resource. */
async function follow(
  options: UpOptions,
  operation: (handlers: Handlers) => Promise<unknown>,
): Promise<{ readonly resources: readonly ResourceOutcome[]; readonly errors: readonly string[] }> {
  const resources = new Map<string, ResourceOutcome>();
  const errors = new Set<string>();
  const record = (urn: string, op: ResourceOperation): void => {
    const type = urn.split("::")[2]?.split("$").at(-1) ?? "";
    if (!type.startsWith("pulumi:providers:")) resources.set(urn, { urn, type, op });
  };
  const onEvent = (event: EngineEvent): void => {
    const { resourcePreEvent, resOutputsEvent, resOpFailedEvent, diagnosticEvent } = event;
    const step = resourcePreEvent ?? resOutputsEvent;
    // Before a step it is only planned; a preview has nothing but plans.
    if (step !== undefined && (resOutputsEvent !== undefined || step.planning === true)) {
      record(step.metadata.urn, operationOf(step.metadata.op));
    }
    if (resOpFailedEvent !== undefined) record(resOpFailedEvent.metadata.urn, "failed");
    if (diagnosticEvent?.severity !== "error") return;
    const message = diagnosticEvent.message
      .replace(/<\{%[^%]*%\}>/g, "")
      .replace(/^error: /, "")
      .trim();
    // The stack's own summary of whatever else failed.
    if (message === "update failed" || message === "preview failed") return;
    errors.add(message);
    const failed = diagnosticEvent.urn ?? "";
    if (failed !== "" && !failed.includes("::pulumi:pulumi:Stack::")) record(failed, "failed");
  };
  const onOutput = (text: string): void => {
    for (const line of text.split("\n")) if (line.trim() !== "") options.onLine?.(line.trimEnd());
  };
  try {
    await operation({
      onEvent,
      onOutput,
      color: "never",
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  } catch (error) {
    // The events named the reason; without any the CLI refused before it began.
    if (errors.size === 0) errors.add(/^error: (.*)$/m.exec((error as Error).message)?.[1] ?? (error as Error).message);
  }
  return { resources: [...resources.values()], errors: [...errors] };
}

function operationOf(op: string): ResourceOperation {
  if (op === "same" || op === "create" || op === "delete") return op;
  return "update";
}

async function readOutputs(stack: Stack): Promise<Record<string, unknown>> {
  const outputs = await stack.outputs();
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { value, secret }]) => [name, secret ? "[secret]" : value]),
  );
}
