/** What `emergency` asks a person once it is known what is damaged; the answers can be recorded as a plan for machines. */
import { Refusal, messageOf } from "../contract/failure";
import { writeOutputFile } from "../contract/outputFile";
import { type EmergencyChoice, type WayBack, waysBack } from "../control/emergency";
import type { Assessment } from "../incident/assessment";
import { type EmergencyPlanFile, chooseBy, emergencyPlanSchema } from "../incident/emergencyChoice";
import { progress } from "./session";

/** How a person is asked. */
export type Questions = Pick<typeof import("@clack/prompts"), "select" | "confirm" | "isCancel">;

export interface Asked extends Pick<EmergencyPlanFile, "person" | "reason"> {
  /** A file that the answers are written to, as a plan; undefined: none. */
  readonly record: string | undefined;
}

/** @throws Refusal when whoever is asked gives up, or chooses what is not possible: releases stay frozen. */
export async function askForWayBack(
  assessment: Assessment,
  { person, reason, record }: Asked,
  prompts: Questions,
): Promise<EmergencyChoice> {
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
  const plan = emergencyPlanSchema.parse({ person, reason, recover: way, unfreeze });
  const choice = chooseBy(plan, assessment, undefined);
  // Only what can be carried out is worth playing again.
  if (record !== undefined) await recordPlan(record, plan);
  return choice;
}

/** What cannot be kept holds nothing up: releases are frozen, and people wait for their data. */
async function recordPlan(file: string, plan: EmergencyPlanFile): Promise<void> {
  try {
    await writeOutputFile({ file, key: "--record" }, `${JSON.stringify(plan, null, 2)}\n`);
    progress(`--record: the answers are in ${file}: npm run emergency -- --plan ${file} --yes`);
  } catch (error) {
    progress(`warning: ${messageOf(error)}; the emergency goes on`);
  }
}
