/**
 * Object lock of the bucket that holds the backups: how long each object is locked, as the program is told it in the
 * store's address. Per object, so that what is replaced (`control/`) stays free of it.
 */
import type { RetentionSettings } from "../scripts/settings";
import { promisedDays, tiers } from "./bucketLifecycle";

export interface LockSettings {
  readonly mode: "none" | "governance" | "compliance";
  /** Most days that anything is locked; undefined: as long as it is promised. */
  readonly mostDays: number | undefined;
  readonly retention: RetentionSettings;
}

/** Days of each tier's backups and of records, by name; what nothing is promised for is not locked and not in here. */
export function lockedDays({ mostDays = Infinity, retention }: LockSettings): ReadonlyMap<string, number> {
  // Records tell what releases did; they outlive the backups of these anyway, for nothing removes them.
  const promised = [
    ...tiers.map((tier) => [tier, promisedDays(tier, retention)] as const),
    ["records", promisedDays("predeploy", retention)] as const,
  ];
  return new Map(
    promised.map(([kind, days]) => [kind, Math.min(days, mostDays)] as const).filter(([, days]) => days > 0),
  );
}

/** What follows the store's address: `?lockMode=governance&lockDays=daily:7,…`; empty: nothing is locked. */
export function lockParameters(settings: LockSettings): string {
  const days = [...lockedDays(settings)].map(([kind, count]) => `${kind}:${count}`);
  return settings.mode === "none" || days.length === 0 ? "" : `?lockMode=${settings.mode}&lockDays=${days.join(",")}`;
}
