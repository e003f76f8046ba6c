/**
 * What servers count from their start on: only the difference of two readings says anything. Readings are remembered in
 * the store, because whatever reads them every few minutes may be a new container each time.
 */
import { z } from "zod";
import { changeControl } from "../control/controlDocument";
import { healthKey } from "../store/layout";
import type { Store } from "../store/store";
import type { SignalName } from "../thresholds";
import { type Reading, absent, found, megabytes, unread } from "./reading";

const countersSchema = z.object({
  /** By the database's clock. */
  at: z.iso.datetime(),
  systemIdentifier: z.string(),
  database: z.string(),
  /** When the server last began to count, Unix seconds; null: it does not say. */
  statsReset: z.number().nullable(),
  commits: z.number(),
  rollbacks: z.number(),
  deadlocks: z.number(),
  blocksHit: z.number(),
  blocksRead: z.number(),
  databaseBytes: z.number(),
  /** Of pg_stat_statements; null: it is not installed, or could not be read. */
  statements: z.object({ calls: z.number(), milliseconds: z.number(), reset: z.number().nullable() }).nullable(),
  /** Of Supabase's metrics; null: not configured, or could not be read. */
  supabase: z
    .object({ authRequests: z.number(), authErrors: z.number(), failedLogins: z.number(), poolTimeouts: z.number() })
    .nullable(),
  /** Errors and conflicts of the live replica; null: there is none, or it could not be read. */
  replicaErrors: z.number().nullable().default(null),
});

export type Counters = z.infer<typeof countersSchema>;

export const healthHistorySchema = z.object({
  schemaVersion: z.literal(1),
  /** Oldest first. */
  readings: z.array(countersSchema),
});

const minute = 60_000;
const hour = 60 * minute;

/** Two hours and a margin at five minutes each, then half a day by the hour: what the longest comparisons need. */
const spans = [
  { age: 130 * minute, slot: 5 * minute },
  { age: 13.5 * hour, slot: hour },
] as const;

/** Pure. The oldest reading of each slot is kept, so that which ones are left does not depend on how often it is read. */
export function thinned(readings: readonly Counters[], now: Date): Counters[] {
  const taken = new Set<string>();
  return readings.filter(({ at }) => {
    const time = Date.parse(at);
    const age = now.getTime() - time;
    const slots = spans.filter((span) => age <= span.age).map(({ slot }) => `${slot}:${Math.floor(time / slot)}`);
    const free = slots.filter((slot) => !taken.has(slot));
    free.forEach((slot) => taken.add(slot));
    return free.length > 0;
  });
}

/**
 * Adds this reading to those that the store remembers.
 *
 * @returns the earlier ones of the same database, oldest first.
 * @throws Unavailable when the store cannot be written.
 */
export async function remember(store: Store, counters: Counters): Promise<Counters[]> {
  let earlier: Counters[] = [];
  await changeControl(store, healthKey, healthHistorySchema, (current) => {
    earlier = (current?.readings ?? []).filter((reading) => isSame(reading, counters));
    return { schemaVersion: 1 as const, readings: thinned([...earlier, counters], new Date(counters.at)) };
  });
  return earlier;
}

function isSame(one: Counters, other: Counters): boolean {
  return one.systemIdentifier === other.systemIdentifier && one.database === other.database;
}

/** Signals that are the difference of two readings. */
export const rateSignals = [
  ...["transactions", "rollbacks", "deadlocks", "cacheHits", "queryTime", "growth"],
  ...["apiPoolTimeouts", "authRequests", "authErrors", "failedLogins", "replicaConflicts"],
] as const satisfies readonly SignalName[];

/** Blocks below which a share of hits says nothing: 80 MB. */
const fewestBlocks = 10_000;

/** Statements below which a mean says nothing. */
const fewestCalls = 100;

/**
 * Pure.
 *
 * @param earlier oldest first, of the same database.
 * @param shortest seconds that the reading before must be ago. Default 60.
 */
export function ratesOf(now: Counters, earlier: readonly Counters[], shortest = 60): Reading[] {
  const before = earlier.findLast((reading) => secondsSince(reading, now) >= shortest);
  return [...ratesSince(now, before), ...conflicts(now, before), queryTime(now, earlier), growth(now, earlier)];
}

