/** What is decided in an emergency: by a recorded plan, for machines, or by a person whose answers can be recorded as one. */
import { z } from "zod";
import { Refusal } from "../contract/failure";
import { type EmergencyChoice, waysBack } from "../control/emergency";
import type { BackupReference } from "../backup/manifest";
import type { Assessment } from "./assessment";

/** The plan file: answers given before they are asked for. */
export const emergencyPlanSchema = z.strictObject({
  person: z.string().min(1),
  reason: z.string().min(1),
  /** `auto`: what the assessment recommends. */
  recover: z.enum(["auto", ...waysBack]).default("auto"),
  /** A backup's name; default: the newest that holds all that is missing. */
  backup: z.string().nullable().default(null),
  /** `<schema>.<table>:<column>,…` that get their former values. Default: those that the assessment names. */
  columns: z.array(z.string()).nullable().default(null),
  inPlace: z.boolean().default(false),
  /** Of the damaged state, by name. Default: one is taken. */
  safetyBackup: z.string().nullable().default(null),
  acceptMissing: z.boolean().default(false),
  unfreeze: z.boolean().default(true),
});

export type EmergencyPlanFile = z.output<typeof emergencyPlanSchema>;

/**
 * @param named the backup that the plan names, if it does.
 * @throws Refusal when the plan leaves it to a recommendation and there is none, or what it wants is not possible.
 */
export function chooseBy(
  plan: Omit<EmergencyPlanFile, "backup">,
  assessment: Assessment,
  named: BackupReference | undefined,
): EmergencyChoice {
  const { recommendation, lastGood, receipt, tables, visibility, database, ladder, verdict } = assessment;
  const recommended = recommendation.rung === "point-in-time recovery" ? null : recommendation.rung;
  const way = plan.recover === "auto" ? (recommended ?? (verdict === "intact" ? "nothing" : null)) : plan.recover;
  if (way === null)
    throw new Refusal(`there is no way back to recommend: ${recommendation.reason}`, {
      hint: "decide: recover, and backup, in the plan",
    });
  const rung = ladder.find((each) => each.rung === way);
  if (rung !== undefined && !rung.possible && named === undefined && way !== "db:repair")
    throw new Refusal(`${way} is not possible: ${rung.detail}`);
  const backup = named ?? lastGood;
  const known = tables.flatMap(({ table, columns }) =>
    columns.length === 0 ? [] : [`${table}:${columns.map(({ column }) => column).join(",")}`],
  );
  return {
    ...{ way, columns: plan.columns ?? (way === "db:repair" ? known : []), boundary: visibility },
    backup: backup === null ? null : { tier: backup.tier, name: backup.name },
    // Another backup than the one that the receipt's gate took is gone by for itself.
    receipt: named === undefined || named.name === lastGood?.name ? receipt : null,
    ...{ inPlace: plan.inPlace, safetyBackup: plan.safetyBackup, acceptMissing: plan.acceptMissing },
    ...{ unfreeze: plan.unfreeze, gone: database.state === "gone" },
  };
}
