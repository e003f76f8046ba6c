/** `emergency`: the strategy's Data Loss Emergency Response, asked step by step or by a recorded plan; goes on where it was. */
import { readFileSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import type { Command } from "commander";
import { resolveBackup } from "../backup/manifest";
import { Refusal, UsageError, messageOf } from "../contract/failure";
import { type EmergencyChoice, type WayBack, readEmergency, waysBack } from "../control/emergency";
import { describeTarget, targetFromEnvironment } from "../database/target";
import type { Assessment } from "../incident/assessment";
import { abandonEmergency, runEmergency } from "../incident/emergency";
import { type EmergencyPlanFile, chooseBy, emergencyPlanSchema } from "../incident/emergencyChoice";
import { openPlatforms } from "../release/rollbackTargets";
import { renderAssessment } from "../report/assessment";
import { renderEmergency } from "../report/emergency";
import { readOperationSettings } from "../settings";
import type { Store } from "../store/store";
import { addressesFromEnvironment, newRunId } from "./gateContext";
import { configuredPlatforms } from "./incidentContext";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

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
    .option("--record <file>", "write the answers there, as a plan for --plan")
    .option("--person <name>", "who leads it; default: who is at the keyboard")
    .option("--reason <text>", "what was seen; default: data was lost")
    .option("--abandon", "give up the one that is under way; what its steps did stays, the freeze too")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask; needs --plan")
    .option("--json", "one JSON document on stdout")
    .action((options: Options) => (options.abandon === true ? abandon(options) : respond(options)));
}

async function respond(options: Options): Promise<void> {
  const store = storeFromEnvironment();
  const live = targetFromEnvironment("DATABASE_URL");
  const plan = options.plan === undefined ? undefined : readPlan(options.plan);
  const former = await readEmergency(store);
  const isResumed = former?.state === "under way";
  if (options.yes === true && plan === undefined)
    throw new UsageError("--yes: found no --plan: expected the answers that nobody is asked for");
  await confirm(
    isResumed
      ? `goes on with emergency ${former.id} of ${former.startedAt}: ${former.reason}`
      : `freezes releases of ${store.url}, assesses ${describeTarget(live)}, and takes the way back that ${plan === undefined ? "you choose then" : `the plan says (${plan.recover})`}; the damaged state is stored before anything changes it`,
    options.yes === true,
  );
  const result = await runEmergency({
    ...{ store, live, runId: newRunId(), signal: interrupted, onProgress: progress },
    ...{ clients: openPlatforms(process.env, interrupted), configured: configuredPlatforms() },
    ...{ settings: readOperationSettings(options.settings), addresses: addressesFromEnvironment() },
    person: plan?.person ?? options.person ?? userInfo().username,
    reason: plan?.reason ?? options.reason ?? "data was lost",
    decide: (assessment) => (plan === undefined ? ask(assessment, options) : decideBy(store, plan, assessment)),
  });
  printResult(options.json === true, result, renderEmergency(result));
}

async function decideBy(store: Store, plan: EmergencyPlanFile, assessment: Assessment): Promise<EmergencyChoice> {
  progress(renderAssessment(assessment));
  return chooseBy(plan, assessment, plan.backup === null ? undefined : await resolveBackup(store, plan.backup));
}

/** @throws Refusal when whoever is asked gives up: releases stay frozen. */
async function ask(assessment: Assessment, options: Options): Promise<EmergencyChoice> {
  progress(renderAssessment(assessment));
  const prompts = await import("@clack/prompts");
  const output = process.stderr;
  const recommended = assessment.recommendation.rung;
  const way = await prompts.select<WayBack>({
    message: "Which way back?",
    options: waysBack.map((value) => ({
      value,
      label: value === recommended ? `${value} (recommended)` : value,
      hint: assessment.ladder.find(({ rung }) => rung === value)?.detail ?? "verify and test only",
    })),
    initialValue: waysBack.find((each) => each === recommended) ?? "nothing",
    output,
  });
  const unfreeze = prompts.isCancel(way)
    ? way
    : await prompts.confirm({ message: "May releases go on when it is verified?", initialValue: true, output });
  if (prompts.isCancel(way) || prompts.isCancel(unfreeze))
    throw new Refusal("nothing was decided: releases stay frozen", { hint: "npm run emergency goes on here" });
  const answers = {
    person: options.person ?? userInfo().username,
    reason: options.reason ?? "data was lost",
    ...{ recover: way, unfreeze },
  };
  const plan = emergencyPlanSchema.parse(answers);
  if (options.record !== undefined) recordPlan(options.record, plan);
  return chooseBy(plan, assessment, undefined);
}

function readPlan(file: string): EmergencyPlanFile {
  let text: unknown;
  try {
    text = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new UsageError(`--plan: found ${file}: it cannot be read as JSON: ${messageOf(error)}`);
  }
  const parsed = emergencyPlanSchema.safeParse(text);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(`--plan: ${file}: ${issue?.path.join(".") || "the plan"}: ${issue?.message ?? "is not one"}`);
}

function recordPlan(file: string, plan: EmergencyPlanFile): void {
  try {
    writeFileSync(file, `${JSON.stringify(plan, null, 2)}\n`);
  } catch (error) {
    progress(`warning: --record: ${file} cannot be written: ${messageOf(error)}`);
  }
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
