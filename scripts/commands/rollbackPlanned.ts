/** `rollback:planned`: data and application go back to before a release, in order, resumable at each step. */
import type { Command } from "commander";
import { targetFromEnvironment } from "../database/target";
import { abandonPlannedRollback, planPlannedRollback, runPlannedRollback } from "../incident/plannedRollback";
import { readPlannedRollback } from "../control/plannedRollback";
import { railwayFromEnvironment } from "../platforms/railway";
import { vercelFromEnvironment } from "../platforms/vercel";
import { localUser } from "../process/localUser";
import { deploymentsByPlatform, openPlatforms } from "../release/rollbackTargets";
import { type NamedPlatform, describePlanned, renderPlanned } from "../report/plannedRollback";
import { readOperationSettings } from "../settings";
import { newRunId } from "./gateContext";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly receipt?: string;
  readonly toDeployment?: readonly string[];
  readonly inPlace?: boolean;
  readonly safetyBackup?: string;
  readonly abandon?: boolean;
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .argument("[backup]", "a backup's name; default: the one that the gate verified before the release")
    .option("--receipt <run id>", "the release to undo; default: the newest one of this stack")
    .option(
      "--to-deployment <ids...>",
      "go back to these: an id of Railway's, one of Vercel's (dpl_…), or both; default: those that the receipt recorded",
    )
    .option(
      "--in-place",
      "replace what is in the database, in one transaction, also where it could be renamed; default: where it cannot be",
    )
    .option("--safety-backup <name>", "take no backup of what is live now: this one is enough; default: one is taken")
    .option("--abandon", "give up the one that is under way; what its steps did stays, the write fence too")
    .option(
      "--settings <file>",
      "where there is no receipt: settings as JSON; default: DBPROTECT_SETTINGS, else all defaults",
    )
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action((backup: string | undefined, options: Options) =>
      options.abandon === true ? abandon(options) : roll(backup, options),
    );
}

async function roll(backup: string | undefined, options: Options): Promise<void> {
  const store = storeFromEnvironment();
  const live = targetFromEnvironment("DATABASE_URL");
  const clients = openPlatforms(process.env, interrupted);
  const named = namedPlatforms();
  const common = { store, live, clients, runId: newRunId() };
  const plan = await planPlannedRollback({
    ...{ ...common, backup, receipt: options.receipt, safetyBackup: options.safetyBackup },
    ...{ person: localUser(), stack: process.env["DBPROTECT_STACK"] || undefined },
    ...{ settings: readOperationSettings(options.settings), inPlace: options.inPlace === true },
    to: deploymentsByPlatform(options.toDeployment ?? []),
    configured: named.map(({ platform }) => platform),
  });
  await confirm(describePlanned(plan, named), options.yes === true);
  const result = await runPlannedRollback(plan, {
    ...common,
    addresses: {
      appUrl: process.env["APP_URL"] || undefined,
      frontendUrl: process.env["FRONTEND_URL"] || undefined,
    },
    signal: interrupted,
    onProgress: progress,
  });
  printResult(options.json === true, result, renderPlanned(result));
}

function namedPlatforms(): (NamedPlatform & { platform: "railway" | "vercel" })[] {
  const railway = railwayFromEnvironment();
  const vercel = vercelFromEnvironment();
  return [
    ...(railway === undefined
      ? []
      : [{ platform: "railway" as const, place: `service ${railway.serviceId} at ${railway.url.host}` }]),
    ...(vercel === undefined
      ? []
      : [{ platform: "vercel" as const, place: `project ${vercel.projectId} at ${vercel.url.host}` }]),
  ];
}

async function abandon(options: Options): Promise<void> {
  const store = storeFromEnvironment();
  const current = await readPlannedRollback(store);
  const done = current?.steps.filter(({ state }) => state === "done").map(({ step }) => step) ?? [];
  if (current?.state === "under way")
    await confirm(
      `gives up planned rollback ${current.id} to ${current.backup.name}, begun by ${current.person} at ${current.startedAt}; done so far: ${done.join(", ") || "nothing"}; the write fence and the freeze stay`,
      options.yes === true,
    );
  const given = await abandonPlannedRollback(store, newRunId());
  printResult(
    options.json === true,
    { abandoned: given?.id ?? null, done },
    given === undefined
      ? "no planned rollback is under way"
      : `abandoned: ${given.id}\nnext: whatever has to be done; npm run deploy:maintenance -- off; npm run deploy:unfreeze`,
  );
}
