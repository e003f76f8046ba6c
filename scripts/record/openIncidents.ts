/**
 * Incidents that nothing has ended yet, told by what is recorded. A failed drill is over, location by location, when a
 * later drill of that location passed; a restore or a rollback when it ended well, or a later one did. That is told by
 * what lies in the store rather than by an event of its own: a drill that runs with rights on one location only could not
 * write it into another.
 */
import { z } from "zod";
import { incidentsPrefix } from "../store/layout";
import { readDocument } from "../store/documents";
import type { Store } from "../store/store";
import { type Drill, drillSchema } from "./drillRecords";
import { rollbackEventSchema } from "./rollbackEvents";

export const openIncidentSchema = z.object({
  id: z.string(),
  kind: z.enum(["drill", "restore", "rollback"]),
  /** What is open about it. */
  detail: z.string(),
});

export type OpenIncident = z.infer<typeof openIncidentSchema>;

/** Of many incidents the newest that are looked at. */
const newest = 50;

/** @param drills of every location that could be reached. */
export async function listOpenIncidents(store: Store, drills: readonly Drill[]): Promise<OpenIncident[]> {
  const lastEvents = new Map<string, string>();
  for (const { key } of await store.list(incidentsPrefix)) {
    const [, id, file] = key.split("/");
    if (id !== undefined && file !== undefined) lastEvents.set(id, key);
  }
  const incidents = [...lastEvents].slice(-newest).map(([id, key]) => ({ id, key, event: eventOf(key) }));
  const failedDrills = incidents.filter(({ event }) => event === "drill-failed");
  const open = await Promise.all(failedDrills.map(({ id, key }) => openDrill(store, id, key, drills)));
  const restore = incidents.findLast(({ event }) => event === "restore-started" || event === "restored");
  if (restore?.event === "restore-started")
    open.push({ id: restore.id, kind: "restore", detail: "a restore over the live database began and did not end" });
  const rollback = incidents.findLast(({ event }) => event.startsWith("rollback-"));
  if (rollback !== undefined) open.push(await openRollback(store, rollback));
  return open.filter((incident) => incident !== undefined);
}

function eventOf(key: string): string {
  return /\/\d+-([a-z-]+)\.json$/.exec(key)?.[1] ?? "";
}

async function openDrill(
  store: Store,
  id: string,
  key: string,
  drills: readonly Drill[],
): Promise<OpenIncident | undefined> {
  const drill = await readDocument(store, key, drillSchema);
  const open = (drill?.locations ?? []).filter(
    (location) =>
      location.verdict === "failed" &&
      !drills.some((later) => later.at > drill!.at && hasPassed(later, location.store)),
  );
  if (open.length === 0) return undefined;
  const detail = open.map((location) => `${location.store}: ${location.problem ?? "failed"}`).join("; ");
  return { id, kind: "drill", detail: `a restore drill failed, and none passed since: ${detail}` };
}

function hasPassed(drill: Drill, store: string): boolean {
  return drill.locations.some((location) => location.store === store && location.verdict === "passed");
}

async function openRollback(
  store: Store,
  { id, key, event }: { readonly id: string; readonly key: string; readonly event: string },
): Promise<OpenIncident | undefined> {
  if (event === "rollback-started")
    return { id, kind: "rollback", detail: "a rollback of the application began and did not end" };
  const ended = await readDocument(store, key, rollbackEventSchema);
  if (ended?.verdict !== "partial" && ended?.verdict !== "failed") return undefined;
  const failed = ended.sides.filter(({ outcome }) => outcome === "failed").map(({ platform }) => platform);
  return {
    id,
    kind: "rollback",
    detail: `the last rollback of the application was ${ended.verdict}: ${failed.join(", ")}`,
  };
}
