/** `deploy:maintenance`: keeps the application's roles from writing, gives their rights back, or says how it stands. */
import { type Command, Argument } from "commander";
import { exitCode } from "../contract/failure";
import { isFenced, readMaintenance } from "../control/maintenance";
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
import { describeFenceStatus, describeHoles, describeRaising } from "../report/maintenance";
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
        signal: interrupted,
        onProgress: progress,
      };
      await { on: raise, off: lift, status: show }[what](input, options);
    });
}

async function raise(input: MaintenanceInput, options: Options): Promise<void> {
  const plan = await planMaintenance(input, readOperationSettings(options.settings).rollback.fencedRoles);
  await confirm(describeRaising(plan), options.yes === true);
  const raised = await raiseFence(input, plan);
  const { roles } = plan.fenced;
  const { functions, unheld } = plan;
  printResult(
    options.json === true,
    { state: "on", roles, ...raised, notHeld: { functions, relations: unheld, roles: plan.roles } },
    [
      `maintenance: ${roles.join(", ")} cannot write: ${raised.refused} write(s) tried, all refused; ${raised.grants} right(s) on record`,
      ...describeHoles(plan),
      "next: whatever has to be done; then npm run deploy:maintenance -- off, which alone gives the rights back",
    ].join("\n"),
  );
}

async function lift(input: MaintenanceInput, options: Options): Promise<void> {
  const record = await readMaintenance(input.store);
  if (!isFenced(record))
    return printResult(options.json === true, { state: "off", given: 0, notes: [] }, "no write fence is up");
  const identity = await withConnection(input.live, (client) => readIdentity(client, input.live));
  const planned = await readPlannedRollback(input.store);
  await confirm(
    `gives back to ${record.roles.join(", ")} the rights to write on ${describeIdentity(identity)} that were taken since ${record.raisedAt}${isUnderWay(planned) ? `\nWARNING: planned rollback ${planned.id} is under way, at ${nextStep(planned) ?? "its end"}, and needs the fence: npm run rollback:planned goes on with it` : ""}`,
    options.yes === true,
  );
  const lifted = await liftFence(input);
  printResult(
    options.json === true,
    { state: "off", ...lifted },
    [...lifted.notes.map((note) => `note: ${note}`), `maintenance is over: ${lifted.given} right(s) given back`].join(
      "\n",
    ),
  );
}

async function show(input: MaintenanceInput, options: Options): Promise<void> {
  const status = await readFenceStatus(input);
  printResult(options.json === true, status, describeFenceStatus(status));
  process.exitCode = status.findings.length === 0 ? exitCode.pass : exitCode.refused;
}
