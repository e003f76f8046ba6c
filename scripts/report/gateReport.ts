/** The gate's result as text for a person. */
import type { GateResult } from "../gate/gate";
import { renderTable } from "./table";

export function renderGate(result: GateResult): string {
  const table = renderTable(result.steps, [
    { title: "STEP", value: ({ step }) => step },
    { title: "OUTCOME", value: ({ outcome }) => outcome },
    { title: "SECONDS", value: ({ seconds }) => seconds },
    { title: "FOUND", value: ({ summary }) => summary.split("\n")[0] ?? "" },
  ]);
  return [table, "", ...conclusion(result)].join("\n");
}

function conclusion(result: GateResult): string[] {
  if (result.verdict === "pass") {
    if (result.unchanged)
      return [`PASS: ${result.releaseVersion} is released and verified already; only the read-only checks ran`];
    return [
      `PASS: receipt ${result.runId}`,
      ...(result.receiptSha256 === null ? [] : [`SHA-256 ${result.receiptSha256}`]),
    ];
  }
  return [
    `HALT: ${result.message ?? ""}`,
    ...result.details.map((line) => `  ${line}`),
    ...(result.hint === null ? [] : [`hint: ${result.hint}`]),
  ];
}
