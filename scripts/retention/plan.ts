/**
 * Which backups may go, as a pure function of what is stored. Everything is written so that doubt keeps:
 *
 * - Nothing at all goes after a failure: the newest attempt must be a verified backup that is not suspect. An attempt
 *   that failed is made good by the next one that does not.
 * - Ages are counted to that backup and not to now, and newer backups count for an older one only if they are verified:
 *   a schedule that stands still, or that makes backups which are none, lets nothing expire.
 * - Among verified backups the newest ones are never touched (`floor`), whatever else the settings say.
 */
import type { RetentionSettings } from "../settings";
import type { RetentionTier } from "../store/layout";
import type { StoredBackup } from "./inventory";

export interface RetentionRules extends RetentionSettings {
  /** The depth at which a backup counts as verified here: what the gate demands of its own (`verification.depth`). */
  readonly depth: number;
}

export interface RetentionFacts {
  readonly backups: readonly StoredBackup[];
  /** Names that an open receipt or a standing freeze speaks of. */
  readonly named: ReadonlySet<string>;
  readonly now: Date;
}

export interface PlannedBackup {
  readonly backup: StoredBackup;
  /** Why it goes or stays, for people. */
  readonly why: string;
}

export interface RetentionPlan {
  /** Why nothing goes at all; null: nothing forbids it. */
  readonly refusal: string | null;
  /** Oldest first; empty with a refusal. */
  readonly remove: readonly PlannedBackup[];
  readonly keep: readonly PlannedBackup[];
}

/** Days without a verified backup after which nothing goes, however old: longer than a monthly schedule's pause. */
export const staleAfterDays = 35;

const dayMilliseconds = 86_400_000;

/** A scheduled backup of a higher tier is also that of the tiers below it: of its day and its week. */
const countsFor: Readonly<Record<RetentionTier, readonly RetentionTier[]>> = {
  daily: ["daily"],
  weekly: ["weekly", "daily"],
  monthly: ["monthly", "weekly", "daily"],
  predeploy: ["predeploy"],
  manual: ["manual"],
};

export function planRetention(facts: RetentionFacts, rules: RetentionRules): RetentionPlan {
  const backups = facts.backups.toSorted((a, b) => a.takenAt.getTime() - b.takenAt.getTime());
  const isVerified = (backup: StoredBackup): boolean =>
    backup.state === "complete" && backup.depth >= rules.depth && !backup.suspect && !backup.expiring;
  const refusal = refusalOf(backups.at(-1), isVerified, facts.now, rules.depth);
  const newest = backups.at(-1);
  if (refusal !== null || newest === undefined)
    return { refusal, remove: [], keep: backups.map((backup) => ({ backup, why: "nothing is removed" })) };

  const remove: PlannedBackup[] = [];
  const keep: PlannedBackup[] = [];
  // From the newest on: how many verified ones are newer, by tier and in all.
  const newer = new Map<RetentionTier | "all", number>();
  for (const backup of backups.toReversed()) {
    const ageDays = (newest.takenAt.getTime() - backup.takenAt.getTime()) / dayMilliseconds;
    const reason = whyKept({ backup, ageDays, newer, facts, rules });
    if (reason === undefined) remove.unshift({ backup, why: whyRemoved(backup) });
    else keep.unshift({ backup, why: reason });
    if (!isVerified(backup)) continue;
    for (const tier of [...countsFor[backup.tier], "all" as const]) newer.set(tier, (newer.get(tier) ?? 0) + 1);
  }
  return { refusal: null, remove, keep };
}

function refusalOf(
  newest: StoredBackup | undefined,
  isVerified: (backup: StoredBackup) => boolean,
  now: Date,
  depth: number,
): string | null {
  if (newest === undefined) return "there is no backup";
  if (!isVerified(newest)) return `the newest attempt, ${newest.name}, ${whatFailed(newest, depth)}`;
  const days = Math.floor((now.getTime() - newest.takenAt.getTime()) / dayMilliseconds);
  return days < staleAfterDays ? null : `the newest verified backup, ${newest.name}, is ${days} days old`;
}

function whatFailed(backup: StoredBackup, depth: number): string {
  if (backup.state === "incomplete") return "has no manifest: it failed, or is still running";
  if (backup.problem !== null) return `is damaged: ${backup.problem}`;
  if (backup.suspect) return "is suspect: taken after a release whose verification failed";
  if (backup.expiring) return "is tagged to expire";
  return `was verified to depth ${backup.depth} only, not ${depth}`;
}

/** Undefined: nothing keeps it. */
function whyKept({
  backup,
  ageDays,
  newer,
  facts,
  rules,
}: {
  backup: StoredBackup;
  ageDays: number;
  newer: ReadonlyMap<RetentionTier | "all", number>;
  facts: RetentionFacts;
  rules: RetentionRules;
}): string | undefined {
  const { lockedUntil } = backup;
  if (facts.named.has(backup.name)) return "an open receipt or a freeze names it";
  if (backup.suspect) return "suspect: a person decides";
  if (backup.state === "damaged") return "damaged: a person decides";
  if (lockedUntil !== null)
    return `locked ${lockedUntil === "forever" ? "by a legal hold" : `until ${lockedUntil.toISOString()}`}`;
  if (backup.expiring) return undefined;
  if (backup.state === "incomplete")
    return ageDays < rules.remainsDays ? `no manifest, younger than ${rules.remainsDays} days` : undefined;
  if ((newer.get("all") ?? 0) < rules.floor) return `one of the ${rules.floor} that always stay`;
  for (const tier of countsFor[backup.tier]) {
    if (ageDays < rules[tier].days) return `${tier}: younger than ${rules[tier].days} days`;
    if ((newer.get(tier) ?? 0) < rules[tier].newest) return `${tier}: one of the newest ${rules[tier].newest}`;
  }
  return undefined;
}

function whyRemoved(backup: StoredBackup): string {
  if (backup.expiring) return "tagged already: what is left of it is tagged too";
  return backup.state === "incomplete" ? "left behind without a manifest" : `past what ${backup.tier} promises`;
}
