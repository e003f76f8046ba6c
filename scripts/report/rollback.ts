/** A rollback for people: each platform, what it was proven by, and the time it took. */
import type { RollbackPlan, RollbackResult } from "../release/rollback";
import { strategySeconds } from "../release/rollback";

/** What is about to happen, before the question. */
export function describePlan({ release, sides }: RollbackPlan): string {
  const of =
    release === undefined
      ? ""
      : ` (release of ${release.receipt.releaseVersion || "no version"}, receipt ${release.receipt.runId})`;
  return [
    `rolls the application back${of}; the database stays as it is`,
    ...sides.map(({ platform, to, source }) => `  ${platform}: to ${to ?? "nothing"} (${source})`),
  ].join("\n");
}

export function renderRollback(result: RollbackResult): string {
  const { sides, health, environment, findings, verdict, seconds, withinStrategy } = result;
  const failed = sides.filter(({ outcome }) => outcome === "failed").map(({ platform }) => platform);
  const vercel = sides.some(({ platform, outcome }) => platform === "vercel" && outcome === "rolled back");
  return [
    ...sides.map(
      (side) =>
        `${side.platform}: ${side.outcome}: ${side.from ?? "?"} -> ${side.live ?? side.to ?? "?"}, ${side.seconds} s: ${side.message}`,
    ),
    `health: ${health.outcome}`,
    `environment: ${environment?.verdict ?? "not checked"}`,
    ...findings.map((line) => `  ${line}`),
    `${seconds} s of the strategy's ${strategySeconds} s${withinStrategy ? "" : ": TOO LONG"}`,
    ...(vercel
      ? ["Vercel gives the next deployments no production domain until one is promoted: vercel promote <deployment>"]
      : []),
    verdict === "nothing to do"
      ? "NOTHING TO DO: what it would go back to is live. To undo an earlier release: --receipt <run id>"
      : verdict === "partial"
        ? `PARTIAL: ${failed.join(", ")} did not go back; run this again, what went back stays as it is`
        : verdict.toUpperCase(),
  ].join("\n");
}
