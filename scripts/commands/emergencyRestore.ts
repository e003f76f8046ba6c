/** `db:emergency-restore`: the newest verified backup of the last known good state takes the live database's place. */
import type { Command } from "commander";
import { resolveBackup } from "../backup/manifest";
import { UsageError } from "../contract/failure";
import { setFreeze } from "../control/freeze";
import { readClock } from "../database/clock";
import { withConnection } from "../database/connect";
import { readWritableIdentity } from "../database/identity";
import { targetFromEnvironment } from "../database/target";
import { type EmergencyPlan, planEmergency } from "../incident/emergencyPlan";
import { restoreLive } from "../incident/restoreLive";
import { localUser } from "../process/localUser";
import { type IncidentChannels, tellOfOpenIncidents } from "../record/incidentNotice";
import { whyNoSwap } from "../restore/swapDatabases";
import { readOperationSettings } from "../settings";
import { describeRto, overTarget } from "../verification/expectedRto";
import { channelsFor, telling } from "./communication";
import { newRunId } from "./gateContext";
import { describeMode, describeRestoredLive } from "./restoreMode";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly inPlace?: boolean;
  readonly safetyBackup?: string;
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .argument("[backup]", "a verified backup's name; default: the newest of the last known good state")
    .option("--in-place", "replace what is in the database, in one transaction, also where it could be renamed")
    .option("--safety-backup <name>", "take no backup of what is live now: this one is enough; default: one is taken")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(restore);
}

async function restore(wanted: string | undefined, options: Options): Promise<void> {
  if (wanted === "latest")
    throw new UsageError("found latest: expected a backup's name, or nothing: then the last known good one is taken");
  const { rtoMinutes } = readOperationSettings(options.settings);
  const store = storeFromEnvironment();
  const channels = channelsFor(store, options.settings);
  const live = targetFromEnvironment("DATABASE_URL");
  const named = wanted === undefined ? undefined : await resolveBackup(store, wanted);
  const plan = await planEmergency(store, named, progress);
  const { identity, now } = await withConnection(live, async (client) => ({
    identity: await readWritableIdentity(client, live),
    now: await readClock(client),
  }));
  for (const line of describePlan(plan, now, rtoMinutes)) progress(line);
  // Where it cannot be renamed, nobody has to be asked for the other way in an emergency.
  const why = options.inPlace === true ? null : await whyNoSwap(live);
  if (why !== null) progress(`in place, for the live database cannot be renamed: ${why}`);
  const mode = options.inPlace === true || why !== null ? "in-place" : "swap";
  await confirm(
    `freezes releases, ${options.safetyBackup === undefined ? "takes a backup of what is live now, " : ""}${describeMode(mode, plan.manifest, identity)}`,
    options.yes === true,
  );
  await freeze(channels, plan);
  const recovery = { way: "db:emergency-restore", from: plan.manifest.name };
  const restored = await telling(channels, recovery, () =>
    restoreLive({
      ...{ store, manifest: plan.manifest, live, identity, mode, runId: newRunId() },
      ...(options.safetyBackup === undefined ? {} : { safetyBackup: options.safetyBackup }),
      signal: interrupted,
      onProgress: progress,
    }),
  );
  printResult(
    options.json === true,
    { backup: plan.manifest.name, knownGood: plan.knownGood, expectedRto: plan.expectedRto ?? null, ...restored },
    `${describeRestoredLive(restored, plan.manifest, identity)}\nnext: npm run db:emergency-verify`,
  );
}

/** The expected RTO first: it decides whether rolling the application back is the quicker way. */
function describePlan(plan: EmergencyPlan, now: Date, rtoMinutes: number): string[] {
  const { manifest, expectedRto, knownGood, newer } = plan;
  const over = expectedRto === undefined ? undefined : overTarget(expectedRto, rtoMinutes);
  const takenAt = new Date(manifest.snapshot.takenAt);
  const minutes = Math.max(0, Math.round((now.getTime() - takenAt.getTime()) / 60_000));
  return [
    `expected RTO: ${expectedRto === undefined ? "unknown, nothing of this store was ever restored" : describeRto(expectedRto, manifest.databaseBytes)}; the safety backup comes on top`,
    ...(over === undefined ? [] : [`warning: ${over}`]),
    knownGood === null
      ? "last known good state: none, no release of this store was ever verified"
      : `last known good state: ${knownGood.at.toISOString()}, when release ${knownGood.releaseVersion || "(unnamed)"} was verified (receipt ${knownGood.runId})`,
    `backup: ${manifest.name} (${manifest.tier}), verified at depth ${plan.depth}; what was written in the ${minutes} minutes since it was taken is not in it`,
    ...(newer.length === 0
      ? []
      : [`newer verified backups, to be had by name: ${newer.map(({ name }) => name).join(", ")}`]),
  ];
}

/** Nothing is to be released on top of a restore; `deploy:unfreeze` lifts it when all is well. */
async function freeze(channels: IncidentChannels, { manifest }: EmergencyPlan): Promise<void> {
  const reason = `emergency restore of ${manifest.name}`;
  await setFreeze(channels.store, {
    kind: "manual",
    runId: null,
    reason,
    person: localUser(),
    missingRows: {},
  });
  await tellOfOpenIncidents({ event: "frozen", text: `every gate and release is frozen: ${reason}` }, channels);
  progress("releases are frozen: npm run deploy:unfreeze lifts that");
}
