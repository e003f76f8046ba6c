/**
 * `deploy:maintenance`: keeps the application's roles from writing and tells its users as configured, puts both back, or says
 * how it stands.
 */
import { type Command, Argument } from "commander";
import { exitCode } from "../contract/failure";
import { changedPlatforms, isFenced, readMaintenance } from "../control/maintenance";
import { isUnderWay, nextStep, readPlannedRollback } from "../control/plannedRollback";
import { withConnection } from "../database/connect";
import { describeIdentity, readIdentity } from "../database/identity";
import { targetFromEnvironment } from "../database/target";
import {
  type MaintenanceInput,
  liftFence,
  planMaintenance,
  raiseFence,
  readFenceStatus,
} from "../incident/maintenance";
import { clearPlatforms, findOnPlatforms, planPlatforms, raisePlatforms } from "../incident/platformMaintenance";
import { type Platforms, openPlatforms } from "../release/rollbackTargets";
import { describeClearing, describeMaintenance, describeHoles, describeRaising } from "../report/maintenance";
import { readOperationSettings } from "../settings";
import { newRunId } from "./gateContext";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .addArgument(new Argument("<what>", "raise the write fence, lift it, or look").choices(["on", "off", "status"]))
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (what: "on" | "off" | "status", options: Options) => {
      const input = {
        store: storeFromEnvironment(),
        live: targetFromEnvironment("DATABASE_URL"),
        runId: newRunId(),
        clients: openPlatforms(process.env, interrupted),
        signal: interrupted,
        onProgress: progress,
      };
      await { on: raise, off: lift, status: show }[what](input, options);
    });
}

type Input = MaintenanceInput & { readonly clients: Platforms; readonly signal: AbortSignal } & Required<
    Pick<MaintenanceInput, "onProgress">
  >;

async function raise(input: Input, options: Options): Promise<void> {
  const settings = readOperationSettings(options.settings);
  const frontendUrl = process.env["FRONTEND_URL"] || undefined;
  const told = await planPlatforms({ ...input, settings, frontendUrl });
  const plan = await planMaintenance(input, settings.rollback.fencedRoles);
  await confirm([describeRaising(plan), ...told].join("\n"), options.yes === true);
  // The fence first: it is what keeps the data, and it waits for no platform.
  const raised = await raiseFence(input, plan);
  const platforms = await raisePlatforms({ ...input, settings, frontendUrl }).catch((error: unknown) => {
    progress("the write fence is up, and stays up; the platforms are not as configured");
    throw error;
  });
  const { roles } = plan.fenced;
  const { functions, unheld } = plan;
  printResult(
    options.json === true,
    { state: "on", roles, ...raised, platforms, notHeld: { functions, relations: unheld, roles: plan.roles } },
    [
      `maintenance: ${roles.join(", ")} cannot write: ${raised.refused} write(s) tried, all refused; ${raised.grants} right(s) on record`,
      ...platforms,
      ...describeHoles(plan),
      "next: whatever has to be done; then npm run deploy:maintenance -- off, which alone gives the rights back",
    ].join("\n"),
  );
}

async function lift(input: Input, options: Options): Promise<void> {
  const record = await readMaintenance(input.store);
  const changed = changedPlatforms(record);
  if (record === undefined || (!isFenced(record) && changed.length === 0))
    return printResult(
      options.json === true,
      { state: "off", given: 0, notes: [], platforms: [] },
      "no write fence is up",
    );
  // A token that is missing is told before anything is changed.
  for (const platform of changed) input.clients[platform]();
  const identity = await withConnection(input.live, (client) => readIdentity(client, input.live));
  const planned = await readPlannedRollback(input.store);
  await confirm(
    [
      ...(isFenced(record)
        ? [
            `gives back to ${record.roles.join(", ")} the rights to write on ${describeIdentity(identity)} that were taken since ${record.raisedAt}`,
          ]
        : []),
      ...describeClearing(record.platforms),
      ...(isUnderWay(planned)
        ? [
            `WARNING: planned rollback ${planned.id} is under way, at ${nextStep(planned) ?? "its end"}, and needs the fence: npm run rollback:planned goes on with it`,
          ]
        : []),
    ].join("\n"),
    options.yes === true,
  );
  // Users come back when the application can write again.
  const { given, notes } = isFenced(record) ? await liftFence(input) : { given: 0, notes: [] };
  const platforms = await clearPlatforms(input).catch((error: unknown) => {
    progress("the rights to write are given back; the platforms are not as they were: run this again");
    throw error;
  });
  printResult(
    options.json === true,
    { state: "off", given, notes, platforms },
    [...notes.map((note) => `note: ${note}`), ...platforms, `maintenance is over: ${given} right(s) given back`].join(
      "\n",
    ),
  );
}

async function show(input: Input, options: Options): Promise<void> {
  const fence = await readFenceStatus(input);
  const { railway = null, vercel = null } = (await readMaintenance(input.store))?.platforms ?? {};
  const status = {
    ...fence,
    platforms: { railway: railway?.state ?? null, vercel: vercel?.state ?? null },
    findings: [...fence.findings, ...(await findOnPlatforms(input.store, input.clients))],
  };
  printResult(options.json === true, status, describeMaintenance(status));
  process.exitCode = status.findings.length === 0 ? exitCode.pass : exitCode.refused;
}
