/** What is live on each platform, and what it can be rolled back to. */
import { UsageError } from "../contract/failure";
import { Railway, type RailwayDeployment, railwayFromEnvironment, railwayPhase } from "../platforms/railway";
import { Vercel, vercelFromEnvironment, vercelPhase } from "../platforms/vercel";
import type { RollbackTarget } from "../record/receipt";

export const platforms = ["railway", "vercel"] as const;
export type Platform = (typeof platforms)[number];

/** A platform's client, made when it is first asked for: who uses one of them need not configure the other. */
export interface Platforms {
  /** @throws UsageError when its token or one of its ids is not set. */
  readonly railway: () => Railway;
  readonly vercel: () => Vercel;
}

export function openPlatforms(env: NodeJS.ProcessEnv, signal: AbortSignal): Platforms {
  return {
    railway: () => {
      const access = railwayFromEnvironment(env);
      if (access === undefined) throw new UsageError("RAILWAY_TOKEN is not set: expected a token of Railway's project");
      return new Railway(access, { signal });
    },
    vercel: () => {
      const access = vercelFromEnvironment(env);
      if (access === undefined) throw new UsageError("VERCEL_TOKEN is not set: expected a token of Vercel's");
      return new Vercel(access, { signal });
    },
  };
}

/** The deployment that is live; null: none is. */
export async function findTarget(platform: Platform, clients: Platforms): Promise<RollbackTarget | null> {
  return platform === "railway" ? railwayTarget(clients.railway()) : vercelTarget(clients.vercel());
}

/** A newer one that failed or is being built leaves the one before it live. */
export async function liveOnRailway(railway: Railway): Promise<RailwayDeployment | undefined> {
  return (await railway.deployments()).find(({ status }) => railwayPhase(status) === "live");
}

/**
 * Railway says `canRollback` of a deployment that was taken down; one that is live it can redeploy, which takes the same
 * image. How long an image is kept after that depends on the plan.
 */
async function railwayTarget(railway: Railway): Promise<RollbackTarget | null> {
  const live = await liveOnRailway(railway);
  if (live === undefined) return null;
  const { id, status, createdAt, canRollback, canRedeploy } = live;
  return { deploymentId: id, status, createdAt, possible: canRollback || canRedeploy };
}

/** After the next deployment this is the one before it, to which every plan can go back. */
async function vercelTarget(vercel: Vercel): Promise<RollbackTarget | null> {
  const { productionId } = await vercel.project();
  if (productionId === null) return null;
  const { id, readyState, createdAt } = await vercel.deployment(productionId);
  return { deploymentId: id, status: readyState, createdAt, possible: vercelPhase(readyState) === "live" };
}

export function describeTarget(target: RollbackTarget | null): string {
  if (target === null) return "nothing is live, so there is nothing to roll back to";
  const { deploymentId, status, createdAt, possible } = target;
  const known = `deployment ${deploymentId} of ${createdAt} is live (${status})`;
  return possible ? `${known} and can be rolled back to` : `${known}, but cannot be rolled back to`;
}

/**
 * Railway's ids are UUIDs, Vercel's begin with `dpl_`.
 *
 * @throws UsageError naming `--to-deployment` when one is neither, or two are of one platform.
 */
export function deploymentsByPlatform(ids: readonly string[]): Partial<Record<Platform, string>> {
  const found: Partial<Record<Platform, string>> = {};
  for (const id of ids) {
    const platform = platformOf(id);
    if (platform === undefined) {
      throw new UsageError(
        `--to-deployment: found ${JSON.stringify(id)}: expected an id of Railway's (a UUID) or of Vercel's (dpl_…)`,
      );
    }
    if (found[platform] !== undefined) {
      throw new UsageError(`--to-deployment: found two ids of ${platform}: expected at most one for each platform`);
    }
    found[platform] = id;
  }
  return found;
}

function platformOf(id: string): Platform | undefined {
  if (/^dpl_\w+$/.test(id)) return "vercel";
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id) ? "railway" : undefined;
}
