/** A restore drill as a table: what came back from which location, and how long it took. */
import type { Drill } from "../record/drillRecords";
import { describeSeconds } from "../verification/expectedRto";
import { renderTable } from "./table";

export function renderDrill({ locations, verdict }: Drill): string {
  const seconds = (value: number | null): string => (value === null ? "-" : describeSeconds(value));
  const table = renderTable(locations, [
    { title: "LOCATION", value: ({ store }) => store },
    { title: "BACKUP", value: ({ backup }) => backup?.name ?? "-" },
    { title: "RPO", value: ({ rpoSeconds }) => seconds(rpoSeconds) },
    { title: "RTO", value: ({ rtoSeconds }) => seconds(rtoSeconds) },
    { title: "ROWS", value: ({ rows }) => rows ?? "-" },
    { title: "VERDICT", value: (location) => location.verdict },
    { title: "BECAUSE", value: ({ problem, dataChecks }) => problem ?? dataChecks ?? "" },
  ]);
  const passed = locations.filter((location) => location.verdict === "passed").length;
  return `${table}\n\n${verdict.toUpperCase()}: restored and equal to the snapshot from ${passed} of ${locations.length} locations`;
}
