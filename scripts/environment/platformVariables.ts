/**
 * Sets variables of Railway and Vercel to given values: first a plan that a person sees, then the writing, then everything
 * is read again and compared, so that a platform that says yes and keeps another value is found out.
 */
import { UsageError } from "../contract/failure";
import type { VercelTarget, VercelVariable } from "../platforms/vercelVariables";
import { createVercelVariable, readVercelVariables, updateVercelVariable } from "../platforms/vercelVariables";
import { describePlace } from "./checkEnvironment";
import type { SealedVariable } from "./openSnapshot";
import { openRailway, openVercel } from "./platformSources";

/** How the platforms are reached. */
export interface PlatformAccess {
  /** Where their tokens stand. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal | undefined;
}

export interface VariablesPlan {
  /** What is written. */
  readonly changes: readonly PlannedVariable[];
  /** What has the value already. */
  readonly same: readonly string[];
  /** What cannot be written from here, and why. */
  readonly left: readonly string[];
}

export interface PlannedVariable {
  /** `SUPABASE_URL (railway 4f…): changed, is set back`. */
  readonly line: string;
  readonly variable: SealedVariable;
  /** What Vercel holds now; undefined: nothing, or the variable is Railway's. */
  readonly held: VercelVariable | undefined;
}

/**
 * Reads only.
 *
 * @param words what is said of one that has another value, and of one that is not there.
 * @throws UsageError when a platform's access is missing, or is that of another project.
 */
export async function planVariables(
  chosen: readonly SealedVariable[],
  access: PlatformAccess,
  words: { readonly set: string; readonly made: string },
): Promise<VariablesPlan> {
  const platforms = await readPlatforms(chosen, access);
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
      changes.push({ line: `${place}: ${exists ? words.set : words.made}${shared}`, variable, held });
    }
  }
  return { changes, same, left };
}

interface Platforms {
  /** Undefined: the environment names no service, or another one. */
  readonly railway: Readonly<Record<string, string>> | undefined;
  /** By the snapshot's `target`. */
  readonly vercel: ReadonlyMap<string, readonly VercelVariable[]>;
}

async function readPlatforms(chosen: readonly SealedVariable[], access: PlatformAccess): Promise<Platforms> {
  const vercel = new Map<string, readonly VercelVariable[]>();
  for (const target of targetsOf(chosen, "vercel")) {
    const client = openVercel(access.env, access.signal);
    demandPlace(client.projectId, target.split(" ")[0], "VERCEL_PROJECT_ID");
    vercel.set(target, await readVercelVariables(client, environmentOf(target)));
  }
  const [service] = targetsOf(chosen, "railway");
  if (service === undefined) return { railway: undefined, vercel };
  const client = openRailway(access.env, access.signal);
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
 * Running it again is safe: what is as it should be is left alone. Nothing is deployed: a platform gives new values to the
 * next deployment.
 *
 * @returns what does not hold its value afterwards.
 */
export async function writeVariables(
  changes: readonly PlannedVariable[],
  access: PlatformAccess,
): Promise<readonly string[]> {
  const railway = changes.filter(({ variable }) => variable.source === "railway");
  if (railway.length > 0) {
    const values = railway.map(({ variable }) => [variable.name, variable.value] as const);
    await openRailway(access.env, access.signal).setVariables(Object.fromEntries(values));
  }
  for (const { variable, held } of changes.filter(({ variable: { source } }) => source === "vercel")) {
    const client = openVercel(access.env, access.signal);
    if (held === undefined) await createVercelVariable(client, environmentOf(variable.target), variable);
    else await updateVercelVariable(client, held.id, variable.value);
  }
  const { vercel, ...after } = await readPlatforms(
    changes.map(({ variable }) => variable),
    access,
  );
  return changes
    .filter(({ variable: { name, source, target, value } }) => {
      if (source === "railway") return after.railway?.[name] !== value;
      const now = vercel.get(target)?.find((each) => each.name === name);
      // A sensitive one takes a value and shows it to nobody: that it is there is all that can be known.
      return now === undefined || (now.value !== undefined && now.value !== value);
    })
    .map(({ line }) => line);
}
