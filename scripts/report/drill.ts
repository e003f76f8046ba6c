/** A restore drill as a table: what came back from which location, and how long it took. */
import type { Drill, DrilledLocation, LastDrill } from "../record/drillRecords";
import { describeSeconds } from "../verification/expectedRto";
import { type Column, renderTable } from "./table";

const seconds = (value: number | null): string => (value === null ? "-" : describeSeconds(value));

const figures: readonly Column<DrilledLocation>[] = [
  { title: "LOCATION", value: ({ store }) => store },
  { title: "BACKUP", value: ({ backup }) => backup?.name ?? "-" },
  { title: "RPO", value: ({ rpoSeconds }) => seconds(rpoSeconds) },
  { title: "RTO", value: ({ rtoSeconds }) => seconds(rtoSeconds) },
  { title: "DEPTH", value: ({ depth }) => depth ?? "-" },
  { title: "ROWS", value: ({ rows }) => rows ?? "-" },
  { title: "VERDICT", value: (location) => location.verdict },
  { title: "BECAUSE", value: ({ problem, dataChecks }) => problem ?? dataChecks ?? "" },
];

export function renderDrill({ locations, verdict }: Drill): string {
  const table = renderTable(locations, figures);
  const passed = locations.filter((location) => location.verdict === "passed").length;
  return `${table}\n\n${verdict.toUpperCase()}: restored and equal to the snapshot from ${passed} of ${locations.length} locations`;
}

export function renderLastDrills(locations: readonly LastDrill[]): string {
  if (locations.length === 0) return "no restore was ever drilled: npm run db:drill";
  const columns: readonly Column<LastDrill>[] = [{ title: "DRILLED AT", value: ({ at }) => at }, ...figures];
  return renderTable(locations, columns);
}
