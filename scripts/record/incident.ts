/**
 * Incidents: what happened, who ran what on which host and how it ended, each event written once below
 * `incidents/<id>/`. Opened by a person, by a verification that failed, by a failed drill (whose record opens it), by an alarm
 * or by an emergency; open until a person closes it with a reason. An event holds counts and names, never a row.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { z } from "zod";
import { Refusal, UsageError } from "../contract/failure";
import { redact } from "../contract/redaction";
import { databaseIdentitySchema } from "../database/identity";
import { encodeDocument, readDocument } from "../store/documents";
import { compactUtc, incidentEventKey, incidentsPrefix } from "../store/layout";
import { AlreadyExists, type Store } from "../store/store";
import { type SignalName, signalNames } from "../thresholds";
import { drillSchema } from "./drillRecords";

/** What a table lacks, against the last good copy of it. */
export const tableImpactSchema = z.object({
  /** `schema.name`. */
  table: z.string(),
  rowsBefore: z.int(),
  /** Null: the table is gone, or lacks columns. */
  rowsNow: z.int().nullable(),
  missing: z.int(),
  /** Rows with other content; whether that is damage is for people to say, unless `damaged`. */
  changed: z.int(),
  /** Rows that nobody wrote and that read otherwise now. */
  damaged: z.int(),
  /** False: the numbers are what the checksums prove, and there may be more. */
  exact: z.boolean(),
  /** Why it counts as damaged; null: by its policy it may. */
  why: z.string().nullable(),
});

export type TableImpact = z.infer<typeof tableImpactSchema>;

/** What stood there at one moment, by its ids; null: none, or it could not be asked. */
const incidentIdsSchema = z.object({
  database: databaseIdentitySchema.nullable(),
  /** The newest release whose gate passed. */
  release: z.object({ runId: z.string(), releaseVersion: z.string(), stack: z.string() }).nullable(),
  /** The newest that is not suspect. */
  backup: z.string().nullable(),
  deployments: z.object({ railway: z.string().nullable(), vercel: z.string().nullable() }),
});

export type IncidentIds = z.infer<typeof incidentIdsSchema>;

const common = {
  schemaVersion: z.literal(1),
  at: z.iso.datetime(),
  /** Where it was written. */
  host: z.string(),
  /** Null: no person, a program by itself. */
  person: z.string().nullable(),
};

/** UTC, inclusive: the damage was not there before `notBefore` and was there at `notAfter`. Null: not known. */
const beganSchema = z.object({ notBefore: z.iso.datetime().nullable(), notAfter: z.iso.datetime().nullable() });

const eventSchema = z.discriminatedUnion("event", [
  z.object({
    ...common,
    event: z.literal("opened"),
    kind: z.enum(["person", "verification", "emergency", "alarm"]),
    title: z.string(),
    began: beganSchema,
    /** Of the release that it is about. */
    receipt: z.string().nullable(),
    ids: incidentIdsSchema,
    impact: z.array(tableImpactSchema),
    notVerified: z.array(z.string()),
  }),
  z.object({ ...common, event: z.literal("noted"), text: z.string() }),
  z.object({ ...common, event: z.literal("command-started"), run: z.string(), command: z.string() }),
  z.object({
    ...common,
    ...{ event: z.literal("command-ended"), run: z.string(), command: z.string() },
    /** As the shell sees it. */
    exitCode: z.int(),
    seconds: z.number(),
  }),
  z.object({
    ...common,
    event: z.literal("assessed"),
    began: beganSchema,
    impact: z.array(tableImpactSchema),
    notVerified: z.array(z.string()),
    /** The recommendation with its reason. */
    text: z.string(),
  }),
  z.object({
    ...{ ...common, event: z.literal("alarm") },
    signal: z.enum(signalNames as [SignalName, ...SignalName[]]),
    state: z.enum(["critical", "recovered"]),
    /** Its value and threshold. */
    text: z.string(),
  }),
  z.object({
    ...{ ...common, event: z.literal("told") },
    /** The kind of notice, of scripts/notices.ts. */
    notice: z.string(),
    /** Of several of one kind, which; null: each is told. */
    key: z.string().nullable(),
    channel: z.enum(["webhook", "sns", "statuspage"]),
    delivered: z.boolean(),
    /** What answered, or why it was not delivered. */
    detail: z.string(),
    /** The incident's id on the status page; null: another channel, or it is not known. */
    pageIncident: z.string().nullable(),
  }),
  z.object({
    ...common,
    event: z.literal("mitigated"),
    /** What proves it. */
    text: z.string(),
    notVerified: z.array(z.string()),
  }),
  z.object({
    ...common,
    event: z.literal("closed"),
    reason: z.string(),
    /** What keeps it from happening again; empty: `noPrevention` says why. */
    prevention: z.array(z.string()),
    noPrevention: z.string().nullable(),
    ids: incidentIdsSchema,
  }),
]);

