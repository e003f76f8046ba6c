/** Every signal at one moment, judged by its thresholds: what `db:health` prints and emits. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Unavailable, messageOf } from "../contract/failure";
import { withConnection } from "../database/connect";
import { type DatabaseTarget, describeTarget } from "../database/target";
import type { Store } from "../store/store";
import { type StoreDatabase, demandOwnStore } from "../store/storeIdentity";
import {
  type SignalName,
  type SignalUnit,
  type ThresholdChanges,
  type Thresholds,
  metricName,
  signalDefinitions,
  signalGroups,
  signalNames,
  thresholdsOf,
} from "../thresholds";
import { type Counters, rateSignals, ratesOf, remember } from "./counters";
import { type DatabaseSignals, readDatabaseSignals } from "./databaseSignals";
import type { Metric, MetricUnit } from "./emitMetrics";
import { type Reading, absent, found, unread } from "./reading";
import { type StoreSignals, readStoreSignals, storeSignals } from "./storeSignals";
import { readSupabaseSignals } from "./supabaseSignals";

/** `shown`: it has no threshold. `absent`: there is nothing to measure. `unread`: it could not be measured. */
const states = ["ok", "warn", "critical", "shown", "absent", "unread"] as const;

export const healthSchema = z.object({
  schemaVersion: z.literal(1),
  /** `unreachable`: the database or the store did not answer; otherwise the worst state. */
  verdict: z.enum(["ok", "warn", "critical", "unreachable"]),
  /** Where it was read, never with a password. */
  database: z.string(),
  store: z.string().nullable(),
  at: z.iso.datetime(),
  signals: z.array(
    z.object({
      signal: z.enum(signalNames as [SignalName, ...SignalName[]]),
      group: z.enum(signalGroups),
      title: z.string(),
      unit: z.string(),
      state: z.enum(states),
      /** Null: `absent` or `unread`. */
      value: z.number().nullable(),
      warn: z.number().nullable(),
      critical: z.number().nullable(),
      /** What the value is of, or why there is none; null: nothing to add. */
      detail: z.string().nullable(),
    }),
  ),
  /** What went wrong without stopping anything. */
  warnings: z.array(z.string()),
});

export type Health = z.infer<typeof healthSchema>;
export type HealthSignal = Health["signals"][number];

export interface HealthInput {
  readonly target: DatabaseTarget;
  /** Undefined: no store was named. */
  readonly store: Store | undefined;
  /** Of the stack's settings. */
  readonly thresholds: ThresholdChanges;
  /** Minutes that a restore may take. */
  readonly rtoMinutes: number;
  /** Seconds to measure differences over; undefined: against the reading that the store remembers. */
  readonly window: number | undefined;
  /** Where Supabase's access stands. Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Asks the live replica. Default: there is none. */
  readonly replica?: () => Promise<ReplicaReadings>;
  readonly signal?: AbortSignal;
}

/** What the live replica tells. */
export interface ReplicaReadings {
  readonly readings: readonly Reading[];
  /** Errors and conflicts since the replica counts; null: it was not read. */
  readonly errors: number | null;
}

const replicaSignals = [
  ...["replicaFollows", "replicaSeconds", "replicaBytes", "replicaSlotBytes", "replicaSlotRoom"],
  "replicaConflicts",
] as const satisfies readonly SignalName[];

/**
 * Changes nothing but the store's memory of the last readings (`control/health.json`).
 *
 * @throws UsageError when something is configured wrongly, or the store is another database's. What cannot be reached is
 *   a finding.
 */
export async function checkHealth(input: HealthInput): Promise<Health> {
  const { store, window, signal } = input;
  const before = window === undefined ? undefined : await sample(input);
  if (window !== undefined) await sleep(window * 1000, undefined, signal === undefined ? {} : { signal });
  const now = new Date();
  const [sampled, ofStore] = await Promise.all([sample(input), readStore(input, now)]);
  const warnings: string[] = [];
  const readings = [...sampled.readings, ...ofStore.readings];
  const { counters } = sampled;
  if ("why" in counters) {
    readings.push(...rateSignals.map((name) => unread(name, counters.why)));
  } else {
    if (store !== undefined && !ofStore.unreachable) await demandOwnStore(store, identityOf(counters));
    const first = before === undefined || "why" in before.counters ? [] : [before.counters];
    const earlier = before === undefined && store !== undefined ? await recall(store, counters, warnings) : first;
    readings.push(...ratesOf(counters, earlier, before === undefined ? undefined : 0));
  }
  const signals = signalNames.map((name) => judge(name, readingOf(name, readings), input.thresholds));
  return {
    schemaVersion: 1,
    verdict: sampled.unreachable || ofStore.unreachable ? "unreachable" : worstOf(signals),
    database: describeTarget(input.target),
    store: store?.url ?? null,
    at: now.toISOString(),
    signals,
    warnings,
  };
}

