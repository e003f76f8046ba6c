/** An emergency for people: what each step did and when, against the strategy's minutes; and what its tests found. */
import type { EmergencyResult } from "../incident/emergency";
import type { EmergencyTests } from "../incident/emergencyTests";
import { duration } from "./html/renderReport";
import { renderTable } from "./table";

export function renderEmergency({ steps, choice, damaged, incident }: EmergencyResult): string {
  return [
    renderTable(steps, [
      { title: "STEP", value: ({ step }) => (step === "recover" && choice !== null ? choice.way : step) },
      { title: "TOOK", value: ({ seconds }) => (seconds === null ? "" : duration(seconds)) },
      { title: "AT", value: ({ elapsedSeconds }) => (elapsedSeconds === null ? "" : duration(elapsedSeconds)) },
      {
        title: "STRATEGY",
        value: ({ limitSeconds, withinStrategy }) =>
          `${limitSeconds / 60} min${withinStrategy === false ? ": TOO LATE" : ""}`,
      },
      { title: "FOUND", value: ({ detail }) => detail },
    ]),
    "",
    ...(damaged === null
      ? []
      : [`the damaged state is in ${damaged}: npm run db:restore -- ${damaged} puts it beside`]),
    ...(incident === null
      ? []
      : [`next: npm run incident -- close --id ${incident} --person <you> --reason <text> --prevention <measures>`]),
    "OVER: recovered, verified, tested",
  ].join("\n");
}

export function renderEmergencyTests({
  verdict,
  dataChecks,
  health,
  integration,
  findings,
  notTested,
}: EmergencyTests) {
  return [
    `data checks: ${dataChecks.summary}`,
    ...health.results.map(({ url, ok, status, error }) =>
      `${ok ? "ok" : "FAILED"} ${url} ${status ?? ""} ${error ?? ""}`.trimEnd(),
    ),
    ...(integration === null
      ? []
      : [`${integration.passed ? "ok" : "FAILED"} integrationCommand: ${integration.message}`]),
    ...notTested.map((line) => `not tested: ${line}`),
    verdict === "pass" ? "PASS" : "FAIL:",
    ...findings.map((line) => `  ${line}`),
  ].join("\n");
}
