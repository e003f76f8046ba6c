/**
 * What happened to a receipt, event by event, each written once: releases started and live or failed, and
 * how the verification after them ended. A receipt is *open* from its first event until it was verified.
 */
import { z } from "zod";
import { redact } from "../contract/redaction";
import { releaseEventKey, releasesPrefix } from "../store/layout";
import { AlreadyExists, type Store } from "../store/store";
import { encodeDocument, readDocument } from "../store/documents";
import { type ComparisonRecord, comparisonRecordSchema } from "./comparisonRecord";

export const releaseSteps = ["migrations", "railway", "vercel"] as const;
export type ReleaseStep = (typeof releaseSteps)[number];

const releaseEventSchema = z.object({
  schemaVersion: z.literal(1),
  /**
   * `gate-passed` opens the receipt; `<step>-started|live|failed`; `verification-failed`; `verified` and
   * `accepted` (missing rows, by a person) close it; `repaired`: rows were put back; `<step>-rolled-back`: the platform is
   * back at what was live before, which says nothing of rows and so neither opens nor closes a receipt.
   */
  event: z.string().regex(/^[a-z-]+$/),
  runId: z.string(),
  releaseVersion: z.string(),
  /** The stack that releases; what is live for one says nothing of another. */
  stack: z.string(),
  /** Of the receipt: whoever reads it later knows it by this. */
  receiptSha256: z.string(),
  at: z.iso.datetime(),
  person: z.string().nullable(),
  /** Of a verification: what it saw of the database, its `pg_current_snapshot()`. Whatever it did not see came later. */
  visibility: z.string().nullable().default(null),
  /** Of a verification: what it found in each table; null: not recorded. */
  comparison: comparisonRecordSchema.nullable().default(null),
  detail: z.string(),
});

export type ReleaseEvent = z.infer<typeof releaseEventSchema>;

/** Events that end what a receipt guards: nothing is open any more. */
const closingEvents: readonly string[] = ["verified", "accepted"];

/** What the events of one run have in common. */
export type RunIdentity = Pick<ReleaseEvent, "runId" | "releaseVersion" | "stack" | "receiptSha256">;

interface EventExtras {
  readonly person?: string | null;
  readonly visibility?: string | null;
  readonly comparison?: ComparisonRecord | null;
}

/** Appends an event under the next free number. */
export async function recordEvent(
  store: Store,
  run: RunIdentity,
  event: string,
  detail: string,
  { person = null, visibility = null, comparison = null }: EventExtras = {},
): Promise<void> {
  const { runId, releaseVersion, stack, receiptSha256 } = run;
  const body = encodeDocument({
    schemaVersion: 1,
    event,
    runId,
    releaseVersion,
    stack,
    receiptSha256,
    at: new Date().toISOString(),
    person,
    visibility,
    comparison,
    // A platform's own output can hold a secret, and an event is never rewritten.
    detail: redact(detail),
  } satisfies ReleaseEvent);
  for (let sequence = (await lastNumber(store, runId)) + 1; ; sequence++) {
    try {
      await store.create(releaseEventKey(runId, sequence, event), body);
      return;
    } catch (error) {
      // The same event under the same number: somebody else's, the next one is ours.
      if (!(error instanceof AlreadyExists)) throw error;
    }
  }
}

/** The highest number among a run's events, 0 when it has none: whether something happened since. */
export async function lastNumber(store: Store, runId: string): Promise<number> {
  const keys = (await store.list(`${releasesPrefix}${runId}/`)).map(({ key }) => key);
  return Math.max(0, ...keys.map((key) => numberOf(key)));
}

function numberOf(key: string): number {
  return Number(/(\d+)-[a-z-]+\.json$/.exec(key)?.[1] ?? 0);
}

/** The names of a run's events, in order. */
interface RunHistory {
  readonly runId: string;
  /** Without rollbacks. */
  readonly events: readonly string[];
  /** The steps that were rolled back after whatever else happened to them. */
  readonly rolledBack: readonly string[];
  /** Two events share the last number: they were written at once, and neither has the last word. */
  readonly undecided: boolean;
}

/** Every run that has events, oldest first; one listing, no reads. */
async function listHistories(store: Store): Promise<RunHistory[]> {
  const byRun = new Map<string, string[]>();
  for (const { key } of await store.list(releasesPrefix)) {
    const [, runId, file] = key.split("/");
    if (runId !== undefined && file !== undefined) byRun.set(runId, [...(byRun.get(runId) ?? []), file]);
  }
  return [...byRun].map(([runId, files]) => historyOf(runId, files));
}

