/** Reads the configured sources of environment variables; the one place that sees their values in the clear. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse } from "dotenv";
import { UsageError, codeOf, messageOf } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import { type EnvironmentSettings, type EnvironmentSource, strategySafeVariables } from "../settings";
import { matchesAny } from "./namePatterns";

export interface ObservedVariable {
  readonly name: string;
  readonly value: string;
  /** Where it was read: `process` or `dotenv`. */
  readonly source: string;
  /** Which one within the source: the dotenv file's path as configured; `run` for the process of this run. */
  readonly target: string;
  /** `secret`: its value is kept out of every output. `plain`: a word, number or address that may also occur elsewhere. */
  readonly kind: "secret" | "plain";
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
 * All variables of dotenv files, and of the process only those that the settings name or the strategy lists as
 * safe: the rest of a process environment is nobody's business.
 *
 * @param folder what dotenv paths are relative to: the project's folder.
 * @throws UsageError when a dotenv file is missing or cannot be read.
 */
export function observeEnvironment(settings: EnvironmentSettings, env: NodeJS.ProcessEnv, folder: string): Observation {
  const named = [...new Set([...settings.critical, ...settings.required, ...strategySafeVariables])].sort();
  const scope: WatchedScope[] = [];
  const variables: ObservedVariable[] = [];
  for (const source of settings.sources) {
    const watched = {
      source: source.kind,
      target: targetOf(source),
      patterns: source.kind === "process" ? named : ["*"],
    };
    scope.push(watched);
    for (const [name, value] of Object.entries(source.kind === "process" ? env : readDotenv(source.path, folder))) {
      if (value === undefined || !matchesAny(name, watched.patterns)) continue;
      const kind = isSecret(name, value) ? "secret" : "plain";
      if (kind === "secret") registerSecret(value);
      variables.push({ name, value, source: watched.source, target: watched.target, kind });
    }
  }
  return { scope, variables: variables.sort((a, b) => compareText(sortKey(a), sortKey(b))) };
}

function targetOf(source: EnvironmentSource): string {
  return source.kind === "dotenv" ? source.path : "run";
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
