/** Whatever the settings: S3 removes nothing that a tier still promises, and moves nothing that costs more elsewhere. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type LifecycleSettings, lifecycleRules } from "../../components/bucketLifecycle";
import { type StoredBackup } from "../../scripts/retention/inventory";
import { planRetention } from "../../scripts/retention/plan";
import { type RetentionSettings, retentionSettingsSchema } from "../../scripts/settings";
import { retentionTiers } from "../../scripts/store/layout";
import { isCampaign } from "../servers/campaign";

const promise = fc.record({ newest: fc.integer({ min: 0, max: 20 }), days: fc.integer({ min: 0, max: 400 }) });
const retention = fc
  .record({ daily: promise, weekly: promise, monthly: promise, predeploy: promise, manual: promise })
  .map((tiers): RetentionSettings => retentionSettingsSchema.parse(tiers));
const days = fc.integer({ min: 1, max: 400 });
const settings: fc.Arbitrary<LifecycleSettings> = fc.record({
  prefix: fc.constantFrom("prod", "crm/prod"),
  expiry: fc.constantFrom("tag" as const, "age" as const),
  expiredObjectDays: days,
  noncurrentVersionDays: days,
  incompleteUploadDays: days,
  coldStorage: fc.constantFrom("none" as const, "STANDARD_IA" as const, "GLACIER_IR" as const),
  coldAfterDays: fc.integer({ min: 30, max: 400 }),
  retention,
});
const runs = { numRuns: isCampaign ? 5000 : 500, seed: 8 };

/** A rule as S3 reads it. */
interface Rule {
  readonly id: string;
  readonly filter: { readonly prefix?: string; readonly and?: { readonly prefix: string; readonly tags: object } };
  readonly expiration?: { readonly days?: number };
  readonly transitions?: readonly { readonly days: number; readonly storageClass: string }[];
}

interface StoredObject {
  readonly key: string;
  readonly tagged: boolean;
}

function applies({ filter }: Rule, { key, tagged }: StoredObject): boolean {
  if (filter.and !== undefined) return tagged && key.startsWith(filter.and.prefix);
  return filter.prefix !== undefined && key.startsWith(filter.prefix);
}

/** Days after which S3 may remove the current version; infinite: never. */
function removedAfter(rules: readonly Rule[], object: StoredObject): number {
  return Math.min(
    ...rules.filter((rule) => applies(rule, object)).map((rule) => rule.expiration?.days ?? Infinity),
    Infinity,
  );
}

const rulesOf = (given: LifecycleSettings): Rule[] => lifecycleRules(given) as unknown as Rule[];
const archiveOf = (prefix: string, tier: string): string =>
  `${prefix}/backups/${tier}/backup_20260101_020000/data-000.dump.zst`;
const records = ["receipts/r.json", "releases/r/001-a.json", "verifications/b/v-depth4.json", "control/lease.json"];

describe("components/bucketLifecycle", () => {
  it("removes nothing that was not tagged, however long no dump succeeded, unless age was chosen", () => {
    fc.assert(
      fc.property(settings, (given) => {
        const rules = rulesOf({ ...given, expiry: "tag" });
        for (const tier of retentionTiers)
          assert.equal(removedAfter(rules, { key: archiveOf(given.prefix, tier), tagged: false }), Infinity);
      }),
      runs,
    );
  });

  it("never removes a record, nor what is outside the prefix, tagged or not", () => {
    fc.assert(
      fc.property(settings, fc.boolean(), (given, tagged) => {
        const others = [archiveOf("other", "daily"), `${given.prefix}2/backups/daily/x/manifest.json`];
        for (const key of [...records.map((name) => `${given.prefix}/${name}`), ...others])
          assert.equal(removedAfter(rulesOf(given), { key, tagged }), Infinity, key);
      }),
      runs,
    );
  });

  it("by age removes no backup that db:prune would keep for its tier while the schedule runs, across month ends", () => {
    fc.assert(
      fc.property(settings, fc.integer({ min: 0, max: 730 }), (given, start) => {
        const rules = rulesOf({ ...given, expiry: "age" });
        // Nights of two years in a row, each of the tier that the schedule gives it.
        const nights = nightsFrom(start, 120 + given.retention.monthly.newest * 31);
        const backups = nights.filter(({ tier, age }) => {
          const after = removedAfter(rules, { key: archiveOf(given.prefix, tier), tagged: false });
          // What S3 would have removed by now.
          return age >= after;
        });
        const plan = planRetention(
          { backups: nights.map(stored), named: new Set(), now: new Date(nights.at(-1)!.time) },
          { ...given.retention, floor: 1, depth: 4 },
        );
        assert.equal(plan.refusal, null);
        const kept = new Set(
          plan.keep.filter(({ why }) => !why.startsWith("one of the")).map(({ backup }) => backup.name),
        );
        for (const { name, tier, age } of backups)
          assert.ok(!kept.has(name), `${tier} of ${age} days is still promised`);
      }),
      { ...runs, numRuns: runs.numRuns / 5 },
    );
  });

  it("moves to another class only what stays there for as long as it is paid for", () => {
    const billed: Record<string, number> = { STANDARD_IA: 30, GLACIER_IR: 90 };
    fc.assert(
      fc.property(settings, (given) => {
        for (const rule of rulesOf(given).filter(({ transitions }) => transitions !== undefined)) {
          const [move, ...more] = rule.transitions ?? [];
          assert.deepEqual(more, []);
          assert.ok(move !== undefined && move.days >= 30, "S3 refuses less");
          const tier = retentionTiers.find((name) => rule.id.endsWith(name))!;
          const key = archiveOf(given.prefix, tier);
          const removed = removedAfter(rulesOf({ ...given, expiry: "age" }), { key, tagged: false });
          assert.ok(removed - move.days >= billed[move.storageClass]!, `${rule.id}: ${removed} - ${move.days}`);
        }
      }),
      runs,
    );
  });

  it("has ids that are unique, and no rule that S3 would refuse", () => {
    fc.assert(
      fc.property(settings, (given) => {
        const rules = rulesOf(given);
        assert.equal(new Set(rules.map(({ id }) => id)).size, rules.length);
        for (const { expiration } of rules)
          if (expiration?.days !== undefined) assert.ok(Number.isInteger(expiration.days) && expiration.days >= 1);
      }),
      runs,
    );
  });
});

interface Night {
  readonly name: string;
  readonly tier: "daily" | "weekly" | "monthly";
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Days before the last night. */
  readonly age: number;
}

function nightsFrom(start: number, count: number): Night[] {
  return Array.from({ length: count }, (_, place) => {
    const time = Date.UTC(2024, 0, 1 + start + place, 2);
    const date = new Date(time);
    const tier = date.getUTCDate() === 1 ? "monthly" : date.getUTCDay() === 1 ? "weekly" : "daily";
    const stamp = date.toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15);
    return { name: `backup_${stamp}`, tier, time, age: count - 1 - place };
  });
}

function stored({ name, tier, time }: Night): StoredBackup {
  return {
    tier,
    name,
    takenAt: new Date(time),
    state: "complete",
    problem: null,
    bytes: 1,
    keys: [archiveOf("prod", tier)],
    rows: 1,
    databaseBytes: 1,
    encrypted: false,
    depth: 4,
    suspect: false,
    lockedUntil: null,
    expiring: false,
  };
}
