/** Compares the observed variables with the accepted ones, by digest, and decides which changes may pass. Pure. */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { type Acknowledgement, acknowledgementSchema } from "../settings";
import { matchesAny } from "./namePatterns";
import type { WatchedScope } from "./sources";

/** A variable without its value. */
export const digestedVariableSchema = z.object({
  name: z.string(),
  source: z.string(),
  target: z.string(),
  kind: z.string(),
  digest: z.string(),
  /** Who changed it last, and when, where the source tells. */
  edited: z.object({ at: z.string(), by: z.string().nullable() }).optional(),
});

export type DigestedVariable = z.infer<typeof digestedVariableSchema>;

export const environmentChangeSchema = z.object({
  name: z.string(),
  source: z.string(),
  target: z.string(),
  change: z.enum(["added", "removed", "changed"]),
  critical: z.boolean(),
  edited: z.object({ at: z.string(), by: z.string().nullable() }).optional(),
  /** The consent under which a critical change passes. */
  acknowledgement: acknowledgementSchema.optional(),
  /** Why a critical change does not pass; absent when it does. */
  refusal: z.string().optional(),
});

export type EnvironmentChange = z.infer<typeof environmentChangeSchema>;

export interface EnvironmentComparison {
  /** One for each variable that differs, sorted by name, source and target. */
  readonly changes: readonly EnvironmentChange[];
  /** Variables that the baseline did not watch: there is nothing to compare them with. */
  readonly newlyWatched: readonly DigestedVariable[];
}

export interface EnvironmentBaseline {
  readonly scope: readonly WatchedScope[];
  readonly variables: readonly DigestedVariable[];
  /** Acknowledgements that were used before; each covers one change, not every change until it expires. */
  readonly acknowledgements: readonly Acknowledgement[];
}

/** @param settings the `critical` names or patterns, and the acknowledgements that the stack's config holds now. */
export function compareEnvironment(
  observed: readonly DigestedVariable[],
  baseline: EnvironmentBaseline,
  settings: { readonly critical: readonly string[]; readonly acknowledgements: readonly Acknowledgement[] },
  now: Date,
): EnvironmentComparison {
  const before = new Map(baseline.variables.map((variable) => [placeOf(variable), variable]));
  const after = new Map(observed.map((variable) => [placeOf(variable), variable]));
  const changes: EnvironmentChange[] = [];
  const newlyWatched: DigestedVariable[] = [];
  for (const place of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const accepted = before.get(place);
    const found = after.get(place);
    if (accepted?.digest === found?.digest) continue;
    if (accepted === undefined && found !== undefined && !wasWatched(found, baseline.scope)) {
      newlyWatched.push(found);
      continue;
    }
    const { name, source, target } = (found ?? accepted)!;
    const change = accepted === undefined ? "added" : found === undefined ? "removed" : "changed";
    const critical = matchesAny(name, settings.critical);
    const consent = critical ? consentFor(name, settings.acknowledgements, baseline.acknowledgements, now) : {};
    const edited = found?.edited === undefined ? {} : { edited: found.edited };
    changes.push({ name, source, target, change, critical, ...edited, ...consent });
  }
  return { changes, newlyWatched };
}

/** From `expires` on, consent no longer counts; a plain date means its first moment in UTC. */
export function hasExpired(consent: { readonly expires: string }, now: Date): boolean {
  return Date.parse(consent.expires) <= now.getTime();
}

function placeOf(variable: DigestedVariable): string {
  return [variable.name, variable.source, variable.target].join("\0");
}

function wasWatched(variable: DigestedVariable, scope: readonly WatchedScope[]): boolean {
  return scope.some(
    ({ source, target, patterns }) =>
      source === variable.source && target === variable.target && matchesAny(variable.name, patterns),
  );
}

function consentFor(
  name: string,
  acknowledgements: readonly Acknowledgement[],
  used: readonly Acknowledgement[],
  now: Date,
): Pick<EnvironmentChange, "acknowledgement" | "refusal"> {
  const candidates = acknowledgements.filter((candidate) => candidate.name === name);
  if (candidates.length === 0) return { refusal: "not acknowledged" };
  const current = candidates.filter((candidate) => !hasExpired(candidate, now));
  if (current.length === 0) {
    return { refusal: `its acknowledgement by ${candidates[0]!.person} expired (${candidates[0]!.expires})` };
  }
  const unused = current.find((candidate) => !used.some((earlier) => isDeepStrictEqual(earlier, candidate)));
  if (unused === undefined) {
    return { refusal: `its acknowledgement by ${current[0]!.person} was used for an earlier change` };
  }
  return { acknowledgement: unused };
}
