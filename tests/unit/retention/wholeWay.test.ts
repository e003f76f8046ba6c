/**
 * A bucket over a year, night by night: schedule, failures, an outage of 90 days, db:prune, S3's lifecycle, object lock. The
 * clocks change and months end on the way, and nothing goes before its promise.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { lockParameters } from "../../../components/bucketLock";
import { lifecycleRules, promisedDays } from "../../../components/bucketLifecycle";
import type { StoredBackup } from "../../../scripts/retention/inventory";
import { planRetention } from "../../../scripts/retention/plan";
import { scheduledTier } from "../../../scripts/retention/scheduledTier";
import { type RetentionSettings, retentionSettingsSchema } from "../../../scripts/settings";
import { lockModes, objectLock, parseLockDays } from "../../../scripts/store/objectLock";
import type { RetentionTier } from "../../../scripts/store/layout";
import { isCampaign } from "../../servers/campaign";

const day = 86_400_000;
const nights = 420;
const outageNights = 90;

interface Year {
  readonly zone: string;
  /** First night, days after 2026-01-01. */
  readonly start: number;
  /** Night on which the outage begins. */
  readonly outage: number;
  /** Whether a dump that fails leaves archives without a manifest, or nothing. */
  readonly leaves: boolean;
  /** Other nights on which the dump fails. */
  readonly failing: ReadonlySet<number>;
  readonly expiredObjectDays: number;
  readonly lock: { readonly mode: "governance" | "compliance"; readonly mostDays: number | undefined };
  readonly retention: RetentionSettings;
}

const promise = (newest: number, days: number) => fc.record({ newest: fc.nat(newest), days: fc.nat(days) });
const years: fc.Arbitrary<Year> = fc.record({
  zone: fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"),
  start: fc.nat(730),
  outage: fc.integer({ min: 1, max: nights - outageNights - 2 }),
  leaves: fc.boolean(),
  failing: fc.uniqueArray(fc.nat(nights - 1), { maxLength: 40 }).map((all) => new Set(all)),
  expiredObjectDays: fc.integer({ min: 1, max: 5 }),
  lock: fc.record({
    mode: fc.constantFrom(...lockModes),
    mostDays: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
  }),
  retention: fc
    .record({
      daily: promise(10, 20),
      weekly: promise(6, 50),
      monthly: promise(4, 200),
      floor: fc.integer({ min: 1, max: 5 }),
    })
    .map((given) => retentionSettingsSchema.parse(given)),
});

/** Half past two by the clocks of `zone`, which some nights do not have and some have twice, in milliseconds since 1970. */
function halfPastTwo(zone: string, night: number): number {
  const wall = Date.UTC(2026, 0, 1 + night, 2, 30);
  const shown = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
  const offset = Date.parse(`${shown.format(new Date(wall)).replace(" ", "T")}Z`) - wall;
  return wall - offset;
}

interface Kept {
  readonly backup: StoredBackup;
  taggedAt?: number;
}

/** S3 acts at midnight UTC, on objects that are old enough by then; whether one is tagged it looks at then. */
function removedBy(time: number, { backup, taggedAt }: Kept, days: number): boolean {
  if (taggedAt === undefined) return false;
  const due = Math.max(taggedAt, backup.takenAt.getTime() + days * day);
  return (Math.floor(due / day) + 1) * day <= time;
}

function scheduledBelow(tier: RetentionTier): ("monthly" | "weekly" | "daily")[] {
  const order = ["monthly", "weekly", "daily"] as const;
  return order.slice(order.indexOf(tier as "monthly"));
}

describe("a year of nights", function () {
  this.timeout(120_000);

  it("removes nothing before its promise, nothing during an outage, and never what is locked", () => {
    let removedInAll = 0;
    fc.assert(
      fc.property(years, (year) => {
        const { retention, expiredObjectDays } = year;
        const [rule] = lifecycleRules({
          ...{ prefix: "prod", expiry: "tag", expiredObjectDays, noncurrentVersionDays: 30, incompleteUploadDays: 7 },
          ...{ coldStorage: "none", coldAfterDays: 30, retention },
        }) as unknown as { expiration: { days: number } }[];
        const days = rule!.expiration.days;
        const given = new URLSearchParams(lockParameters({ ...year.lock, retention }));
        const policy = { mode: year.lock.mode, days: parseLockDays(given.get("lockDays") ?? "") ?? {} };
        let bucket: Kept[] = [];
        const everGood: StoredBackup[] = [];
        for (let night = 0; night < nights; night++) {
          const time = halfPastTwo(year.zone, year.start + night);
          for (const kept of bucket.filter((each) => removedBy(time, each, days))) {
            removedInAll += 1;
            const { backup } = kept;
            const age = (time - backup.takenAt.getTime()) / day;
            if (backup.state === "incomplete") continue;
            for (const tier of scheduledBelow(backup.tier)) {
              assert.ok(age >= retention[tier].days, `${tier}: removed after ${age} days`);
              const newer = everGood.filter(
                (each) => each.takenAt > backup.takenAt && scheduledBelow(each.tier).includes(tier),
              );
              assert.ok(newer.length >= retention[tier].newest, `${tier}: removed with ${newer.length} newer ones`);
            }
            const lockedUntil = objectLock(policy, backup.keys[0]!, backup.takenAt).ObjectLockRetainUntilDate;
            assert.ok((lockedUntil?.getTime() ?? 0) <= time, "a lock outlives its promise");
            assert.ok(age >= Math.min(promisedDays(backup.tier, retention), year.lock.mostDays ?? Infinity));
          }
          bucket = bucket.filter((each) => !removedBy(time, each, days));

          const out = night >= year.outage && night < year.outage + outageNights;
          const succeeds = !out && !year.failing.has(night);
          const good = bucket.map(({ backup }) => backup).filter(({ state }) => state === "complete");
          const taken = backupAt(time, scheduledTier(good, new Date(time)), succeeds);
          if (succeeds) everGood.push(taken);
          if (succeeds || year.leaves) bucket.push({ backup: taken });

          const backups = bucket.map(({ backup, taggedAt }) => ({ ...backup, expiring: taggedAt !== undefined }));
          const plan = planRetention({ backups, named: new Set(), now: new Date(time) }, { ...retention, depth: 4 });
          const before = bucket.filter(({ taggedAt }) => taggedAt !== undefined).length;
          for (const { backup } of plan.remove)
            bucket.find((each) => each.backup.name === backup.name)!.taggedAt ??= time;
          const after = bucket.filter(({ taggedAt }) => taggedAt !== undefined).length;
          if (!succeeds) assert.equal(after, before, "tagged after a failure");
          const left = bucket.filter(({ backup, taggedAt }) => backup.state === "complete" && taggedAt === undefined);
          assert.ok(left.length >= Math.min(retention.floor, everGood.length), `${left.length} left`);
        }
      }),
      { numRuns: isCampaign ? 300 : 12, seed: 8 },
    );
    assert.ok(removedInAll > 0, "nothing was ever removed: the year proves nothing");
  });
});

function backupAt(time: number, tier: RetentionTier, good: boolean): StoredBackup {
  const takenAt = new Date(Math.floor(time / 1000) * 1000);
  const name = `backup_${takenAt.toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15)}`;
  return {
    ...{
      tier,
      name,
      takenAt,
      state: good ? "complete" : "incomplete",
      problem: null,
      bytes: 1,
      rows: 1,
      databaseBytes: 1,
    },
    ...{ keys: [`backups/${tier}/${name}/data-000.dump.zst`], encrypted: false, depth: good ? 4 : 0 },
    ...{ suspect: false, lockedUntil: null, expiring: false },
  };
}
