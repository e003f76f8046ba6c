/** What a verification of the live database found, as text for a person. */
import type { HealthReport } from "../verification/healthChecks";
import { type ReceiptVerification, summarize } from "../verification/verifyReceipt";
import { renderTable } from "./table";

export function renderData({ comparison, missingKeysFile, missingKeysProblem }: ReceiptVerification): string[] {
  const lines = [
    renderTable(comparison.tables, [
      { title: "TABLE", value: (row) => row.table },
      { title: "COVERAGE", value: (row) => row.coverage },
      { title: "BEFORE", value: (row) => row.rowsBefore },
      { title: "NOW", value: (row) => row.rowsNow },
      { title: "MISSING", value: (row) => row.missing },
      { title: "CHANGED", value: (row) => row.changed },
      { title: "NEW", value: (row) => row.added },
    ]),
    "",
  ];
  if (comparison.verdict === "pass") lines.push(`data: ${summarize(comparison)}`);
  if (missingKeysFile !== null) lines.push(`all missing keys: ${missingKeysFile}`);
  if (missingKeysProblem !== null) lines.push(`note: ${missingKeysProblem}`);
  return lines;
}

export function renderHealth({ outcome, results }: HealthReport): string[] {
  if (outcome === "not configured") return ["health: not configured (APP_URL, FRONTEND_URL)"];
  return results.map(({ url, ok, status, error }) =>
    `health: ${ok ? "ok" : "FAILED"} ${url} ${status ?? ""} ${error ?? ""}`.trimEnd(),
  );
}
