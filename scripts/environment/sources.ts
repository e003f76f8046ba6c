/** Reads the configured sources of environment variables; the one place that sees their values in the clear. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse } from "dotenv";
import { UsageError, codeOf, messageOf } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import { type EnvironmentSettings, type EnvironmentSource, strategySafeVariables } from "../settings";
import { matchesAny } from "./namePatterns";
import { readRailway, readVercel } from "./platformSources";
import type { ReadSource, SourceVariable } from "./sourceVariables";

export interface ObservedVariable {
  readonly name: string;
  /** The value; of one that cannot be read, what stands for it. */
  readonly value: string;
  /** Where it was read: `process`, `dotenv`, `railway` or `vercel`. */
  readonly source: string;
  /**
   * Which one within the source: the dotenv file's path as configured; `run` for the process of this run; Railway's
   * service; Vercel's project and environment.
   */
  readonly target: string;
  /**
   * `secret`: its value is kept out of every output. `plain`: a word, number or address that may also occur elsewhere.
   * `unreadable`: nobody is given its value.
   */
  readonly kind: "secret" | "plain" | "unreadable";
  readonly edited?: { readonly at: string; readonly by: string | null };
}

/** What was looked at: a variable of this source and target was watched if its name matches one of the patterns. */
export interface WatchedScope {
  readonly source: string;
  readonly target: string;
  readonly patterns: readonly string[];
}

export interface Observation {
  readonly scope: readonly WatchedScope[];
  /** Sorted by name, source and target. */
  readonly variables: readonly ObservedVariable[];
}

/**
 * All variables of dotenv files and platforms, and of the process only those that the settings name or the strategy lists
 * as safe: the rest of a process environment is nobody's business.
 *
 * @param folder what dotenv paths are relative to: the project's folder.
 * @throws UsageError when a dotenv file cannot be read, or a platform's token is missing or wrong. @throws Unavailable when
 *   a platform cannot be reached.
 */
export async function observeEnvironment(
  settings: EnvironmentSettings,
  env: NodeJS.ProcessEnv,
  folder: string,
  signal?: AbortSignal,
): Promise<Observation> {
  const named = [...new Set([...settings.critical, ...settings.required, ...strategySafeVariables])].sort();
  const read = await Promise.all(settings.sources.map((source) => readSource(source, env, folder, signal)));
  const scope: WatchedScope[] = [];
  const variables: ObservedVariable[] = [];
  for (const [place, { target, found }] of read.entries()) {
    const source = settings.sources[place]!.kind;
    const watched = { source, target, patterns: source === "process" ? named : ["*"] };
    scope.push(watched);
    for (const [name, { value, mark = "", edited }] of Object.entries(found)) {
      if (!matchesAny(name, watched.patterns)) continue;
      const kind = value === undefined ? "unreadable" : isSecret(name, value) ? "secret" : "plain";
      if (kind === "secret") registerSecret(value);
      const about = { name, value: value ?? mark, source, target, kind } as const;
      variables.push(edited === undefined ? about : { ...about, edited });
    }
  }
  return { scope, variables: variables.sort((a, b) => compareText(sortKey(a), sortKey(b))) };
}

async function readSource(
  source: EnvironmentSource,
  env: NodeJS.ProcessEnv,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<ReadSource> {
  switch (source.kind) {
    case "process":
      return { target: "run", found: known(env) };
    case "dotenv":
      return { target: source.path, found: known(readDotenv(source.path, folder)) };
    case "railway":
      return readRailway(env, signal);
    case "vercel":
      return readVercel(env, source.target, signal);
  }
}

function known(values: Readonly<Record<string, string | undefined>>): Record<string, SourceVariable> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, { value }]])),
  );
}

function readDotenv(path: string, folder: string): Record<string, string> {
  const file = resolve(folder, path);
  try {
    return parse(readFileSync(file));
  } catch (error) {
    const found = codeOf(error) === "ENOENT" ? "no such file" : messageOf(error);
    throw new UsageError(`environment.sources: dotenv file ${path}: ${found}: expected a readable file at ${file}`, {
      hint: "create it, or take the source out of the settings",
    });
  }
}

const secretName = /KEY|SECRET|TOKEN|PASS|PWD|CREDENTIAL|PRIVATE|SALT|DSN/i;

/** Words, numbers, host names and addresses without a password: masking these everywhere would only garble the output. */
const plainValue = /^(?:[a-z0-9._-]{0,24}|(?:https?:\/\/)?[a-z0-9.-]+(?::\d+)?(?:\/[a-z0-9._/-]*)?)$/i;

/** When in doubt a value is secret. */
function isSecret(name: string, value: string): boolean {
  return secretName.test(name) || !plainValue.test(value);
}

function sortKey(variable: ObservedVariable): string {
  return [variable.name, variable.source, variable.target].join("\0");
}

/** By code unit: the same order on every machine, whatever its locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
