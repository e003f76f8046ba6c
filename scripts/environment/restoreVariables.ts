/**
 * Sets chosen variables of Railway and Vercel back to what a snapshot holds. First a plan that a person sees, then the
 * writing, then everything is read again and compared: a platform that says yes and keeps another value is found out.
 */
import { Refusal, UsageError } from "../contract/failure";
import { matchesAny } from "./namePatterns";
import { type SnapshotAccess, openSnapshot, unseal } from "./openSnapshot";
import { type PlatformAccess, type VariablesPlan, planVariables, writeVariables } from "./platformVariables";

export interface RestorePlan extends VariablesPlan {
  readonly snapshot: string;
}

export interface RestoreInput {
  readonly access: SnapshotAccess;
  /** A snapshot's name, or `latest`. */
  readonly snapshot: string;
  /** Names, or patterns with `*`. */
  readonly names: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
}

/**
 * Reads only.
 *
 * @throws UsageError when a name is in no snapshot. @throws Refusal when nothing that was chosen can be set back. @throws
 *   as `openSnapshot` does.
 */
export async function planRestore(input: RestoreInput): Promise<RestorePlan> {
  const { access, names } = input;
  const opened = await openSnapshot(access, input.snapshot);
  const { snapshot } = opened;
  const sealed = await unseal(access, opened);
  const unknown = names.find((name) => !sealed.some((variable) => matchesAny(variable.name, [name])));
  if (unknown !== undefined) {
    throw new UsageError(`${unknown}: found no such variable in ${snapshot.name}: expected a name or pattern of it`);
  }
  const chosen = sealed.filter(({ name }) => matchesAny(name, names));
  const { changes, same, left } = await planVariables(chosen, platformsOf(input), {
    set: "is set back",
    made: "is gone, is made again",
  });
  if (changes.length === 0 && same.length === 0) {
    throw new Refusal("none of the chosen variables can be set back from here", { details: left });
  }
  return { snapshot: snapshot.name, changes, same, left };
}

const platformsOf = ({ env = process.env, signal }: RestoreInput): PlatformAccess => ({ env, signal });

/**
 * Writes what the plan says, then reads it again. Running it again is safe: what is as it should be is left alone. Nothing
 * is deployed: a platform gives new values to the next deployment.
 *
 * @throws Refusal naming what does not hold the snapshot's value afterwards.
 */
export async function restoreVariables(input: RestoreInput, plan: RestorePlan): Promise<void> {
  const wrong = await writeVariables(plan.changes, platformsOf(input));
  if (wrong.length === 0) return;
  throw new Refusal(`${wrong.length} variable(s) do not hold the snapshot's value after they were set`, {
    details: wrong,
    hint: "run again; then look at the platform's dashboard",
  });
}
