/**
 * What users see of a maintenance, as configured: a variable of the service on Railway, a rule of the firewall before Vercel.
 * Both at the same time; what one of them answers keeps the other from nothing.
 */
import { type ExitCode, Failure, Refusal, Unavailable, UsageError, messageOf } from "../contract/failure";
import { type Maintenance, changedPlatforms, readMaintenance, takeMaintenanceTurn } from "../control/maintenance";
import { matchesAny } from "../environment/namePatterns";
import type { Platforms } from "../release/rollbackTargets";
import type { OperationSettings } from "../settings";
import type { Store } from "../store/store";
import { ended } from "./maintenance";
import { clearOnRailway, findOnRailway, raiseOnRailway } from "./railwayMaintenance";
import { clearOnVercel, demandRoom, described, findOnVercel, raiseOnVercel } from "./vercelMaintenance";

export interface PlatformMaintenanceInput {
  readonly store: Store;
  readonly clients: Platforms;
  readonly settings: Pick<OperationSettings, "maintenance" | "environment">;
  readonly runId: string;
  /** Where a redirection is to be seen; undefined: it is not looked at. */
  readonly frontendUrl: string | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/**
 * Looks only.
 *
 * @returns a line for each platform: what would be done there.
 * @throws UsageError when a platform's token, or the variable, is not usable; Refusal when the firewall has no room. That a
 *   platform does not answer is in its line: the write fence must not wait for that.
 */
export async function planPlatforms({
  clients,
  settings,
  frontendUrl,
}: Pick<PlatformMaintenanceInput, "clients" | "settings" | "frontendUrl">): Promise<string[]> {
  const { railway, vercel } = settings.maintenance;
  const plans: Promise<string>[] = [];
  if (railway !== undefined) {
    demandUnwatched(railway.variable, settings.environment);
    const says = `railway: sets ${railway.variable} to ${JSON.stringify(railway.value)} and deploys the service again`;
    const client = clients.railway();
    plans.push(orSilent(says, async () => void (await client.unrenderedVariables())));
  }
  if (vercel !== undefined) {
    const client = clients.vercel();
    plans.push(orSilent(`vercel: production ${described(vercel)}`, () => demandRoom(client, vercel, frontendUrl)));
  }
  return Promise.all(plans);
}

async function orSilent(says: string, look: () => Promise<void>): Promise<string> {
  try {
    await look();
    return says;
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return `${says}; WARNING: it does not answer now: ${error.message}`;
  }
}

/** A watched variable must not change: the next gate would halt, and its old value would lie in the store unsealed. */
function demandUnwatched(variable: string, { critical, required }: OperationSettings["environment"]): void {
  if (!matchesAny(variable, [...critical, ...required])) return;
  throw new UsageError(
    `maintenance.railway.variable: found ${variable}, which environment.critical or environment.required watches: expected a variable that says nothing but maintenance`,
  );
}

/**
 * @returns a line for each platform; none where none is configured.
 * @throws Refusal when a fence was never raised; otherwise as `together`. What was begun stays on record.
 */
export function raisePlatforms(input: PlatformMaintenanceInput): Promise<string[]> {
  const { clients, settings, runId, frontendUrl, signal, onProgress } = input;
  const { railway, vercel } = settings.maintenance;
  if (railway === undefined && vercel === undefined) return Promise.resolve([]);
  return inTurn(input, ({ platforms }, note) => ({
    railway:
      railway &&
      (() =>
        raiseOnRailway(clients.railway(), railway, platforms.railway, {
          ...{ keep: (record) => note({ railway: record }), signal, onProgress },
        })),
    vercel:
      vercel &&
      (() =>
        raiseOnVercel(clients.vercel(), vercel, platforms.vercel, {
          ...{ keep: (record) => note({ vercel: record }), runId, frontendUrl, signal, onProgress },
        })),
  }));
}

/** @returns a line for each platform on record. @throws as `raisePlatforms`. */
export async function clearPlatforms(
  input: Omit<PlatformMaintenanceInput, "settings" | "frontendUrl">,
): Promise<string[]> {
  const { store, clients, signal, onProgress } = input;
  if (changedPlatforms(await readMaintenance(store)).length === 0) return [];
  return inTurn(input, ({ platforms: { railway, vercel } }, note) => ({
    railway:
      railway === null
        ? undefined
        : () =>
            clearOnRailway(clients.railway(), railway, {
              ...{ keep: (record) => note({ railway: record }), signal, onProgress },
            }),
    vercel:
      vercel === null
        ? undefined
        : () => clearOnVercel(clients.vercel(), vercel, { keep: (record) => note({ vercel: record }), onProgress }),
  }));
}

/** Looks only. @returns why a platform is not as the record says; none: all are. */
export async function findOnPlatforms(store: Store, clients: Platforms): Promise<string[]> {
  const { railway = null, vercel = null } = (await readMaintenance(store))?.platforms ?? {};
  const found = await Promise.all([
    railway === null ? undefined : orProblem("railway", () => findOnRailway(clients.railway(), railway)),
    vercel === null ? undefined : orProblem("vercel", () => findOnVercel(clients.vercel(), vercel)),
  ]);
  const begun = [railway, vercel].flatMap((record, index) =>
    record === null || record.state === "on"
      ? []
      : [`${index === 0 ? "railway" : "vercel"}: ${record.state} was begun and not finished`],
  );
  return [...begun, ...found.filter((finding) => finding !== undefined)];
}

async function orProblem(platform: string, look: () => Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return `${platform}: not known: ${error.message}`;
  }
}

type Sides = Readonly<Record<"railway" | "vercel", (() => Promise<string>) | undefined>>;

async function inTurn(
  { store, runId, signal }: Pick<PlatformMaintenanceInput, "store" | "runId" | "signal">,
  work: (before: Maintenance, note: (changed: Partial<Maintenance["platforms"]>) => Promise<void>) => Sides,
): Promise<string[]> {
  const turn = await takeMaintenanceTurn(store, runId, (current) => {
    if (current === undefined) throw new Refusal("no write fence was ever raised: nothing was changed");
    return current;
  });
  return ended(turn, async () => {
    const lines = await together(work(turn.before, (changed) => turn.notePlatforms(changed)));
    signal.throwIfAborted();
    await turn.end();
    return lines;
  });
}

/** @throws the one that failed, when both have ended; where both did, as unreachable only when that is why both failed. */
async function together({ railway, vercel }: Sides): Promise<string[]> {
  const sides = [railway, vercel].filter((side) => side !== undefined);
  const settled = await Promise.allSettled(sides.map(async (side) => side()));
  const failures = settled.flatMap((side) => (side.status === "rejected" ? [side.reason as unknown] : []));
  const lines = settled.flatMap((side) => (side.status === "fulfilled" ? [side.value] : []));
  if (failures.length === 0) return lines;
  if (failures.length === 1) throw failures[0];
  const said = failures.map(messageOf);
  const codes = failures.map((failure): ExitCode | undefined =>
    failure instanceof Failure ? failure.exitCode : undefined,
  );
  if (codes.includes(undefined)) throw failures[codes.indexOf(undefined)];
  const hint = "run this again: it goes on where it was";
  if (failures.every((failure) => failure instanceof Unavailable)) throw new Unavailable(said.join("; "), { hint });
  throw new Refusal("neither platform is as it should be", { details: said, hint });
}
