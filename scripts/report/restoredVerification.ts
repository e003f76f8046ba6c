/** What the verification after a restore or a rollback found, as text for a person. */
import type { RestoredVerification } from "../incident/verifyRestored";
import { renderTable } from "./table";
import { renderData, renderHealth } from "./verification";

/** @param what `the restored database`. */
export function renderRestored(result: RestoredVerification, what: string): string {
  const { data, dataChecks, environment } = result;
  return [
    ...renderData(data),
    ...data.comparison.catalogChanges.map((change) => `changed since: ${change}`),
    "",
    renderTable(dataChecks.results, [
      { title: "CHECK", value: ({ name }) => name },
      { title: "OUTCOME", value: ({ outcome }) => outcome },
      { title: "FOUND", value: ({ evidence }) => evidence },
    ]),
    "",
    ...renderHealth(result.health),
    ...environment.lines.map((line) => `environment: ${line}`),
    "",
    result.verdict === "pass" ? `PASS: ${what} lacks nothing of ${result.backup}` : "FAIL:",
    ...result.findings.map((finding) => `  ${finding}`),
  ].join("\n");
}
