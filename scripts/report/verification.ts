/** What a verification of the live database found, as text for a person. */
import type { TableWrites } from "../database/tables";
import type { HealthReport } from "../verification/healthChecks";
import type { TableComparison } from "../verification/tableComparison";
import { type ReceiptVerification, summarize } from "../verification/verifyReceipt";
import { renderTable } from "./table";

export function renderData({ comparison, missingKeysFile, missingKeysProblem }: ReceiptVerification): string[] {
  const lines = [
    renderTable(comparison.tables, [
      { title: "TABLE", value: (row) => row.table },
      { title: "COVERAGE", value: coverageOf },
      { title: "BEFORE", value: (row) => row.rowsBefore },
      { title: "NOW", value: (row) => row.rowsNow },
      { title: "MISSING", value: (row) => row.missing },
      { title: "CHANGED", value: (row) => row.changed },
      { title: "NEW", value: (row) => row.added },
      { title: "SERVER COUNTED", value: ({ writes }) => (writes === null ? "" : countersOf(writes)) },
    ]),
    "",
    ...comparison.tables
      .filter(({ moved }) => moved > 0)
      .map(({ table, moved }) => `moved: ${moved} row(s) of ${table} are in another partition now`),
    ...comparison.explained.map((line) => `explained: ${line}`),
    ...shownChanges(comparison.catalogChanges),
  ];
  if (comparison.verdict === "pass") lines.push(`data: ${summarize(comparison)}`);
  if (missingKeysFile !== null) lines.push(`all missing keys: ${missingKeysFile}`);
  if (missingKeysProblem !== null) lines.push(`note: ${missingKeysProblem}`);
  return lines;
}

/** `content`; `content, 9 of 10 columns`, where the release added one. */
function coverageOf({ coverage, columns }: TableComparison): string {
  return columns.compared === columns.now
    ? coverage
    : `${coverage}, ${columns.compared} of ${columns.now} column${columns.now === 1 ? "" : "s"}`;
}

/** `+12 ~3 -1`: rows inserted, updated and deleted by whomever, rolled back or not. */
function countersOf({ inserted, updated, deleted }: TableWrites): string {
  return inserted + updated + deleted === 0 ? "nothing" : `+${inserted} ~${updated} -${deleted}`;
}

/** Changes of the definitions that are shown; `--json` has all. */
const mostChanges = 20;

function shownChanges(changes: readonly string[]): string[] {
  const more = changes.length - mostChanges;
  const shown = changes.slice(0, mostChanges).map((change) => `definitions: ${change}`);
  return more > 0 ? [...shown, `definitions: … and ${more} more`] : shown;
}

export function renderHealth({ outcome, results }: HealthReport): string[] {
  if (outcome === "not configured") return ["health: not configured (APP_URL, FRONTEND_URL)"];
  return results.map(({ url, ok, status, error }) =>
    `health: ${ok ? "ok" : "FAILED"} ${url} ${status ?? ""} ${error ?? ""}`.trimEnd(),
  );
}
