/** `db:verify:post-deploy`: no row of the gate's snapshot is gone, the application answers, its tests pass. */
import type { Command } from "commander";
import { Failure, exitCode } from "../contract/failure";
import { targetFromEnvironment } from "../database/target";
import { releaseMetrics, tellMetrics } from "../monitoring/runMetrics";
import { type PostDeployResult, verifyPostDeploy } from "../release/postDeploy";
import { openPlatforms } from "../release/rollbackTargets";
import { renderRollback } from "../report/rollback";
import { renderData, renderHealth } from "../report/verification";
import { addressesFromEnvironment } from "./gateContext";
import type { Store } from "../store/store";
import { writeReleaseReport } from "./releaseReportFile";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--receipt <run id>", "verify against this receipt; default: the newest open one, else the newest")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { receipt?: string; json?: boolean }) => {
      const store = storeFromEnvironment();
      const result = await verifyPostDeploy({
        store,
        target: targetFromEnvironment("DATABASE_URL"),
        ...(options.receipt === undefined ? {} : { runId: options.receipt }),
        addresses: addressesFromEnvironment(),
        clients: openPlatforms(process.env, interrupted),
        signal: interrupted,
        onProgress: progress,
      });
      await report(store, result.runId);
      printResult(options.json === true, result, render(result));
      if (result.verdict === "fail") for (const finding of result.findings) progress(`error: ${finding}`);
      process.exitCode = result.verdict === "pass" ? exitCode.pass : exitCode.refused;
      await tellMetrics(releaseMetrics(result), progress, interrupted);
    });
}

/** For people: a release is as good or bad without it. */
async function report(store: Store, runId: string): Promise<void> {
  try {
    progress(`report: ${(await writeReleaseReport(store, { receipt: runId })).file}`);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    progress(`warning: no report of the release: ${error.message}`);
  }
}

/** What a person reads; exported for its test. */
export function render(result: PostDeployResult): string {
  const lines: string[] = [];
  if (result.data === null) lines.push(`data: verified before (receipt ${result.runId} is closed)`);
  else {
    lines.push(...renderData(result.data));
  }
  lines.push(
    ...renderHealth(result.health),
    result.integration === null
      ? "integration tests: not configured"
      : `integration tests: ${result.integration.passed ? "passed" : "FAILED"}`,
    ...(result.rollback?.result ? ["", renderRollback(result.rollback.result)] : []),
    "",
    result.verdict === "pass" ? `PASS: ${result.releaseVersion || "the release"}${deletions(result)}` : "FAIL:",
    ...result.findings.map((finding) => `  ${finding}`),
  );
  return lines.join("\n");
}

function deletions({ data }: PostDeployResult): string {
  const allowed = data?.comparison.tables.reduce((sum, { missing }) => sum + missing, 0) ?? 0;
  return allowed === 0 ? " lost nothing" : `: ${allowed} row${allowed === 1 ? "" : "s"} deleted as allowed`;
}
