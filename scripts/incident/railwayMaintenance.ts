/**
 * Railway's side of a maintenance: a variable says it to the application, which gets it by being deployed again. What was
 * there before is on record first. `off` puts it back, and deploys again only what was deployed with it: a rollback has
 * brought back the variables of then already.
 */
import type { RailwayMaintenance } from "../control/maintenance";
import { Refusal, Unavailable } from "../contract/failure";
import { type Railway, type RailwayDeployment, railwayPhase } from "../platforms/railway";
import { followState } from "../release/followState";
import { liveOnRailway } from "../release/rollbackTargets";
import type { MaintenanceSettings } from "../settings";

export interface RailwayContext {
  /** Puts the record into the store, before what it says is done; null: nothing is changed any more. */
  readonly keep: (record: RailwayMaintenance | null) => Promise<void>;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** Seconds in which a deployment that was asked for, without an answer, must have shown. */
const appearanceSeconds = 20;

/**
 * @returns a line that says how it is now.
 * @throws Refusal when another service or variable is on record, or the deployment does not become live; Unavailable when it
 *   takes too long.
 */
export async function raiseOnRailway(
  railway: Railway,
  settings: NonNullable<MaintenanceSettings["railway"]>,
  former: RailwayMaintenance | null,
  context: RailwayContext,
): Promise<string> {
  const { variable, value } = settings;
  if (former !== null) await demandSameService(railway, former);
  if (former !== null && former.variable !== variable)
    throw new Refusal(`railway: ${former.variable} is on record, not ${variable}`, {
      hint: "put it back first: npm run deploy:maintenance -- off",
    });
  const now = (await railway.unrenderedVariables())[variable] ?? null;
  if (former?.state === "on" && former.value === value && now === value) return `railway: ${variable} is set already`;
  const isUnderWay = former?.state === "setting" && former.value === value && now === value;
  const record = isUnderWay ? former : await newRecord(railway, settings, former, now);
  await context.keep(record);
  if (now !== value) {
    context.onProgress(`railway: setting ${variable}`);
    await railway.setVariables({ [variable]: value });
  }
  const became = await deployAgain(railway, record, context);
  await demandValue(railway, variable, value);
  await context.keep({ ...record, state: "on" });
  return `railway: ${variable} is ${JSON.stringify(value)}, ${became}`;
}

async function newRecord(
  railway: Railway,
  { variable, value, timeoutSeconds }: NonNullable<MaintenanceSettings["railway"]>,
  former: RailwayMaintenance | null,
  now: string | null,
): Promise<RailwayMaintenance> {
  const { environmentId } = await railway.place();
  const before = former === null ? now : former.before;
  return {
    ...{ environmentId, serviceId: railway.serviceId, variable, value, before },
    ...{ state: "setting", seconds: timeoutSeconds },
    latestBefore: (await railway.latest())?.id ?? null,
    redeploys: before !== value && (await liveOnRailway(railway)) !== undefined,
  };
}

/**
 * @returns a line that says how it is now.
 * @throws as `raiseOnRailway`.
 */
export async function clearOnRailway(
  railway: Railway,
  former: RailwayMaintenance,
  context: RailwayContext,
): Promise<string> {
  await demandSameService(railway, former);
  const { variable, value, before } = former;
  const now = (await railway.unrenderedVariables())[variable] ?? null;
  const isBack = now === before;
  if (now !== value && !isBack) {
    await context.keep(null);
    return `railway: ${variable} is neither what was set nor what it was before: somebody changed it, and it is left alone`;
  }
  if (isBack && former.state !== "clearing") {
    await context.keep(null);
    return `railway: ${variable} is as it was before already`;
  }
  const record: RailwayMaintenance =
    former.state === "clearing"
      ? former
      : {
          ...{ ...former, state: "clearing", latestBefore: (await railway.latest())?.id ?? null },
          redeploys: (await liveOnRailway(railway)) !== undefined,
        };
  await context.keep(record);
  if (!isBack) {
    context.onProgress(`railway: putting ${variable} back`);
    if (before === null) await railway.deleteVariable(variable);
    else await railway.setVariables({ [variable]: before });
  }
  const became = await deployAgain(railway, record, context);
  await demandValue(railway, variable, before);
  await context.keep(null);
  return `railway: ${variable} is ${before === null ? "gone" : "as it was before"}, ${became}`;
}

/** Looks only. @returns why the variable is not what the record says; undefined: it is. */
export async function findOnRailway(railway: Railway, record: RailwayMaintenance): Promise<string | undefined> {
  await demandSameService(railway, record);
  const now = (await railway.variables())[record.variable] ?? null;
  return now === record.value ? undefined : `railway: ${record.variable} is not ${JSON.stringify(record.value)}`;
}

async function demandSameService(railway: Railway, record: RailwayMaintenance): Promise<void> {
  const { environmentId } = await railway.place();
  if (record.environmentId === environmentId && record.serviceId === railway.serviceId) return;
  throw new Refusal(
    `railway: the maintenance on record is of service ${record.serviceId} in environment ${record.environmentId}, not of ${railway.serviceId} in ${environmentId}: nothing was changed`,
    { hint: "set RAILWAY_SERVICE_ID, and a token of that environment" },
  );
}

async function demandValue(railway: Railway, variable: string, value: string | null): Promise<void> {
  const found = (await railway.unrenderedVariables())[variable] ?? null;
  if (found !== value) throw new Refusal(`railway: ${variable} was changed by somebody else meanwhile: run this again`);
}

/**
 * What is live, with the variables of now. One that somebody's change of variables set off, or a killed run asked for, serves
 * as well: whatever is newer than the change has its variables.
 */
async function deployAgain(railway: Railway, record: RailwayMaintenance, context: RailwayContext): Promise<string> {
  if (!record.redeploys) return "nothing had to be deployed again";
  const latest = await railway.latest();
  const underWay = latest !== null && latest.id !== record.latestBefore && railwayPhase(latest.status) !== "ended";
  if (!underWay) await askAgain(railway, { ...record, latestBefore: latest?.id ?? null }, context);
  const before = underWay ? record.latestBefore : (latest?.id ?? null);
  const id = await followState("railway", async () => judge(await railway.latest(), before), {
    ...{ seconds: record.seconds, signal: context.signal, onProgress: context.onProgress },
  });
  return `live with deployment ${id}`;
}

async function askAgain(railway: Railway, record: RailwayMaintenance, context: RailwayContext): Promise<void> {
  const live = await liveOnRailway(railway);
  if (live === undefined)
    throw new Refusal("railway: no deployment is live any more that could be deployed again", {
      hint: "deploy the service, then run this again",
    });
  await context.keep(record);
  context.onProgress(`railway: deploying ${live.id} again`);
  try {
    await railway.redeploy(live.id);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    // It may have been accepted all the same.
    context.onProgress(`railway: ${error.message}; looking whether it was accepted`);
    const options = { seconds: Math.min(appearanceSeconds, record.seconds), ...context };
    await followState(
      "railway",
      async () => ((await railway.latest())?.id === record.latestBefore ? notShown : { done: true }),
      options,
    ).catch(() => {
      context.signal.throwIfAborted();
      throw error;
    });
  }
}

const notShown = { awaited: "waiting for the new deployment to show" };

function judge(latest: RailwayDeployment | null, before: string | null): { done: string } | { awaited: string } {
  if (latest === null || latest.id === before) return notShown;
  const { id, status } = latest;
  switch (railwayPhase(status)) {
    case "live":
      return { done: id };
    case "ended":
      throw new Refusal(`railway: deployment ${id} ended as ${status}`, {
        hint: "look at its log in Railway's dashboard; then run this again",
      });
    case "waiting":
      return { awaited: `deployment ${id} waits for an approval in Railway's dashboard (${status})` };
    case "passing":
    case "unknown":
      return { awaited: `deployment ${id}: ${status}` };
  }
}
