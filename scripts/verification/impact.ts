/** A comparison with the live database as an incident keeps it: counts by table, and what was not looked at. */
import type { TableImpact } from "../record/incident";
import type { LiveComparison } from "./liveComparison";
import type { TableComparison } from "./tableComparison";

/** Tables that fail, or lack rows that their policy lets go. */
export function impactOf({ tables }: LiveComparison): TableImpact[] {
  return tables.filter(({ failure, missing }) => failure !== null || missing > 0).map(impactOfTable);
}

export function impactOfTable(table: TableComparison): TableImpact {
  const { rowsBefore, rowsNow, missing, changed, unwritten, coverage, failure } = table;
  return {
    ...{ table: table.table, rowsBefore, rowsNow: isAltered(table) ? null : rowsNow },
    ...{ missing, changed, damaged: unwritten, exact: coverage === "content", why: failure },
  };
}

/** Whether the table is gone, or columns of it: its rows cannot be put back one by one. */
export function isAltered({ failure, columns, missing, rowsBefore }: TableComparison): boolean {
  return failure !== null && (columns.now === 0 || (columns.compared < columns.before && missing === rowsBefore));
}

/** Lines for people; empty: every row of every table was compared by content. */
export function notComparedIn({ tables }: LiveComparison): string[] {
  return tables
    .filter(({ coverage }) => coverage !== "content")
    .map(({ table, coverage }) => `${table}: compared by ${coverage} only`);
}
