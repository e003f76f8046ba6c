/**
 * What happened to a receipt, event by event, each written once: releases started and live or failed, and
 * how the verification after them ended. A receipt is *open* from its first event until it was verified.
 */
import { z } from "zod";
import { releaseEventKey, releasesPrefix } from "../store/layout";
import { AlreadyExists, type Store } from "../store/store";
import { encodeDocument, readDocument } from "../store/documents";

export const releaseSteps = ["migrations", "railway", "vercel"] as const;
export type ReleaseStep = (typeof releaseSteps)[number];

const releaseEventSchema = z.object({
  schemaVersion: z.literal(1),
  /** `<step>-started|live|failed`, `verified`, `verification-failed`, `accepted` (missing rows, by a person). */
  event: z.string().regex(/^[a-z-]+$/),
  runId: z.string(),
  releaseVersion: z.string(),
  at: z.iso.datetime(),
  person: z.string().nullable(),
  detail: z.string(),
});

export type ReleaseEvent = z.infer<typeof releaseEventSchema>;

/** Events that end what a receipt guards: nothing is open any more. */
const closingEvents: readonly string[] = ["verified", "accepted"];

/** Appends an event under the next free number. */
export async function recordEvent(
  store: Store,
  event: Pick<ReleaseEvent, "event" | "runId" | "releaseVersion" | "detail"> & { person?: string },
): Promise<void> {
  const body = encodeDocument({
    schemaVersion: 1,
    ...event,
    person: event.person ?? null,
    at: new Date().toISOString(),
  } satisfies ReleaseEvent);
  const written = await store.list(`${releasesPrefix}${event.runId}/`);
  for (let sequence = written.length + 1; ; sequence++) {
    try {
      await store.create(releaseEventKey(event.runId, sequence, event.event), body);
      return;
    } catch (error) {
      // Somebody else took the number (or wrote the same event): the next one is ours.
      if (!(error instanceof AlreadyExists)) throw error;
    }
  }
}

/** The names of a run's events, in order. */
interface RunHistory {
  readonly runId: string;
  readonly events: readonly string[];
}

/** Every run that has events, oldest first; one listing, no reads. */
async function listHistories(store: Store): Promise<RunHistory[]> {
  const byRun = new Map<string, string[]>();
  for (const { key } of await store.list(releasesPrefix)) {
    const [, runId, file] = key.split("/");
    if (runId === undefined || file === undefined) continue;
    const events = byRun.get(runId) ?? [];
    events.push(file.replace(/^\d+-/, "").replace(/\.json$/, ""));
    byRun.set(runId, events);
  }
  return [...byRun].map(([runId, events]) => ({ runId, events }));
}

/** Run ids of the open receipts, oldest first. */
export async function listOpenReceipts(store: Store): Promise<string[]> {
  const histories = await listHistories(store);
  return histories.filter((history) => !isClosed(history)).map(({ runId }) => runId);
}

function isClosed({ events }: RunHistory): boolean {
  return closingEvents.includes(events.at(-1) ?? "");
}

export async function isOpen(store: Store, runId: string): Promise<boolean> {
  return (await listOpenReceipts(store)).includes(runId);
}

/** All events of a run, in order. */
export async function readEvents(store: Store, runId: string): Promise<ReleaseEvent[]> {
  const keys = (await store.list(`${releasesPrefix}${runId}/`)).map(({ key }) => key);
  const events = await Promise.all(keys.map((key) => readDocument(store, key, releaseEventSchema)));
  return events.filter((event) => event !== undefined);
}

/**
 * The run that made `step` live for this version, if that is what is live now: a later attempt at another
 * version, also a failed one, means that nobody knows, so the step runs again.
 */
export async function findLive(store: Store, step: ReleaseStep, releaseVersion: string): Promise<string | undefined> {
  const newest = (await listHistories(store)).findLast(({ events }) =>
    events.some((event) => event.startsWith(`${step}-`)),
  );
  if (newest?.events.findLast((event) => event.startsWith(`${step}-`)) !== `${step}-live`) return undefined;
  return (await versionOf(store, newest.runId)) === releaseVersion ? newest.runId : undefined;
}

/** Whether every one of `steps` is live at this version and the newest receipt with events is closed for it. */
export async function isReleased(
  store: Store,
  releaseVersion: string,
  steps: readonly ReleaseStep[],
): Promise<boolean> {
  const newest = (await listHistories(store)).at(-1);
  if (newest === undefined || !isClosed(newest) || (await versionOf(store, newest.runId)) !== releaseVersion)
    return false;
  for (const step of steps) if ((await findLive(store, step, releaseVersion)) === undefined) return false;
  return true;
}

/** A run releases one version: every event of it names the same. */
async function versionOf(store: Store, runId: string): Promise<string | undefined> {
  return (await readEvents(store, runId)).at(-1)?.releaseVersion;
}
