/** Rollbacks of the application, each event written once below `incidents/`: one began, and how it ended. */
import { z } from "zod";
import { encodeDocument, readDocument } from "../store/documents";
import { incidentEventKey, incidentsPrefix } from "../store/layout";
import type { Store } from "../store/store";

const sideResultSchema = z.object({
  platform: z.enum(["railway", "vercel"]),
  /** `already`: what it was to be rolled back to is live. */
  outcome: z.enum(["rolled back", "already", "failed"]),
  /** The deployment that was live before; null: none, or not known. */
  from: z.string().nullable(),
  /** The one to go back to; null: there is none. */
  to: z.string().nullable(),
  /** What is live now: on Railway a rollback is a new deployment of an old image. */
  live: z.string().nullable(),
  seconds: z.number(),
  message: z.string(),
});

export type SideResult = z.infer<typeof sideResultSchema>;

export const rollbackEventSchema = z.object({
  schemaVersion: z.literal(1),
  event: z.enum(["rollback-started", "rollback-ended"]),
  /** Of the command that rolled back. */
  runId: z.string(),
  /** Of the release that was rolled back; null: none is recorded. */
  releaseRunId: z.string().nullable(),
  verdict: z.enum(["rolled back", "nothing to do", "partial", "failed"]).nullable(),
  sides: z.array(sideResultSchema),
  seconds: z.number().nullable(),
  at: z.iso.datetime(),
});

export type RollbackEvent = z.infer<typeof rollbackEventSchema>;

const numbers: Readonly<Record<RollbackEvent["event"], number>> = { "rollback-started": 1, "rollback-ended": 2 };

export async function recordRollback(store: Store, event: Omit<RollbackEvent, "schemaVersion" | "at">): Promise<void> {
  const document: RollbackEvent = { schemaVersion: 1, ...event, at: new Date().toISOString() };
  await store.create(incidentEventKey(event.runId, numbers[event.event], event.event), encodeDocument(document));
}

/** Of the newest 20 rollbacks that ended well: how many seconds each took. */
export async function listRollbackSeconds(store: Store): Promise<number[]> {
  const keys = (await store.list(incidentsPrefix)).filter(({ key }) => key.endsWith("-rollback-ended.json"));
  const events = await Promise.all(keys.slice(-20).map(({ key }) => readDocument(store, key, rollbackEventSchema)));
  return events.flatMap((event) => (event?.verdict === "rolled back" && event.seconds !== null ? [event.seconds] : []));
}