function historyOf(runId: string, files: readonly string[]): RunHistory {
  const named = files.map((file) => ({
    event: file.replace(/^\d+-/, "").replace(/\.json$/, ""),
    number: numberOf(file),
  }));
  const telling = named.filter(({ event }) => !isRollback(event));
  return {
    runId,
    events: telling.map(({ event }) => event),
    rolledBack: releaseSteps.filter((step) =>
      isRollback(named.findLast(({ event }) => event.startsWith(`${step}-`))?.event ?? ""),
    ),
    undecided: telling.length > 1 && telling.at(-1)?.number === telling.at(-2)?.number,
  };
}

/** Run ids of the open receipts, oldest first. */
export async function listOpenReceipts(store: Store): Promise<string[]> {
  const histories = await listHistories(store);
  return histories.filter((history) => !isClosed(history)).map(({ runId }) => runId);
}

function isClosed({ events, undecided }: RunHistory): boolean {
  return !undecided && closingEvents.includes(events.at(-1) ?? "");
}

function isRollback(event: string): boolean {
  return event.endsWith("-rolled-back");
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
 * The run that made `step` live for this version, if that is what is live now: a later attempt of the same stack
 * at another version, also a failed one, means that nobody knows, so the step runs again.
 */
export async function findLive(
  store: Store,
  step: ReleaseStep,
  run: Pick<RunIdentity, "releaseVersion" | "stack">,
): Promise<string | undefined> {
  const ofStep = (event: string): boolean => event.startsWith(`${step}-`);
  for (const { runId, events, rolledBack } of (await listHistories(store)).reverse()) {
    const last = events.findLast(ofStep);
    if (last === undefined) continue;
    const identity = await identityOf(store, runId);
    if (identity?.stack !== run.stack) continue;
    if (rolledBack.includes(step)) return undefined;
    return last === `${step}-live` && identity.releaseVersion === run.releaseVersion ? runId : undefined;
  }
  return undefined;
}

/** Whether every one of `steps` is live at this version and the stack's newest receipt is closed for it. */
export async function isReleased(
  store: Store,
  run: Pick<RunIdentity, "releaseVersion" | "stack">,
  steps: readonly ReleaseStep[],
): Promise<boolean> {
  for (const history of (await listHistories(store)).reverse()) {
    const identity = await identityOf(store, history.runId);
    if (identity?.stack !== run.stack) continue;
    if (!isClosed(history) || identity.releaseVersion !== run.releaseVersion) return false;
    for (const step of steps) if ((await findLive(store, step, run)) === undefined) return false;
    return true;
  }
  return false;
}

/** The newest run whose gate passed, of this stack or, without one, of any. */
export async function newestRun(store: Store, stack: string | undefined): Promise<RunIdentity | undefined> {
  for (const { runId } of (await listHistories(store)).reverse()) {
    const identity = await identityOf(store, runId);
    if (identity !== undefined && (stack === undefined || identity.stack === stack)) return identity;
  }
  return undefined;
}

/** Runs whose last events are read: those that waited for a lease together may have taken it out of their order. */
const newestRuns = 20;

/** When something was last released, or a release was verified or accepted; undefined: never. */
export function newestEventTime(store: Store): Promise<Date | undefined> {
  return newestTime(store, (events) => events.slice(-1));
}

/** When a person last accepted rows as lost, in the newest releases; undefined: nobody did. */
export function lastAcceptance(store: Store): Promise<Date | undefined> {
  return newestTime(store, (events) => events.filter(({ event }) => event === "accepted"));
}

async function newestTime(
  store: Store,
  wanted: (events: readonly ReleaseEvent[]) => readonly ReleaseEvent[],
): Promise<Date | undefined> {
  const runs = (await listHistories(store)).slice(-newestRuns);
  const events = await Promise.all(runs.map(async ({ runId }) => wanted(await readEvents(store, runId))));
  const newest = events
    .flat()
    .map(({ at }) => at)
    .sort()
    .at(-1);
  return newest === undefined ? undefined : new Date(newest);
}

/** A run releases one version of one stack by one receipt: every event of it says the same. */
export async function identityOf(store: Store, runId: string): Promise<RunIdentity | undefined> {
  const first = (await store.list(`${releasesPrefix}${runId}/`))[0];
  return first === undefined ? undefined : readDocument(store, first.key, releaseEventSchema);
}