export type IncidentEvent = z.infer<typeof eventSchema>;
type EventOf<Name extends IncidentEvent["event"]> = Extract<IncidentEvent, { event: Name }>;
/** An event as it is handed over: where and when it was written is added. */
export type NewIncidentEvent = {
  [Name in IncidentEvent["event"]]: Omit<EventOf<Name>, "schemaVersion" | "at" | "host">;
}[IncidentEvent["event"]];
export type IncidentOpening = Omit<EventOf<"opened">, "schemaVersion" | "at" | "host" | "event">;

export interface Incident {
  readonly id: string;
  readonly kind: EventOf<"opened">["kind"] | "drill";
  readonly title: string;
  readonly openedAt: string;
  readonly openedBy: string | null;
  /** Undefined: a drill opened it, whose record is no event of this kind. */
  readonly opening: EventOf<"opened"> | undefined;
  /** All but what opened a drill's, oldest first. */
  readonly events: readonly IncidentEvent[];
  /** Undefined: it is open. A drill's also ends when a later drill passed: see `openIncidents.ts`. */
  readonly closed: EventOf<"closed"> | undefined;
}

/** @param run what it is about, such as a receipt's run id; default: nothing else, so that it has an id of its own. */
export async function openIncident(
  store: Store,
  opening: IncidentOpening,
  id = `${compactUtc(new Date())}-${randomBytes(4).toString("hex")}`,
): Promise<string> {
  await store.create(incidentEventKey(id, 1, "opened"), encodeDocument(stamped({ event: "opened", ...opening })));
  return id;
}

export interface OpenedOnce {
  readonly id: string;
  /** Just now. */
  readonly opened: boolean;
}

/** One incident for each receipt whose verification fails, however often it is verified while that one is open. */
export function openForReceipt(store: Store, receipt: string, opening: IncidentOpening): Promise<OpenedOnce> {
  return openOnce(store, `${receipt}-verification`, async () => opening);
}

/** One incident for each signal whose alarm sounds, while that one is open. */
export function openForAlarm(
  store: Store,
  signal: SignalName,
  opening: () => Promise<IncidentOpening>,
): Promise<OpenedOnce> {
  return openOnce(store, `alarm-${signal}`, opening);
}

/** The open one of this name, else the next of it: of several that open it at once, one does. */
async function openOnce(store: Store, name: string, opening: () => Promise<IncidentOpening>): Promise<OpenedOnce> {
  for (let number = 1; ; number++) {
    const id = number === 1 ? name : `${name}-${number}`;
    const names = (await store.list(`${incidentsPrefix}${id}/`)).map(({ key }) => eventNameOf(key));
    if (names.includes("closed")) continue;
    if (names.length > 0) return { id, opened: false };
    try {
      return { id: await openIncident(store, await opening(), id), opened: true };
    } catch (error) {
      if (!(error instanceof AlreadyExists)) throw error;
    }
  }
}

/** Appends an event under the next free number. What is in it is redacted: it is never rewritten. */
export async function recordIncident(store: Store, id: string, event: NewIncidentEvent): Promise<IncidentEvent> {
  const document = stamped(event);
  const body = encodeDocument(document);
  const keys = (await store.list(`${incidentsPrefix}${id}/`)).map(({ key }) => key);
  for (let number = Math.max(0, ...keys.map(numberOf)) + 1; ; number++) {
    try {
      await store.create(incidentEventKey(id, number, event.event), body);
      return document;
    } catch (error) {
      // The same event under the same number: somebody else's, the next one is ours.
      if (!(error instanceof AlreadyExists)) throw error;
    }
  }
}

function stamped(event: NewIncidentEvent): IncidentEvent {
  const document = { ...event, schemaVersion: 1, at: new Date().toISOString(), host: hostname() };
  return eventSchema.parse(JSON.parse(redact(JSON.stringify(document))));
}

