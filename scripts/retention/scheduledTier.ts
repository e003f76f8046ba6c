/**
 * The tier of a scheduled backup, chosen when it starts: monthly if it is its month's first, else weekly if it is its
 * ISO week's first, else daily; in UTC. Nothing is ever copied to another tier.
 */
import type { RetentionTier } from "../store/layout";
import type { StoredBackup } from "./inventory";

/**
 * Only what passed the verification that it was asked for counts: after a failed first one of the month the next is
 * monthly again.
 */
export function scheduledTier(
  backups: readonly Pick<StoredBackup, "tier" | "takenAt" | "state" | "depth" | "suspect">[],
  now: Date,
): RetentionTier {
  const good = backups.filter(({ state, depth, suspect }) => state === "complete" && depth > 0 && !suspect);
  const has = (tiers: readonly RetentionTier[], since: Date): boolean =>
    good.some(({ tier, takenAt }) => tiers.includes(tier) && takenAt >= since);
  if (!has(["monthly"], monthStart(now))) return "monthly";
  return has(["weekly", "monthly"], weekStart(now)) ? "daily" : "weekly";
}

function monthStart(time: Date): Date {
  return new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth(), 1));
}

/** ISO weeks begin on Monday. */
function weekStart(time: Date): Date {
  const sinceMonday = (time.getUTCDay() + 6) % 7;
  return new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate() - sinceMonday));
}
