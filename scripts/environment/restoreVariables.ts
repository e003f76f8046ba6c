/**
 * Sets chosen variables of Railway and Vercel back to what a snapshot holds. First a plan that a person sees, then the
 * writing, then everything is read again and compared: a platform that says yes and keeps another value is found out.
 */
import { Refusal, UsageError } from "../contract/failure";
import type { VercelTarget, VercelVariable } from "../platforms/vercelVariables";
import { createVercelVariable, readVercelVariables, updateVercelVariable } from "../platforms/vercelVariables";
import { describePlace } from "./checkEnvironment";
import { matchesAny } from "./namePatterns";
import { type SealedVariable, type SnapshotAccess, openSnapshot, unseal } from "./openSnapshot";
import { openRailway, openVercel } from "./platformSources";

export interface RestorePlan {
  readonly snapshot: string;
  /** What is set back. */
  readonly changes: readonly PlannedVariable[];
  /** What is as the snapshot has it. */
  readonly same: readonly string[];
  /** What cannot be set back from here, and why. */
  readonly left: readonly string[];
}

export interface PlannedVariable {
  /** `SUPABASE_URL (railway 4f…): changed, is set back`. */
  readonly line: string;
  readonly variable: SealedVariable;
  /** What Vercel holds now; undefined: nothing, or the variable is Railway's. */
  readonly held: VercelVariable | undefined;
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
  const { access, names, env = process.env, signal } = input;
  const opened = await openSnapshot(access, input.snapshot);
  const { snapshot } = opened;
  const sealed = await unseal(access, opened);
  const unknown = names.find((name) => !sealed.some((variable) => matchesAny(variable.name, [name])));
  if (unknown !== undefined) {
    throw new UsageError(`${unknown}: found no such variable in ${snapshot.name}: expected a name or pattern of it`);
  }
  const chosen = sealed.filter(({ name }) => matchesAny(name, names));
  const platforms = await readPlatforms(chosen, env, signal);
  const changes: PlannedVariable[] = [];
  const same: string[] = [];
  const left: string[] = [];
  for (const variable of chosen) {
    const place = `${variable.name} (${describePlace(variable.source, variable.target)})`;
    const why = whyNot(variable, platforms);
    const held = platforms.vercel.get(variable.target)?.find(({ name }) => name === variable.name);
    const value = variable.source === "railway" ? platforms.railway?.[variable.name] : held?.value;
    const exists = variable.source === "railway" ? value !== undefined : held !== undefined;
    if (why !== undefined) left.push(`${place}: ${why}`);
    else if (value === variable.value) same.push(`${place}: is as it was`);
    else {
      const others = (held?.targets ?? []).filter((target) => !variable.target.endsWith(` ${target}`));
      const shared = others.length === 0 ? "" : `, also for ${others.join(" and ")}, which share it`;
      changes.push({ line: `${place}: ${exists ? "is set back" : "is gone, is made again"}${shared}`, variable, held });
    }
  }
  if (changes.length === 0 && same.length === 0) {
    throw new Refusal("none of the chosen variables can be set back from here", { details: left });
  }
  return { snapshot: snapshot.name, changes, same, left };
}

interface Platforms {
  /** Undefined: the environment names no service, or another one. */
  readonly railway: Readonly<Record<string, string>> | undefined;
  /** By the snapshot's `target`. */
  readonly vercel: ReadonlyMap<string, readonly VercelVariable[]>;
}

async function readPlatforms(
  chosen: readonly SealedVariable[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<Platforms> {
  const vercel = new Map<string, readonly VercelVariable[]>();
  for (const target of targetsOf(chosen, "vercel")) {
    const client = openVercel(env, signal);
    demandPlace(client.projectId, target.split(" ")[0], "VERCEL_PROJECT_ID");
    vercel.set(target, await readVercelVariables(client, environmentOf(target)));
  }
  const [service] = targetsOf(chosen, "railway");
  if (service === undefined) return { railway: undefined, vercel };
  const client = openRailway(env, signal);
  demandPlace(client.serviceId, service, "RAILWAY_SERVICE_ID");
  return { railway: await client.variables(), vercel };
}

function targetsOf(variables: readonly SealedVariable[], source: string): string[] {
  return [...new Set(variables.filter((each) => each.source === source).map(({ target }) => target))];
}

function environmentOf(target: string): VercelTarget {
  return target.split(" ")[1] as VercelTarget;
}

/** A value must not reach another project than the one that it came from. */
function demandPlace(found: string, expected: string | undefined, variable: string): void {
  if (found === expected) return;
  throw new UsageError(`${variable}: found ${found}: expected ${expected}, which the snapshot was read from`);
}

function whyNot(variable: SealedVariable, { railway }: Platforms): string | undefined {
  if (variable.kind === "unreadable") return "its value could not be read then, so no snapshot holds it";
  if (variable.source === "railway") return railway === undefined ? "no service of Railway's" : undefined;
  return variable.source === "vercel" ? undefined : `${variable.source} is not written from here`;
}

/**
 * Writes what the plan says, then reads it again. Running it again is safe: what is as it should be is left alone. Nothing
 * is deployed: a platform gives new values to the next deployment.
 *
 * @throws Refusal naming what does not hold the snapshot's value afterwards.
 */
export async function restoreVariables(input: RestoreInput, plan: RestorePlan): Promise<void> {
  const { env = process.env, signal } = input;
  const railway = plan.changes.filter(({ variable }) => variable.source === "railway");
  if (railway.length > 0) {
    const values = railway.map(({ variable }) => [variable.name, variable.value] as const);
    await openRailway(env, signal).setVariables(Object.fromEntries(values));
  }
  for (const { variable, held } of plan.changes.filter(({ variable: { source } }) => source === "vercel")) {
    const client = openVercel(env, signal);
    if (held === undefined) await createVercelVariable(client, environmentOf(variable.target), variable);
    else await updateVercelVariable(client, held.id, variable.value);
  }
  const { vercel, ...after } = await readPlatforms(
    plan.changes.map(({ variable }) => variable),
    env,
    signal,
  );
  const wrong = plan.changes.filter(({ variable: { name, source, target, value } }) => {
    if (source === "railway") return after.railway?.[name] !== value;
    const now = vercel.get(target)?.find((each) => each.name === name);
    // A sensitive one takes a value and shows it to nobody: that it is there is all that can be known.
    return now === undefined || (now.value !== undefined && now.value !== value);
  });
  if (wrong.length === 0) return;
  throw new Refusal(`${wrong.length} variable(s) do not hold the snapshot's value after they were set`, {
    details: wrong.map(({ line }) => line),
    hint: "run again; then look at the platform's dashboard",
  });
}