interface Sample {
  readonly readings: readonly Reading[];
  /** Or why there are none. */
  readonly counters: Counters | { readonly why: string };
  /** The database did not answer. */
  readonly unreachable: boolean;
}

/** What the database and its platform say at this moment. */
async function sample({ target, env = process.env, replica, signal }: HealthInput): Promise<Sample> {
  const [database, supabase, live] = await Promise.all([
    readDatabase(target),
    readSupabaseSignals(env, signal),
    readReplica(replica),
  ]);
  const readings = [...database.readings, ...supabase.readings, ...live.readings];
  const { counters, unreachable } = database;
  return {
    readings,
    counters: "why" in counters ? counters : { ...counters, supabase: supabase.counters, replicaErrors: live.errors },
    unreachable,
  };
}

async function readReplica(ask: HealthInput["replica"]): Promise<ReplicaReadings> {
  const none = (reading: (name: SignalName) => Reading): ReplicaReadings => ({
    readings: replicaSignals.map(reading),
    errors: null,
  });
  if (ask === undefined) return none((name) => absent(name, "no live replica is configured (replica)"));
  try {
    return await ask();
  } catch (error) {
    // A replica that does not answer does not follow.
    return none((name) =>
      name === "replicaFollows" ? found(name, 0, messageOf(error)) : unread(name, messageOf(error)),
    );
  }
}

async function readDatabase(target: DatabaseTarget): Promise<DatabaseSignals & { readonly unreachable: boolean }> {
  try {
    const { readings, counters } = await withConnection(target, readDatabaseSignals);
    return { readings: [found("up", 1), ...readings], counters, unreachable: false };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return { readings: [found("up", 0, error.message)], counters: { why: noAnswer }, unreachable: true };
  }
}

const noAnswer = "the database does not answer";

async function readStore({ store, rtoMinutes, signal }: HealthInput, now: Date): Promise<StoreSignals> {
  if (store !== undefined) return readStoreSignals({ store, rtoMinutes, now, signal });
  return { readings: storeSignals.map((name) => absent(name, "BACKUP_STORE is not set")), unreachable: false };
}

function identityOf({ systemIdentifier, database }: Counters): StoreDatabase {
  return { systemIdentifier, name: database };
}

/** A store that cannot be written to must not keep anybody from seeing how the database is. */
async function recall(store: Store, counters: Counters, warnings: string[]): Promise<Counters[]> {
  try {
    return await remember(store, counters);
  } catch (error) {
    warnings.push(`this reading is not remembered, so the next one has nothing to subtract: ${messageOf(error)}`);
    return [];
  }
}

function readingOf(name: SignalName, readings: readonly Reading[]): Reading {
  return readings.find(({ signal }) => signal === name) ?? unread(name, noAnswer);
}

function judge(name: SignalName, reading: Reading, changes: ThresholdChanges): HealthSignal {
  const { group, title, unit } = signalDefinitions[name];
  const thresholds = thresholdsOf(name, changes);
  const { warn, critical } = thresholds;
  const common = { signal: name, group, title, unit, warn, critical };
  if ("why" in reading)
    return { ...common, state: reading.absent ? "absent" : "unread", value: null, detail: reading.why };
  return { ...common, state: stateOf(reading.value, thresholds), value: reading.value, detail: reading.detail ?? null };
}

function stateOf(value: number, { bad, warn, critical }: Thresholds): HealthSignal["state"] {
  const reaches = (threshold: number | null): boolean =>
    threshold !== null && (bad === "above" ? value >= threshold : value < threshold);
  if (reaches(critical)) return "critical";
  if (reaches(warn)) return "warn";
  return warn === null && critical === null ? "shown" : "ok";
}

function worstOf(signals: readonly HealthSignal[]): Health["verdict"] {
  const found = signals.map(({ state }) => state);
  if (found.includes("critical")) return "critical";
  return found.includes("warn") ? "warn" : "ok";
}

const metricUnits: Readonly<Partial<Record<SignalUnit, MetricUnit>>> = { "%": "Percent", s: "Seconds", bytes: "Bytes" };

/** A signal without a value is no metric: its alarm sees that it is missing. */
export function metricsOf({ signals }: Health): Metric[] {
  return signals.flatMap(({ signal, value }) => {
    const unit = metricUnits[signalDefinitions[signal].unit] ?? "None";
    return value === null ? [] : [{ name: metricName(signal), unit, value }];
  });
}
