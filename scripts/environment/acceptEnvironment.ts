/** Makes the environment as it is now the accepted one: the baseline of every later check. */
import { isDeepStrictEqual } from "node:util";
import { Refusal, UsageError } from "../contract/failure";
import type { Acknowledgement } from "../settings";
import type { Store } from "../store/store";
import { type Assessment, type EnvironmentInput, assessEnvironment, digestVariables } from "./checkEnvironment";
import { matchesAny } from "./namePatterns";
import { type EnvironmentSnapshot, writeSnapshot } from "./snapshot";

export interface AcceptanceInput extends EnvironmentInput {
  readonly store: Store;
  /** The run that accepts; recorded in the snapshot. */
  readonly runId: string;
  /** Names, or patterns with `*`, whose findings an override of the gate lets pass. Default: none. */
  readonly overridden?: readonly string[];
}

export interface Acceptance {
  /** The baseline from now on. */
  readonly name: string;
  /** False when the baseline already said the same and nothing was written. */
  readonly written: boolean;
  /** As they were accepted, digested under the keys of that snapshot. */
  readonly variables: EnvironmentSnapshot["variables"];
}

/**
 * Checks once more and stores a snapshot if it differs from the baseline, so that nothing is accepted that
 * did not pass, also when a file changed since the check before.
 *
 * @throws Refusal when the check halts. @throws UsageError when the store has no identity yet.
 */
export async function acceptEnvironment(input: AcceptanceInput): Promise<Acceptance> {
  const now = input.now ?? new Date();
  const assessment = await assessEnvironment({ ...input, now });
  const { check, observation, next, baseline } = assessment;
  const refused = check.findings.filter(({ name }) => !matchesAny(name, input.overridden ?? []));
  if (refused.length > 0) {
    throw new Refusal("the environment is not accepted: a required variable is missing or a critical one changed", {
      details: refused.map(({ message }) => message),
      hint: "put the value back, or acknowledge the change in environment.acknowledgements",
    });
  }
  if (next === undefined) {
    throw new UsageError(`${input.store.url}: found no store.json: expected a store that holds a backup already`, {
      hint: "run npm run db:backup first",
    });
  }
  const variables = digestVariables(observation.variables, next);
  if (baseline !== undefined && baseline.keyCheck === next.keyCheck && !differs(assessment))
    return { name: baseline.name, written: false, variables };
  const name = await writeSnapshot(input.store, next, {
    observation,
    digested: variables,
    baseline,
    acknowledgements: acknowledgementsUsed(assessment),
    runId: input.runId,
    now,
  });
  return { name, written: true, variables };
}

function differs({ check, observation, baseline }: Assessment): boolean {
  return (
    check.changes.length > 0 || check.newlyWatched.length > 0 || !isDeepStrictEqual(baseline?.scope, observation.scope)
  );
}

function acknowledgementsUsed({ check }: Assessment): Acknowledgement[] {
  const used = check.changes.flatMap(({ acknowledgement }) => (acknowledgement === undefined ? [] : [acknowledgement]));
  return [...new Set(used)];
}
