/**
 * The lifecycle rules of the bucket that holds the backups: what S3 removes, or moves to a cheaper class, by itself. Only
 * below the store's prefix, so that an adopted bucket's other objects are nobody's business.
 */
import type { input } from "@pulumi/aws/types";
import type { RetentionSettings } from "../scripts/settings";

/** Classes that are read at once, as a restore must; those that have to be thawed first are not offered. */
export type ColdStorage = "none" | "STANDARD_IA" | "GLACIER_IR";

export interface LifecycleSettings {
  /** Prefix of the store's keys, without slashes at its ends. */
  readonly prefix: string;
  /** `tag`: only what `db:prune` tagged is removed; `age`: also every backup that is older than its tier promises. */
  readonly expiry: "tag" | "age";
  /** Days after which an object that was tagged `expire=yes` is removed. */
  readonly expiredObjectDays: number;
  /** Days that an overwritten or removed object can still be brought back. */
  readonly noncurrentVersionDays: number;
  /** Days after which the parts of an upload that never finished are removed. */
  readonly incompleteUploadDays: number;
  /** Where backups move that stay long enough for it to be cheaper. */
  readonly coldStorage: ColdStorage;
  /** Days after which they move. */
  readonly coldAfterDays: number;
  /** What the tiers promise. */
  readonly retention: RetentionSettings;
}

type Rule = input.s3.BucketLifecycleConfigurationRule;
export type Tier = "daily" | "weekly" | "monthly" | "predeploy" | "manual";

/** A scheduled backup of a higher tier keeps the promises of those below it as well, as `db:prune` reckons. */
const countsFor: Readonly<Record<Tier, readonly Tier[]>> = {
  daily: ["daily"],
  weekly: ["weekly", "daily"],
  monthly: ["monthly", "weekly", "daily"],
  predeploy: ["predeploy"],
  manual: ["manual"],
};

/** Longest days from one backup of a tier to the next, while the schedule runs; by hand there is no such thing. */
const cadenceDays: Readonly<Record<Tier, number>> = { daily: 1, weekly: 7, monthly: 31, predeploy: 0, manual: 0 };

/** Days for which a class is paid for whatever happens: https://aws.amazon.com/s3/storage-classes/ */
const minimumBilledDays: Readonly<Record<Exclude<ColdStorage, "none">, number>> = { STANDARD_IA: 30, GLACIER_IR: 90 };

/** S3 moves nothing to STANDARD_IA that is younger: a rule that says otherwise is refused. */
export const earliestColdDays = 30;

/** S3 rounds up to the next midnight UTC, so that nothing is ever removed before so many whole days have passed. */
export function lifecycleRules(settings: LifecycleSettings): Rule[] {
  const { prefix } = settings;
  const all = { prefix: `${prefix}/` };
  return [
    {
      id: "expire-tagged",
      status: "Enabled",
      filter: { and: { prefix: `${prefix}/backups/`, tags: { expire: "yes" } } },
      expiration: { days: settings.expiredObjectDays },
    },
    ...(settings.expiry === "age" ? tiers.map((tier) => expireByAge(tier, settings)) : []),
    ...tiers.flatMap((tier) => moveToCold(tier, settings)),
    {
      id: "remove-noncurrent-versions",
      status: "Enabled",
      filter: all,
      noncurrentVersionExpiration: { noncurrentDays: settings.noncurrentVersionDays },
    },
    {
      id: "remove-leftovers",
      status: "Enabled",
      filter: all,
      expiration: { expiredObjectDeleteMarker: true },
      abortIncompleteMultipartUpload: { daysAfterInitiation: settings.incompleteUploadDays },
    },
  ];
}

export const tiers = Object.keys(countsFor) as readonly Tier[];

/** Days that a backup of this tier is promised to be kept, whatever else there is. */
export function promisedDays(tier: Tier, retention: RetentionSettings): number {
  return Math.max(...countsFor[tier].map((counted) => retention[counted].days));
}

function expireByAge(tier: Tier, { prefix, retention }: LifecycleSettings): Rule {
  const lifetimes = countsFor[tier].map((counted) => {
    const { days, newest } = retention[counted];
    // The newest 7 daily ones are all younger than 7 days only if every night's is on time: one more, for one that is not.
    const spanned = cadenceDays[counted] === 0 || newest === 0 ? 0 : newest * cadenceDays[counted] + 1;
    return Math.max(days, spanned);
  });
  return {
    id: `expire-${tier}`,
    status: "Enabled",
    filter: { prefix: `${prefix}/backups/${tier}/` },
    expiration: { days: Math.max(1, ...lifetimes) },
  };
}

/** Only where what is left of the promised days is at least what the class makes one pay for. */
function moveToCold(tier: Tier, { prefix, coldStorage, coldAfterDays, retention }: LifecycleSettings): Rule[] {
  if (coldStorage === "none") return [];
  if (promisedDays(tier, retention) - coldAfterDays < minimumBilledDays[coldStorage]) return [];
  return [
    {
      id: `cold-${tier}`,
      status: "Enabled",
      filter: { prefix: `${prefix}/backups/${tier}/` },
      transitions: [{ days: coldAfterDays, storageClass: coldStorage }],
    },
  ];
}
