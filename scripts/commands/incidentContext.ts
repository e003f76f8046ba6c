/** What the commands of an incident share: the ids that stand there now, as far as the environment names where to ask. */
import { targetFromEnvironment } from "../database/target";
import { readIncidentIds } from "../incident/incidentIds";
import { railwayFromEnvironment } from "../platforms/railway";
import { vercelFromEnvironment } from "../platforms/vercel";
import type { IncidentIds } from "../record/incident";
import { type Platform, openPlatforms } from "../release/rollbackTargets";
import type { Store } from "../store/store";
import { interrupted } from "./session";

/** The platforms whose tokens are set. @throws UsageError when a token is set without the ids beside it. */
export function configuredPlatforms(): Platform[] {
  return [
    ...(railwayFromEnvironment() === undefined ? [] : (["railway"] as const)),
    ...(vercelFromEnvironment() === undefined ? [] : (["vercel"] as const)),
  ];
}

export function idsFromEnvironment(store: Store): Promise<IncidentIds> {
  return readIncidentIds({
    store,
    live: process.env["DATABASE_URL"] ? targetFromEnvironment("DATABASE_URL") : undefined,
    clients: openPlatforms(process.env, interrupted),
    configured: configuredPlatforms(),
  });
}
