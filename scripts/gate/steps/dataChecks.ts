/** Gate step: the strategy's validation SQL and the project's own checks. */
import { withConnection } from "../../database/connect";
import { type DataCheckReport, runDataChecks } from "../../verification/dataChecks/runDataChecks";
import type { GateFinding, GateStep } from "../context";

export const dataChecksStep: GateStep = {
  name: "data-checks",
  async run({ settings, target, signal }) {
    const report = await withConnection(target, (client) => runDataChecks(client, { checks: settings.checks, signal }));
    return {
      summary: report.summary,
      evidence: report.results.map(({ outcome, name, evidence }) => `${outcome}: ${name}: ${evidence}`),
      findings: findingsOf(report),
      hint: "correct the data, or the check",
    };
  },
};

/** A finding for each check that halts, named after its file; one without a check when none applied at all. */
function findingsOf(report: DataCheckReport): GateFinding[] {
  if (report.verdict === "pass") return [];
  const halting = report.results.filter(
    ({ severity, outcome }) => severity === "halt" && ["fail", "error"].includes(outcome),
  );
  return halting.length === 0
    ? [{ id: "none-applies", message: report.summary }]
    : halting.map(({ file, name, evidence }) => ({ id: file, message: `${name}: ${evidence}` }));
}
