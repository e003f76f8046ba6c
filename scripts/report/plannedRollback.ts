/** A planned rollback for people: what each step will do to which host and project, and how it went. */
import type { PlannedRollback } from "../control/plannedRollback";
import { describeIdentity } from "../database/identity";
import type { PlannedPlan, PlannedResult } from "../incident/plannedRollback";
import { describeRaising } from "./maintenance";

/** Hosts and projects of the platforms, as the environment names them. */
export interface NamedPlatform {
  readonly platform: string;
  readonly place: string;
}

/** What is about to happen, before the question. */
export function describePlanned(plan: PlannedPlan, named: readonly NamedPlatform[]): string {
  const { document, identity, isResumed, release, manifest } = plan;
  const of =
    release === undefined
      ? ""
      : `, of before release ${release.receipt.releaseVersion || "(unnamed)"} (receipt ${release.receipt.runId})`;
  return [
    `${isResumed ? `goes on with planned rollback ${document.id}, begun by ${document.person} at ${document.startedAt}` : "planned rollback"}: database and application go back to ${manifest.name}, taken ${manifest.snapshot.takenAt}${of}`,
    `  database: ${describeIdentity(identity)}`,
    ...named.map(({ platform, place }) => `  ${platform}: ${place}`),
    "freezes releases; what is written from then on, and what was written since the backup, stays in the safety backup only",
    ...document.steps.map(
      ({ step, state, detail }, index) =>
        `${index + 1}. ${step}: ${state === "done" ? `done: ${detail}` : indent(describeStep(plan, step))}`,
    ),
    "killed or failed at any step, run it again: it goes on there; only the last step lets the application write",
  ].join("\n");
}

function indent(text: string): string {
  return text.split("\n").join("\n   ");
}

function describeStep(plan: PlannedPlan, step: PlannedRollback["steps"][number]["step"]): string {
  const { document, fence, told, application, inPlaceBecause } = plan;
  switch (step) {
    case "deploy:maintenance on":
      return fence === null ? "the write fence is up" : [describeRaising(fence), ...told].join("\n");
    case "db:restore":
      return [
        document.safetyBackup === null
          ? "takes a backup of what is live"
          : `takes no backup of what is live: ${document.safetyBackup} is to be enough`,
        document.mode === "swap"
          ? `restores ${document.backup.name} beside it, compares, and lets the two databases change places`
          : `replaces what is in it by ${document.backup.name} in one transaction${inPlaceBecause === null ? "" : `, for it cannot be renamed: ${inPlaceBecause}`}`,
      ].join("; ");
    case "deploy:rollback":
      return application === null
        ? "nothing: neither Railway nor Vercel is configured"
        : application.sides
            .map(({ platform, to, source }) => `${platform} to ${to ?? "nothing"} (${source})`)
            .join("\n");
    case "db:verify:rollback":
      return "rows, data checks, health checks, environment";
    case "deploy:maintenance off":
      return "puts everything back that the first step changed, exactly";
  }
}

export function renderPlanned({ id, backup, steps, seconds }: PlannedResult): string {
  return [
    ...steps.map((step, index) => `${index + 1}. ${step.step}: ${step.seconds ?? 0} s: ${step.detail}`),
    `ROLLED BACK to ${backup} within ${seconds} s (planned rollback ${id})`,
    'next: npm run deploy:unfreeze -- --person "<you>" --reason "rolled back, verified"',
  ].join("\n");
}
