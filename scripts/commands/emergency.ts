/** `emergency`: the strategy's Data Loss Emergency Response, asked step by step or by a recorded plan; goes on where it was. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { resolveBackup } from "../backup/manifest";
import { Refusal, UsageError } from "../contract/failure";
import { readJson } from "../contract/jsonInput";
import { type EmergencyChoice, demandFreeEmergency, readEmergency } from "../control/emergency";
import { describeTarget, targetFromEnvironment } from "../database/target";
import { abandonEmergency, runEmergency } from "../incident/emergency";
import { type EmergencyPlanFile, chooseBy, emergencyPlanSchema } from "../incident/emergencyChoice";
import { localUser } from "../process/localUser";
import { openPlatforms } from "../release/rollbackTargets";
import { renderAssessment } from "../report/assessment";
import { renderEmergency } from "../report/emergency";
import { readOperationSettings } from "../settings";
import { askForWayBack } from "./emergencyQuestions";
import { addressesFromEnvironment, newRunId } from "./gateContext";
import { configuredPlatforms } from "./incidentContext";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment, warnOfUnusedStore } from "./store";

interface Options {
  readonly plan?: string;
  readonly record?: string;
  readonly person?: string;
  readonly reason?: string;
  readonly abandon?: boolean;
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .option("--plan <file>", "answers given before they are asked for, as JSON: for machines")
    .option("--record <file>", "write the answers there, as a plan for --plan; not beside it")
    .option("--person <name>", "who leads it; default: who is at the keyboard")
    .option("--reason <text>", "what was seen; default: data was lost")
    .option("--abandon", "give up the one that is under way; what its steps did stays, the freeze too")
    .option(
      "--settings <file>",
      "where there is no receipt, settings as JSON; default: DBPROTECT_SETTINGS, else all defaults",
    )
    .option("--yes", "do not ask; needs --plan")
    .option("--json", "one JSON document on stdout")
    .action((options: Options) => (options.abandon === true ? abandon(options) : respond(options)));
}

async function respond(options: Options): Promise<void> {
  const store = storeFromEnvironment();
  const live = targetFromEnvironment("DATABASE_URL");
  const plan = readPlan(options.plan);
  if (options.yes === true && plan === undefined)
    throw new UsageError("--yes: found no --plan: expected the answers that nobody is asked for");
  if (options.record !== undefined && plan !== undefined)
    throw new UsageError(`--record: found --plan ${options.plan ?? ""} as well: expected one of them`);
  const former = await readEmergency(store);
  demandFreeEmergency(former, new Date());
  const decided = former?.state === "under way" ? former.choice : null;
  if (decided !== null) demandSameDecision(decided, plan, options);
  await warnOfUnusedStore(store);
  await confirm(
    former?.state === "under way"
      ? `goes on with emergency ${former.id} of ${former.startedAt}: ${former.reason}${decided === null ? "" : `; decided: ${decided.way}`}`
      : `freezes releases of ${store.url}, assesses ${describeTarget(live)}, and takes the way back that ${plan === undefined ? "you choose then" : `the plan says (${plan.recover})`}; the damaged state is stored before anything changes it`,
    options.yes === true,
    "without a terminal: npm run emergency -- --plan <file> --yes; docs/reference.md says what a plan holds",
  );
  const person = plan?.person ?? options.person ?? localUser();
  const reason = plan?.reason ?? options.reason ?? "data was lost";
  const result = await runEmergency({
    ...{ store, live, runId: newRunId(), signal: interrupted, onProgress: progress, person, reason },
    ...{ clients: openPlatforms(process.env, interrupted), configured: configuredPlatforms() },
    ...{ settings: readOperationSettings(options.settings), addresses: addressesFromEnvironment() },
    decide: async (assessment) => {
      progress(renderAssessment(assessment));
      if (plan !== undefined)
        return chooseBy(plan, assessment, plan.backup === null ? undefined : await resolveBackup(store, plan.backup));
      const asked = { person, reason, record: options.record };
      return askForWayBack(assessment, asked, await import("@clack/prompts"));
    },
  });
  printResult(options.json === true, result, renderEmergency(result));
}

/** What was decided is not asked again: whoever says something else would not get it. */
function demandSameDecision(decided: EmergencyChoice, plan: EmergencyPlanFile | undefined, { record }: Options): void {
  if (record !== undefined) progress(`warning: --record: nothing is asked any more: ${decided.way} was decided`);
  const recover = plan?.recover ?? "auto";
  const backup = plan?.backup ?? null;
  if ((recover === "auto" || recover === decided.way) && (backup === null || backup === decided.backup?.name)) return;
  const found = [recover, ...(backup === null ? [] : [backup])].join(" by ");
  const known = [decided.way, ...(decided.backup === null ? [] : [decided.backup.name])].join(" by ");
  throw new Refusal(`--plan: found ${found}, and ${known} was decided: nothing was changed`, {
    hint: "go on with that: npm run emergency; or give it up first: npm run emergency -- --abandon",
  });
}

function readPlan(file: string | undefined): EmergencyPlanFile | undefined {
  return file === undefined
    ? undefined
    : readJson(emergencyPlanSchema, () => readFileSync(file, "utf8"), `--plan: found ${file}`);
}

async function abandon(options: Options): Promise<void> {
  const store = storeFromEnvironment();
  const current = await readEmergency(store);
  if (current?.state === "under way")
    await confirm(
      `gives up emergency ${current.id} of ${current.startedAt}; what its steps did stays, the freeze too`,
      options.yes === true,
    );
  const given = await abandonEmergency(store, newRunId());
  printResult(
    options.json === true,
    { abandoned: given?.id ?? null },
    given === undefined ? "no emergency is under way" : `abandoned: ${given.id}\nnext: by hand: docs/emergency.md`,
  );
}
