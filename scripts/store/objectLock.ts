/**
 * Until when S3's object lock keeps what is written to a bucket: counted from the backup itself, so that a copy of it is
 * locked no longer than the original, and never for what is replaced (`control/`).
 */
import type { PutObjectCommandInput } from "@aws-sdk/client-s3";
import { backupTime, backupsPrefix, controlPrefix, retentionTiers } from "./layout";

export const lockModes = ["governance", "compliance"] as const;
export type LockMode = (typeof lockModes)[number];

/** What can be locked for a number of days of its own: the backups of a tier, and all that is no backup. */
export const lockedKinds = [...retentionTiers, "records"] as const;
export type LockedKind = (typeof lockedKinds)[number];

/** S3 takes no more: a hundred years. */
export const mostLockDays = 36_500;

export interface LockPolicy {
  readonly mode: LockMode;
  /** Whole days; what is not named is not locked. */
  readonly days: Readonly<Partial<Record<LockedKind, number>>>;
}

/** What an upload says of its lock. */
export type ObjectLock = Pick<PutObjectCommandInput, "ObjectLockMode" | "ObjectLockRetainUntilDate">;

/** Milliseconds that a lock must have left to be asked for: S3 refuses a date that its own clock has passed. */
const shortestLock = 60_000;

const dayMilliseconds = 86_400_000;

/** `7` for everything, or `daily:7,weekly:35,records:30`; undefined: neither. */
export function parseLockDays(text: string): LockPolicy["days"] | undefined {
  const entries = /^\d+$/.test(text)
    ? lockedKinds.map((kind) => [kind, text] as const)
    : text.split(",").map((entry) => entry.split(":") as [string, string?, ...string[]]);
  const days: Partial<Record<LockedKind, number>> = {};
  for (const [name, number = "", ...rest] of entries) {
    const kind = lockedKinds.find((known) => known === name);
    const count = /^[1-9]\d{0,4}$/.test(number) ? Number(number) : Infinity;
    if (kind === undefined || days[kind] !== undefined || count > mostLockDays || rest.length > 0) return undefined;
    days[kind] = count;
  }
  return days;
}

/**
 * @param now counts for records; a backup's lock counts from its own time, which its key holds.
 * @returns empty where nothing is to be locked, or its days are over.
 */
export function objectLock(policy: LockPolicy | undefined, key: string, now: Date): ObjectLock {
  if (policy === undefined || key.startsWith(controlPrefix)) return {};
  const [kind, since] = key.startsWith(backupsPrefix) ? backupOf(key) : (["records", now] as const);
  const days = kind === undefined ? undefined : policy.days[kind];
  if (days === undefined || since === undefined) return {};
  const until = new Date(since.getTime() + days * dayMilliseconds);
  if (until.getTime() < now.getTime() + shortestLock) return {};
  return {
    ObjectLockMode: policy.mode === "governance" ? "GOVERNANCE" : "COMPLIANCE",
    ObjectLockRetainUntilDate: until,
  };
}

function backupOf(key: string): readonly [LockedKind | undefined, Date | undefined] {
  const [, tier, name = ""] = key.split("/");
  return [retentionTiers.find((known) => known === tier), backupTime(name)];
}