/** The name of an event in a key below `incidents/`, and the number before it. */
export function eventNameOf(key: string): string {
  return /\/\d+-([a-z-]+)\.json$/.exec(key)?.[1] ?? "";
}

function numberOf(key: string): number {
  return Number(/\/(\d+)-[a-z-]+\.json$/.exec(key)?.[1] ?? 0);
}

/** Keys of every folder below `incidents/`, in the order of their ids: also those of restores and rollbacks. */
export async function listIncidentFolders(store: Store): Promise<ReadonlyMap<string, readonly string[]>> {
  const folders = new Map<string, string[]>();
  for (const { key } of await store.list(incidentsPrefix)) {
    const id = key.split("/")[1] ?? "";
    folders.set(id, [...(folders.get(id) ?? []), key]);
  }
  return folders;
}

/** Whether this is an incident: a restore or a rollback keeps its record in the same place. */
function isIncident(keys: readonly string[]): boolean {
  return ["opened", "drill-failed"].includes(eventNameOf(keys[0] ?? ""));
}

/** Ids of all incidents, oldest first; open: those that nobody has closed, drills' left out. */
export async function listIncidents(store: Store, which: "all" | "open"): Promise<string[]> {
  return [...(await listIncidentFolders(store))].flatMap(([id, keys]) => {
    const names = keys.map(eventNameOf);
    const isOpen = names[0] === "opened" && !names.includes("closed");
    return isIncident(keys) && (which === "all" || isOpen) ? [id] : [];
  });
}

/** @throws UsageError when there is none of this id; Damage when an event cannot be read. */
export async function readIncident(store: Store, id: string): Promise<Incident> {
  const keys = (await store.list(`${incidentsPrefix}${id}/`)).map(({ key }) => key);
  if (!isIncident(keys))
    throw new UsageError(`${store.url} holds no incident ${id}`, { hint: "npm run incident -- list names them" });
  const [first = "", ...rest] = keys;
  if (eventNameOf(first) === "drill-failed") {
    const drill = await readDocument(store, first, drillSchema);
    const failed = (drill?.locations ?? []).filter(({ verdict }) => verdict === "failed");
    const title = `a restore drill failed: ${failed.map(({ store: url, problem }) => `${url}: ${problem ?? ""}`).join("; ")}`;
    const events = await readEvents(store, rest);
    return { ...{ id, kind: "drill", title, openedAt: drill?.at ?? "", openedBy: null }, ...known(undefined, events) };
  }
  const events = await readEvents(store, keys);
  const opening = events.find((event) => event.event === "opened")!;
  const { kind, title, at, person } = opening;
  return { ...{ id, kind, title, openedAt: at, openedBy: person }, ...known(opening, events) };
}

function known(opening: EventOf<"opened"> | undefined, events: readonly IncidentEvent[]) {
  return { opening, events, closed: events.find((event) => event.event === "closed") };
}

/** By number; those that were written at once by their time. */
async function readEvents(store: Store, keys: readonly string[]): Promise<IncidentEvent[]> {
  const read = await Promise.all(
    keys.map(async (key) => ({ number: numberOf(key), event: await readDocument(store, key, eventSchema) })),
  );
  return read
    .flatMap(({ number, event }) => (event === undefined ? [] : [{ number, event }]))
    .sort((a, b) => a.number - b.number || a.event.at.localeCompare(b.event.at))
    .map(({ event }) => event);
}

/**
 * The incident that was named, else the only open one.
 *
 * @throws UsageError when several are open, or none; Refusal when the one that was named is closed.
 */
export async function chooseIncident(store: Store, id: string | undefined): Promise<Incident> {
  const open = id === undefined ? await listIncidents(store, "open") : [id];
  const [only, ...more] = open;
  if (only === undefined || more.length > 0)
    throw new UsageError(
      only === undefined ? "no incident is open" : `${open.length} incidents are open: ${open.join(", ")}`,
      {
        hint:
          only === undefined
            ? "npm run incident -- list names all, npm run incident -- open opens one"
            : "name one: --id <id>",
      },
    );
  const incident = await readIncident(store, only);
  if (incident.closed !== undefined)
    throw new Refusal(`incident ${only} was closed at ${incident.closed.at} by ${incident.closed.person ?? "nobody"}`, {
      hint: "what is written once stays as it is: open another one (npm run incident -- open)",
    });
  return incident;
}
