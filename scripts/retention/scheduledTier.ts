/**
 * The tier of a scheduled backup, chosen when it starts: monthly if it is its month's first, else weekly if it is its
 * ISO week's first, else daily; in UTC. Nothing is ever copied to another tier.
 */
import { listBackups, listSuspects } from "../backup/manifest";
import { type RetentionTier, backupTime } from "../store/layout";
import type { Store } from "../store/store";
import { readDepths } from "./inventory";

/** A backup that is whole and passed the verification that it was asked for. */
export interface GoodBackup {
  readonly tier: RetentionTier;
  readonly takenAt: Date;
}

/** By listings alone, so that a host which may only write backups can choose. @param now by the database's clock. */
export async function chooseScheduledTier(store: Store, now: Date): Promise<RetentionTier> {
  const [backups, depths, suspects] = await Promise.all([listBackups(store), readDepths(store), listSuspects(store)]);
  const good = backups.flatMap(({ tier, name }): GoodBackup[] => {
    const takenAt = backupTime(name);
    return takenAt === undefined || !depths.has(name) || suspects.has(name) ? [] : [{ tier, takenAt }];
  });
  return scheduledTier(good, now);
}

/** Only good ones count: after a failed first one of the month the next is monthly again. */
export function scheduledTier(good: readonly GoodBackup[], now: Date): RetentionTier {
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
