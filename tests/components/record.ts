/** Runs a declaration under Pulumi's mocks in a process of its own and returns what it registered. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";
import type { DeclarationName } from "./declarations";

export interface RecordJob {
  readonly declaration: DeclarationName;
  readonly preview: boolean;
  /** Names of resources that fail to register. */
  readonly failing: readonly string[];
  /** Whether the commands that are invoked halt. */
  readonly halting: boolean;
}

export interface RegisteredResource {
  readonly type: string;
  readonly name: string;
  readonly parent: string;
  /** As they travel: secrets are marked, see `scripts/rehearsal/engine/wire.ts`. */
  readonly inputs: Readonly<Record<string, unknown>>;
  /** Names. */
  readonly dependsOn: readonly string[];
  readonly protect: boolean;
  readonly retainOnDelete: boolean;
  /** `customTimeouts.create`. */
  readonly timeout: string;
  /** Name of the provider that was given; empty: the default one. */
  readonly provider: string;
}

export interface Recorded {
  readonly registered: readonly RegisteredResource[];
  readonly errors: readonly string[];
  readonly invoked: readonly string[];
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** With `log`, what `pulumi.log` printed. */
export interface Recording extends Recorded {
  readonly log: string;
  get(name: string): RegisteredResource;
}

const recordings = new Map<string, Promise<Recording>>();

/** The same declaration with the same options is run once. */
export function record(
  declaration: DeclarationName,
  options: Partial<Omit<RecordJob, "declaration">> = {},
): Promise<Recording> {
  const job = JSON.stringify({
    declaration,
    preview: false,
    failing: [],
    halting: false,
    ...options,
  } satisfies RecordJob);
  const recording = recordings.get(job) ?? run(job);
  recordings.set(job, recording);
  return recording;
}

async function run(job: string): Promise<Recording> {
  const folder = mkdtempSync(path.join(tmpdir(), "dbprotect-record-"));
  const file = path.join(folder, "recorded.json");
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--require", require.resolve("tsx/cjs"), path.join(__dirname, "recordHost.ts"), job, file],
    { maxBuffer: 16 * 1024 * 1024 },
  );
  const recorded = JSON.parse(readFileSync(file, "utf8")) as Recorded;
  rmSync(folder, { recursive: true });
  const get = (name: string): RegisteredResource => {
    const found = recorded.registered.find((resource) => resource.name === name);
    if (found === undefined) throw new Error(`${name} was not registered; ${recorded.errors.join("; ")}`);
    return found;
  };
  return { ...recorded, log: stdout.trimEnd(), get };
}
