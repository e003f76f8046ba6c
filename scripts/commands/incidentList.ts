/** `incident list`: every incident of the store, oldest first. */
import type { Command } from "commander";
import { storesOf } from "../store/replicatedStore";
import { listIncidents, readIncident } from "../record/incident";
import { listOpenIncidents } from "../record/openIncidents";
import { readDrills } from "../record/drillRecords";
import { renderIncidentList } from "../report/incident";
import { printResult } from "./session";
import { storeFromEnvironment } from "./store";

/** Drills that may have ended the incident of an earlier one. */
const newestDrills = 50;

export function configure(command: Command): void {
  command
    .option("--open", "those that are not over")
    .option("--json", "one JSON document on stdout")
    .action(async ({ open: onlyOpen, json }: { open?: boolean; json?: boolean }) => {
      const store = storeFromEnvironment();
      const drills = (await Promise.all(storesOf(store).map((one) => readDrills(one, newestDrills)))).flat();
      const open = new Set((await listOpenIncidents(store, drills)).map(({ id }) => id));
      const ids = (await listIncidents(store, "all")).filter((id) => onlyOpen !== true || open.has(id));
      const incidents = (await Promise.all(ids.map((id) => readIncident(store, id)))).map(
        ({ id, kind, title, openedAt, closed }) => {
          return { id, kind, title, openedAt, open: open.has(id), closedAt: closed?.at ?? null };
        },
      );
      incidents.sort((one, other) => one.openedAt.localeCompare(other.openedAt));
      printResult(json === true, { schemaVersion: 1, incidents }, renderIncidentList(incidents));
    });
}
