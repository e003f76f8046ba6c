/** What stands there now, by its ids: read when an incident opens and when it closes. What cannot be asked is null. */
import { listBackups, listSuspects } from "../backup/manifest";
import { Failure } from "../contract/failure";
import { withConnection } from "../database/connect";
import { databaseFailure } from "../database/databaseFailure";
import { readIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import type { IncidentIds } from "../record/incident";
import { newestRun } from "../record/releaseEvents";
import { type Platform, type Platforms, findTarget } from "../release/rollbackTargets";
import type { Store } from "../store/store";

export interface IdsInput {
  readonly store: Store;
  /** Undefined: DATABASE_URL is not set. */
  readonly live: DatabaseTarget | undefined;
  readonly clients: Platforms;
  /** Those whose tokens are set. */
  readonly configured: readonly Platform[];
}

export async function readIncidentIds({ store, live, clients, configured }: IdsInput): Promise<IncidentIds> {
  const deploymentOf = (platform: Platform): Promise<string | null> =>
    configured.includes(platform)
      ? orNull(async () => (await findTarget(platform, clients))?.deploymentId ?? null)
      : Promise.resolve(null);
  const [database, run, backups, suspects, railway, vercel] = await Promise.all([
    live === undefined ? null : orNull(() => withConnection(live, (client) => readIdentity(client, live))),
    newestRun(store, undefined),
    listBackups(store),
    listSuspects(store),
    deploymentOf("railway"),
    deploymentOf("vercel"),
  ]);
  const release = run === undefined ? null : { runId: run.runId, releaseVersion: run.releaseVersion, stack: run.stack };
  const backup = backups.findLast(({ name }) => !suspects.has(name))?.name ?? null;
  return { database, release, backup, deployments: { railway, vercel } };
}

/** In an incident anything may be away; a bug is still a bug. */
async function orNull<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof Failure || databaseFailure(error) !== undefined) return null;
    throw error;
  }
}
