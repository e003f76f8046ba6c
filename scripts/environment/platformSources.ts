/** The variables as Railway and Vercel hold them, in the form that every source has. */
import { UsageError } from "../contract/failure";
import { Railway, railwayFromEnvironment } from "../platforms/railway";
import { Vercel, vercelFromEnvironment } from "../platforms/vercel";
import { type VercelTarget, readVercelVariables } from "../platforms/vercelVariables";
import type { ReadSource, SourceVariable } from "./sourceVariables";

/** Beside the service's own, Railway lists what it provides itself: ids and domains that change with a deployment. */
const providedByRailway = /^RAILWAY_/;

export async function readRailway(env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<ReadSource> {
  const railway = openRailway(env, signal);
  const found: Record<string, SourceVariable> = {};
  for (const [name, value] of Object.entries(await railway.variables())) {
    if (!providedByRailway.test(name)) found[name] = { value };
  }
  return { target: railway.serviceId, found };
}

export async function readVercel(
  env: NodeJS.ProcessEnv,
  target: VercelTarget,
  signal?: AbortSignal,
): Promise<ReadSource> {
  const vercel = openVercel(env, signal);
  const found: Record<string, SourceVariable> = {};
  for (const variable of await readVercelVariables(vercel, target)) {
    const { id, name, value, type, targets, editedAt, editedBy } = variable;
    found[name] = {
      value,
      // Whoever edits it, or makes it anew, changes one of these.
      mark: JSON.stringify([id, editedAt ?? "", [...targets].sort(), type]),
      ...(editedAt === undefined ? {} : { edited: { at: editedAt, by: editedBy ?? null } }),
    };
  }
  return { target: `${vercel.projectId} ${target}`, found };
}

/** @throws UsageError when the environment names no service of Railway's. */
export function openRailway(env: NodeJS.ProcessEnv, signal?: AbortSignal): Railway {
  const access = railwayFromEnvironment(env);
  if (access !== undefined) return new Railway(access, signal === undefined ? {} : { signal });
  throw new UsageError("RAILWAY_TOKEN: found nothing, although a source is railway: expected a project's token", {
    hint: "set it and RAILWAY_SERVICE_ID, or take the source out of environment.sources",
  });
}

/** @throws UsageError when the environment names no project of Vercel's. */
export function openVercel(env: NodeJS.ProcessEnv, signal?: AbortSignal): Vercel {
  const access = vercelFromEnvironment(env);
  if (access !== undefined) return new Vercel(access, signal === undefined ? {} : { signal });
  throw new UsageError("VERCEL_TOKEN: found nothing, although a source is vercel: expected a token", {
    hint: "set it and VERCEL_PROJECT_ID, or take the source out of environment.sources",
  });
}
