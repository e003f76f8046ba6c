/**
 * Incidents that nothing has ended yet, told by what is recorded. One that was opened is over when a person closed it. A
 * failed drill is over, location by location, also when a later drill of that location passed; a restore or a rollback when
 * it ended well, or a later one did. That is told by what lies in the store rather than by an event of its own: a drill that
 * runs with rights on one location only could not write it into another.
 */
import { z } from "zod";
import { readDocument } from "../store/documents";
import type { Store } from "../store/store";
import { type Drill, drillSchema } from "./drillRecords";
import { eventNameOf, listIncidentFolders, readIncident } from "./incident";
import { rollbackEventSchema } from "./rollbackEvents";

export const openIncidentSchema = z.object({
  id: z.string(),
  /** `incident`: opened by a person, a verification or an emergency. */
  kind: z.enum(["incident", "drill", "restore", "rollback"]),
  /** What is open about it. */
  detail: z.string(),
});

export type OpenIncident = z.infer<typeof openIncidentSchema>;

/** Of many drills, restores and rollbacks the newest that are looked at. */
const newest = 50;

/** @param drills of every location that could be reached. */
export async function listOpenIncidents(store: Store, drills: readonly Drill[]): Promise<OpenIncident[]> {
  const unclosed = [...(await listIncidentFolders(store))].flatMap(([id, keys]) => {
    const names = keys.map(eventNameOf);
    if (names.includes("closed")) return [];
    return [{ id, first: names[0] ?? "", key: keys[0] ?? "", last: names.at(-1) ?? "", lastKey: keys.at(-1) ?? "" }];
  });
  const opened = unclosed.filter(({ first }) => first === "opened");
  const recent = unclosed.filter(({ first }) => first !== "opened").slice(-newest);
  const failedDrills = recent.filter(({ first }) => first === "drill-failed");
  const open = await Promise.all([
    ...opened.map(({ id }) => openedIncident(store, id)),
    ...failedDrills.map(({ id, key }) => openDrill(store, id, key, drills)),
  ]);
  const restore = recent.findLast(({ first }) => first === "restore-started");
  if (restore?.last === "restore-started")
    open.push({ id: restore.id, kind: "restore", detail: "a restore over the live database began and did not end" });
  const rollback = recent.findLast(({ first }) => first.startsWith("rollback-"));
  if (rollback !== undefined) open.push(await openRollback(store, rollback));
  return open.filter((incident) => incident !== undefined);
}

async function openedIncident(store: Store, id: string): Promise<OpenIncident> {
  const { title, openedAt, openedBy } = await readIncident(store, id);
  return { id, kind: "incident", detail: `${title} (since ${openedAt}${openedBy === null ? "" : `, ${openedBy}`})` };
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
  { id, last, lastKey }: { readonly id: string; readonly last: string; readonly lastKey: string },
): Promise<OpenIncident | undefined> {
  if (last === "rollback-started")
    return { id, kind: "rollback", detail: "a rollback of the application began and did not end" };
  const ended = await readDocument(store, lastKey, rollbackEventSchema);
  if (ended?.verdict !== "partial" && ended?.verdict !== "failed") return undefined;
  const failed = ended.sides.filter(({ outcome }) => outcome === "failed").map(({ platform }) => platform);
  return {
    id,
    kind: "rollback",
    detail: `the last rollback of the application was ${ended.verdict}: ${failed.join(", ")}`,
  };
}
