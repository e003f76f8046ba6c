/** Restore drills, each written once below `drills/` in every location that could be reached, and what a failed one opens. */
import { z } from "zod";
import { Damage, Unavailable } from "../contract/failure";
import { within } from "../contract/within";
import { encodeDocument, readDocument } from "../store/documents";
import { drillKey, drillsPrefix, incidentEventKey, retentionTiers } from "../store/layout";
import type { Store } from "../store/store";

/** Seconds after which a location's drills are left out. */
const patience = 20;

const drilledLocationSchema = z.object({
  store: z.string(),
  verdict: z.enum(["passed", "failed"]),
  /** The newest one that is not suspect; null: none was found. */
  backup: z.object({ tier: z.enum(retentionTiers), name: z.string() }).nullable(),
  /** How deep it was verified: 5 where another location held the same bytes, else 4. Null: it failed. */
  depth: z.int().nullable().default(null),
  /** What shows that, a line for each other location: read back now, or verified there before. */
  elsewhere: z.array(z.string()).default([]),
  /** Seconds of writes that its restore would have lost: from the backup's snapshot to the drill. Null: no backup. */
  rpoSeconds: z.number().nullable(),
  /** From looking for the backup to a compared copy with its data checks passed, in seconds. Null: it failed. */
  rtoSeconds: z.number().nullable(),
  tables: z.int().nullable(),
  rows: z.int().nullable(),
  /** What the data checks said of the copy; null: it did not come to that. */
  dataChecks: z.string().nullable(),
  /** Why it failed; null: it passed. */
  problem: z.string().nullable(),
});

export type DrilledLocation = z.infer<typeof drilledLocationSchema>;

export const drillSchema = z.object({
  schemaVersion: z.literal(1),
  runId: z.string(),
  /** `passed`: from every location that was drilled. */
  verdict: z.enum(["passed", "failed"]),
  locations: z.array(drilledLocationSchema).min(1),
  startedAt: z.iso.datetime(),
  at: z.iso.datetime(),
});

export type Drill = z.infer<typeof drillSchema>;

/**
 * Into every store of `stores` that can be reached, so that losing one loses no proof; a failure opens an incident in
 * the first of those.
 *
 * @throws Unavailable when none can be reached.
 */
export async function recordDrill(stores: readonly Store[], drill: Drill): Promise<void> {
  const body = encodeDocument(drill);
  const written: Store[] = [];
  let lost: Unavailable | Damage | undefined;
  for (const store of stores) {
    try {
      await store.create(drillKey(drill.runId), body);
      written.push(store);
    } catch (error) {
      if (!(error instanceof Unavailable || error instanceof Damage)) throw error;
      lost ??= error;
    }
  }
  const [first] = written;
  if (first === undefined) throw lost ?? new Unavailable("no store to write the drill's record to");
  if (drill.verdict === "failed") await first.create(incidentEventKey(drill.runId, 1, "drill-failed"), body);
}

/** How many drills are looked back over: for one of each location, or for one that passed. */
const mostLookedAt = 50;

/** What the newest drill of each location found, by its address. */
export type LastDrill = DrilledLocation & { readonly at: string };

/**
 * The newest ones of several stores together, oldest first, each once: a drill may be recorded in some of them only, as
 * one that had rights on a single location is.
 *
 * @throws Unavailable when none can be reached; Damage when a record cannot be read.
 */
export async function readDrillsOf(stores: readonly Store[]): Promise<readonly Drill[]> {
  const read = await Promise.allSettled(
    stores.map((store) => within(patience, store.url, readDrills(store, mostLookedAt))),
  );
  const reached = read.filter((result) => result.status === "fulfilled");
  for (const result of read)
    if (result.status === "rejected" && (reached.length === 0 || !(result.reason instanceof Unavailable)))
      throw result.reason;
  const drills = new Map(reached.flatMap(({ value }) => value).map((drill) => [drill.runId, drill]));
  return [...drills.values()].sort((a, b) => a.at.localeCompare(b.at));
}

/** Of the drills that `readDrillsOf` gives. */
export function lastOfEach(drills: readonly Drill[]): readonly LastDrill[] {
  const newest = new Map<string, LastDrill>();
  for (const { at, locations } of drills)
    for (const location of locations) newest.set(location.store, { ...location, at });
  return [...newest.values()];
}

/** The newest ones, oldest first. @throws Damage when a record cannot be read. */
export async function readDrills(store: Store, newest: number): Promise<Drill[]> {
  const listed = (await store.list(drillsPrefix)).slice(-newest);
  const drills = await Promise.all(listed.map(({ key }) => readDocument(store, key, drillSchema)));
  return drills.filter((drill) => drill !== undefined);
}
