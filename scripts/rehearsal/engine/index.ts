/** Picks the engine that runs the program: the real one wherever it is installed. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { automationEngine } from "./automation";
import type { Engine } from "./engine";
import { InProcessEngine } from "./inProcess";

export type { Engine, ResourceOutcome, UpOptions, UpResult } from "./engine";

export interface EngineChoice {
  readonly engine: Engine;
  /** For people: which engine, and why this one. */
  readonly reason: string;
}

const run = promisify(execFile);

export async function chooseEngine(): Promise<EngineChoice> {
  const version = await outputOf("pulumi", ["version"]);
  if (version === undefined) {
    return {
      engine: new InProcessEngine(),
      reason: "in-process stand-in for the Pulumi engine: no pulumi CLI on PATH",
    };
  }
  if (!(await hasCommandPlugin())) {
    const reason = `in-process stand-in for the Pulumi engine: pulumi ${version.trim()} is there, its command plugin is not (pulumi plugin install resource command)`;
    return { engine: new InProcessEngine(), reason };
  }
  return { engine: automationEngine, reason: `pulumi ${version.trim()} through the Automation API, local backend` };
}

/** Installed, or beside the CLI on PATH. */
async function hasCommandPlugin(): Promise<boolean> {
  const installed = await outputOf("pulumi", ["plugin", "ls", "--json"]);
  if (installed !== undefined) {
    const plugins = JSON.parse(installed) as readonly { readonly name: string; readonly kind: string }[];
    if (plugins.some(({ name, kind }) => kind === "resource" && name === "command")) return true;
  }
  return (await outputOf("/bin/sh", ["-c", "command -v pulumi-resource-command"])) !== undefined;
}

async function outputOf(program: string, words: readonly string[]): Promise<string | undefined> {
  try {
    return (await run(program, words, { env: { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" } })).stdout;
  } catch {
    return undefined;
  }
}
