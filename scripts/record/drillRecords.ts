/** Restore drills, each written once below `drills/` in every location that could be reached, and what a failed one opens. */
import { z } from "zod";
import { Unavailable } from "../contract/failure";
import { encodeDocument, readDocument } from "../store/documents";
import { drillKey, drillsPrefix, incidentEventKey, retentionTiers } from "../store/layout";
import type { Store } from "../store/store";

const drilledLocationSchema = z.object({
  store: z.string(),
  verdict: z.enum(["passed", "failed"]),
  /** The newest one that is not suspect; null: none was found. */
  backup: z.object({ tier: z.enum(retentionTiers), name: z.string() }).nullable(),
  /** How deep it was verified: 5 where another location could be asked, else 4. Null: it failed. */
  depth: z.int().nullable().default(null),
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
  let lost: Unavailable | undefined;
  for (const store of stores) {
    try {
      await store.create(drillKey(drill.runId), body);
      written.push(store);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
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
 * Of several stores together: a location's drill may be recorded in another one.
 *
 * @throws Unavailable when none can be reached; Damage when a record cannot be read.
 */
export async function readLastDrills(stores: readonly Store[]): Promise<readonly LastDrill[]> {
  const drills = new Map<string, Drill>();
  let [reached, lost] = [false, new Unavailable("no store to read drills from")];
  for (const store of stores) {
    try {
      for (const { key } of (await store.list(drillsPrefix)).slice(-mostLookedAt)) {
        if (drills.has(key)) continue;
        const drill = await readDocument(store, key, drillSchema);
        if (drill !== undefined) drills.set(key, drill);
      }
      reached = true;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      lost = error;
    }
  }
  if (!reached) throw lost;
  const newest = new Map<string, LastDrill>();
  for (const { at, locations } of [...drills.values()].sort((a, b) => a.at.localeCompare(b.at)))
    for (const location of locations) newest.set(location.store, { ...location, at });
  return [...newest.values()];
}

/** The newest one; undefined: there was none yet. @throws Damage when its record cannot be read. */
export async function readLastDrill(store: Store): Promise<Drill | undefined> {
  const newest = (await store.list(drillsPrefix)).at(-1);
  return newest === undefined ? undefined : readDocument(store, newest.key, drillSchema);
}

/** The newest one that passed; undefined: there was none. @throws Damage when a record cannot be read. */
export async function readLastPassedDrill(store: Store): Promise<Drill | undefined> {
  for (const { key } of (await store.list(drillsPrefix)).reverse().slice(0, mostLookedAt)) {
    const drill = await readDocument(store, key, drillSchema);
    if (drill?.verdict === "passed") return drill;
  }
  return undefined;
}

/** The newest ones, oldest first. @throws Damage when a record cannot be read. */
export async function readDrills(store: Store, newest: number): Promise<Drill[]> {
  const listed = (await store.list(drillsPrefix)).slice(-newest);
  const drills = await Promise.all(listed.map(({ key }) => readDocument(store, key, drillSchema)));
  return drills.filter((drill) => drill !== undefined);
}