function ratesSince(now: Counters, before: Counters | undefined): Reading[] {
  const ofServer = ["transactions", "rollbacks", "deadlocks", "cacheHits"] as const;
  const ofSupabase = ["apiPoolTimeouts", "authRequests", "authErrors", "failedLogins"] as const;
  if (before === undefined || secondsSince(before, now) > 3600) {
    const why = "needs an earlier reading, of 1 to 60 minutes ago: run again, or with --window 60s";
    return [...ofServer, ...(now.supabase === null ? [] : ofSupabase)].map((signal) => unread(signal, why));
  }
  const minutes = secondsSince(before, now) / 60;
  const commits = now.commits - before.commits;
  const rollbacks = now.rollbacks - before.rollbacks;
  const hit = now.blocksHit - before.blocksHit;
  const read = now.blocksRead - before.blocksRead;
  const deadlocks = now.deadlocks - before.deadlocks;
  const restarted = now.statsReset !== before.statsReset || Math.min(commits, rollbacks, hit, read, deadlocks) < 0;
  const server = restarted
    ? ofServer.map((signal) => unread(signal, "the server began to count anew since the reading before"))
    : [
        found("transactions", (commits + rollbacks) / minutes, since(before)),
        found("rollbacks", percent(rollbacks, commits + rollbacks), `${rollbacks} of ${commits + rollbacks}`),
        found("deadlocks", deadlocks / minutes, since(before)),
        hit + read < fewestBlocks
          ? absent("cacheHits", `only ${hit + read} blocks were read since ${before.at}`)
          : found("cacheHits", percent(hit, hit + read), `of ${hit + read} blocks`),
      ];
  return [...server, ...supabaseRates(now.supabase, before.supabase, minutes)];
}

function supabaseRates(now: Counters["supabase"], before: Counters["supabase"], minutes: number): Reading[] {
  // What there is to say without them, who read them says.
  if (now === null) return [];
  const names = ["apiPoolTimeouts", "authRequests", "authErrors", "failedLogins"] as const;
  if (before === null)
    return names.map((signal) => unread(signal, "the reading before had none of Supabase's metrics"));
  const requests = now.authRequests - before.authRequests;
  const errors = now.authErrors - before.authErrors;
  const logins = now.failedLogins - before.failedLogins;
  const timeouts = now.poolTimeouts - before.poolTimeouts;
  if (Math.min(requests, errors, logins, timeouts) < 0)
    return names.map((signal) => unread(signal, "a service began to count anew since the reading before"));
  return [
    found("apiPoolTimeouts", timeouts / minutes),
    found("authRequests", requests / minutes),
    found("authErrors", percent(errors, requests), `${errors} of ${requests}`),
    found("failedLogins", logins / minutes),
  ];
}

/** Without a replica, who reads its signals says so. */
function conflicts(now: Counters, before: Counters | undefined): Reading[] {
  if (now.replicaErrors === null) return [];
  const why = "needs an earlier reading of the replica: run again, or with --window 60s";
  const earlier = before?.replicaErrors ?? null;
  if (before === undefined || earlier === null) return [unread("replicaConflicts", why)];
  const more = now.replicaErrors - earlier;
  if (more < 0) return [unread("replicaConflicts", "the replica began to count anew since the reading before")];
  return [found("replicaConflicts", more / (secondsSince(before, now) / 60), `${more} ${since(before)}`)];
}

/** The mean of the last hour against that of the hour before. */
function queryTime(now: Counters, earlier: readonly Counters[]): Reading {
  if (now.statements === null) return absent("queryTime", "pg_stat_statements is not installed, or not readable");
  const hourAgo = nearest(earlier, now, 3600, 900);
  const twoHoursAgo = nearest(earlier, now, 7200, 900);
  const [last, first] = [meanBetween(hourAgo, now), meanBetween(twoHoursAgo, hourAgo)];
  if (last === undefined || first === undefined)
    return unread("queryTime", `needs readings of 1 and of 2 hours ago, and ${fewestCalls} statements in each hour`);
  return found("queryTime", last / first, `mean ${last.toFixed(2)} ms, the hour before ${first.toFixed(2)} ms`);
}

/** Milliseconds; undefined where there is nothing to divide, or counting began anew between the two. */
function meanBetween(from: Counters | undefined, to: Counters | undefined): number | undefined {
  const [a, b] = [from?.statements ?? undefined, to?.statements ?? undefined];
  if (a === undefined || b === undefined || a.reset !== b.reset) return undefined;
  const [calls, milliseconds] = [b.calls - a.calls, b.milliseconds - a.milliseconds];
  // Statements that were pushed out of the view take their numbers with them.
  return calls < fewestCalls || milliseconds <= 0 ? undefined : milliseconds / calls;
}

function growth(now: Counters, earlier: readonly Counters[]): Reading {
  const before = nearest(earlier, now, 12 * 3600, 3600);
  if (before === undefined) return unread("growth", "needs a reading of 12 hours ago");
  const grown = percent(now.databaseBytes - before.databaseBytes, before.databaseBytes);
  return found("growth", grown, `${megabytes(before.databaseBytes)} at ${before.at}`);
}

/** The reading that is closest to so many seconds ago, if one is close enough. */
function nearest(earlier: readonly Counters[], now: Counters, ago: number, margin: number): Counters | undefined {
  const distance = (reading: Counters): number => Math.abs(secondsSince(reading, now) - ago);
  const best = [...earlier].sort((a, b) => distance(a) - distance(b))[0];
  return best !== undefined && distance(best) <= margin ? best : undefined;
}

function secondsSince(reading: Counters, now: Counters): number {
  return (Date.parse(now.at) - Date.parse(reading.at)) / 1000;
}

function since({ at }: Counters): string {
  return `since ${at}`;
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : (100 * part) / whole;
}
