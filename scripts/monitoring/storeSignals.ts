/** The signals that the store tells: how old and how deep the backups are, drills, the lease, freezes. Reads only. */
import { Unavailable, messageOf } from "../contract/failure";
import { readFreezes } from "../control/freeze";
import { describeHolder, readLease } from "../control/lease";
import { isExpired } from "../control/leaseDocument";
import { readDrillsOf } from "../record/drillRecords";
import { readInventory } from "../retention/inventory";
import { storesOf } from "../store/replicatedStore";
import type { Store } from "../store/store";
import type { SignalName } from "../thresholds";
import { type Reading, absent, attempt, found, megabytes } from "./reading";

export interface StoreSignalInput {
  readonly store: Store;
  /** Minutes that a restore may take. */
  readonly rtoMinutes: number;
  readonly now: Date;
  readonly signal?: AbortSignal | undefined;
}

export const storeSignals = [
  ...["failedVerifications", "freezes", "leaseHours"],
  ...["backupAge", "backupDepth", "backupShrink", "drillAge", "drillRto"],
] as const satisfies readonly SignalName[];

const hour = 3_600_000;
const day = 24 * hour;

export interface StoreSignals {
  readonly readings: readonly Reading[];
  /** The store did not answer. */
  readonly unreachable: boolean;
}

export async function readStoreSignals(input: StoreSignalInput): Promise<StoreSignals> {
  const { store, now, rtoMinutes, signal } = input;
  let unreachable = false;
  const explain = (error: unknown): string => {
    unreachable ||= error instanceof Unavailable;
    return messageOf(error);
  };
  const parts = await Promise.all([
    attempt(["failedVerifications", "freezes"], () => freezes(store), explain),
    attempt(["leaseHours"], () => lease(store, now), explain),
    attempt(["backupAge", "backupDepth", "backupShrink"], () => backups(store, now, signal), explain),
    attempt(["drillAge", "drillRto"], () => drills(store, now, rtoMinutes), explain),
  ]);
  return { readings: parts.flat(), unreachable };
}

async function freezes(store: Store): Promise<Reading[]> {
  const standing = await readFreezes(store);
  const failed = standing.filter(({ kind }) => kind === "failed-verification");
  const receipts = failed.map(({ runId, at }) => `receipt ${runId ?? "unknown"}, ${at}`).join("; ");
  const since = standing.map(({ kind, at }) => `${kind} since ${at}`).join("; ");
  return [
    found("failedVerifications", failed.length, receipts || undefined),
    found("freezes", standing.length, since || undefined),
  ];
}

/** One that has expired is free, whatever it says. */
async function lease(store: Store, now: Date): Promise<Reading[]> {
  const held = await readLease(store);
  if (held === undefined || held.phase === "released" || isExpired(held, now)) return [found("leaseHours", 0, "free")];
  return [found("leaseHours", (now.getTime() - Date.parse(held.takenAt)) / hour, describeHolder(held))];
}

/** What stands for "never", so that an alarm does not fall silent because there is nothing: a hundred years. */
const neverHours = 876_600;

/** Verified and worth restoring: depth 4 or more, not suspect, not about to expire. */
async function backups(store: Store, now: Date, signal: AbortSignal | undefined): Promise<Reading[]> {
  const stored = await readInventory(store, signal === undefined ? {} : { signal });
  const complete = stored.filter(({ state, expiring }) => state === "complete" && !expiring);
  const verified = complete.filter(({ depth, suspect }) => depth >= 4 && !suspect);
  const [newest, before] = [verified.at(-1), verified.at(-2)];
  const latest = complete.at(-1);
  return [
    newest === undefined
      ? found("backupAge", neverHours, "there is no verified backup")
      : found("backupAge", (now.getTime() - newest.takenAt.getTime()) / hour, newest.name),
    latest === undefined
      ? found("backupDepth", 0, "there is no backup")
      : found("backupDepth", latest.depth, latest.name),
    newest === undefined || before === undefined
      ? absent("backupShrink", "there are not two verified backups")
      : found(
          "backupShrink",
          before.bytes === 0 ? 0 : Math.max(0, (100 * (before.bytes - newest.bytes)) / before.bytes),
          `${megabytes(newest.bytes)} after ${megabytes(before.bytes)}`,
        ),
  ];
}

async function drills(store: Store, now: Date, rtoMinutes: number): Promise<Reading[]> {
  const all = await readDrillsOf(storesOf(store));
  const last = all.at(-1);
  const passed = all.findLast(({ verdict }) => verdict === "passed");
  const failed = last?.verdict === "failed" ? `the last one, of ${last.at}, failed` : undefined;
  if (passed === undefined) {
    const why = failed ?? "no restore was ever drilled";
    return [found("drillAge", neverHours / 24, why), absent("drillRto", why)];
  }
  const seconds = Math.max(...passed.locations.map(({ rtoSeconds }) => rtoSeconds ?? 0));
  return [
    found("drillAge", (now.getTime() - Date.parse(passed.at)) / day, failed),
    found("drillRto", (100 * seconds) / (60 * rtoMinutes), `${seconds.toFixed(0)} s of ${rtoMinutes} min`),
  ];
}
