/** The planner of retention under any settings and any history: what it may never let go. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { StoredBackup } from "../../../scripts/retention/inventory";
import { type RetentionRules, planRetention, staleAfterDays } from "../../../scripts/retention/plan";
import { scheduledTier } from "../../../scripts/retention/scheduledTier";
import { retentionSettingsSchema } from "../../../scripts/settings";
import { type RetentionTier, retentionTiers } from "../../../scripts/store/layout";

const day = 86_400_000;
const nobody: ReadonlySet<string> = new Set();
const defaults: RetentionRules = { ...retentionSettingsSchema.parse({}), depth: 4 };

function backupAt(takenAt: Date, other: Partial<StoredBackup> = {}): StoredBackup {
  const stamp = takenAt.toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15);
  return {
    tier: "daily",
    name: `backup_${stamp}`,
    takenAt,
    state: "complete",
    problem: null,
    bytes: 1,
    databaseBytes: 1,
    keys: [],
    rows: 0,
    encrypted: false,
    depth: 4,
    suspect: false,
    lockedUntil: null,
    expiring: false,
    ...other,
  };
}

const isVerified = (backup: StoredBackup): boolean =>
  backup.state === "complete" && backup.depth >= 4 && !backup.suspect && !backup.expiring;

const promise = fc.record({ newest: fc.nat(5), days: fc.nat(60) });
const anyRules: fc.Arbitrary<RetentionRules> = fc.record({
  daily: promise,
  weekly: promise,
  monthly: promise,
  predeploy: promise,
  manual: promise,
  floor: fc.integer({ min: 1, max: 6 }),
  remainsDays: fc.integer({ min: 2, max: 30 }),
  removal: fc.constantFrom("tag", "delete"),
  depth: fc.constant(4),
});

const start = Date.UTC(2026, 0, 1);

/** Up to 40 attempts over some months, most of them good, each a second apart from the others at least. */
const anyHistory: fc.Arbitrary<StoredBackup[]> = fc
  .uniqueArray(
    fc.record({
      seconds: fc.integer({ min: 0, max: 200 * 86_400 }),
      tier: fc.constantFrom(...retentionTiers),
      flaw: fc.constantFrom("none", "none", "none", "none", "incomplete", "damaged", "depth", "suspect", "lock", "tag"),
    }),
    { maxLength: 40, selector: ({ seconds }) => seconds },
  )
  .map((attempts) =>
    attempts.map(({ seconds, tier, flaw }) =>
      backupAt(new Date(start + seconds * 1000), {
        tier,
        state: flaw === "incomplete" || flaw === "damaged" ? flaw : "complete",
        problem: flaw === "damaged" ? "is damaged" : null,
        depth: flaw === "depth" ? 3 : 4,
        suspect: flaw === "suspect",
        lockedUntil: flaw === "lock" ? "forever" : null,
        expiring: flaw === "tag",
      }),
    ),
  );

/** A history that ends well, so that something can go at all. */
const goodHistory = anyHistory.map((backups) => [...backups, backupAt(new Date(start + 201 * day))]);

const soon = new Date(start + 202 * day);

function below(tier: RetentionTier): RetentionTier[] {
  const scheduled: RetentionTier[] = ["monthly", "weekly", "daily"];
  const place = scheduled.indexOf(tier);
  return place === -1 ? [tier] : scheduled.slice(place);
}

describe("retention", () => {
  it("lets nothing go before its promise, whatever the settings", () => {
    fc.assert(
      fc.property(goodHistory, anyRules, (backups, rules) => {
        const newest = backups.at(-1)!;
        for (const { backup } of planRetention({ backups, named: nobody, now: soon }, rules).remove) {
          if (backup.expiring) continue;
          const ageDays = (newest.takenAt.getTime() - backup.takenAt.getTime()) / day;
          if (backup.state === "incomplete") {
            assert.ok(ageDays >= rules.remainsDays);
            continue;
          }
          for (const tier of below(backup.tier)) {
            assert.ok(ageDays >= rules[tier].days, `${tier}: ${ageDays} days`);
            const newer = backups.filter(
              (other) => isVerified(other) && other.takenAt > backup.takenAt && below(other.tier).includes(tier),
            );
            assert.ok(newer.length >= rules[tier].newest, `${tier}: ${newer.length} newer`);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("never goes below the floor of verified backups", () => {
    fc.assert(
      fc.property(goodHistory, anyRules, (backups, rules) => {
        const plan = planRetention({ backups, named: nobody, now: soon }, rules);
        const before = backups.filter(isVerified).length;
        const left = plan.keep.filter(({ backup }) => isVerified(backup)).length;
        assert.ok(left >= Math.min(before, rules.floor), `${left} of ${before} left`);
        assert.equal(plan.keep.length + plan.remove.length, backups.length);
      }),
      { numRuns: 2000 },
    );
  });

  it("never takes what is suspect, damaged, locked or named", () => {
    fc.assert(
      fc.property(goodHistory, anyRules, fc.nat(39), (backups, rules, place) => {
        const name = backups[place % backups.length]!.name;
        const plan = planRetention({ backups, named: new Set([name]), now: soon }, rules);
        for (const { backup } of plan.remove) {
          assert.ok(!backup.suspect && backup.state !== "damaged" && backup.lockedUntil === null);
          assert.notEqual(backup.name, name);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("takes nothing after a failure: the newest attempt must be verified", () => {
    fc.assert(
      fc.property(anyHistory, anyRules, (backups, rules) => {
        const newest = backups.toSorted((a, b) => a.takenAt.getTime() - b.takenAt.getTime()).at(-1);
        const plan = planRetention({ backups, named: nobody, now: soon }, rules);
        if (newest !== undefined && isVerified(newest)) return;
        assert.deepEqual(plan.remove, []);
        assert.notEqual(plan.refusal, null);
      }),
      { numRuns: 2000 },
    );
  });

  it("takes nothing when no backup succeeded for 90 days, and no more than before while the schedule stands still", () => {
    fc.assert(
      fc.property(goodHistory, anyRules, fc.nat(staleAfterDays - 3), (backups, rules, pause) => {
        const later = new Date(soon.getTime() + pause * day);
        const [now, then] = [soon, later].map((time) => planRetention({ backups, named: nobody, now: time }, rules));
        assert.deepEqual(then, now);
        const stale = new Date(soon.getTime() + 90 * day);
        assert.deepEqual(planRetention({ backups, named: nobody, now: stale }, rules).remove, []);
      }),
      { numRuns: 500 },
    );
  });

  it("is the same whatever the order in which the store lists", () => {
    fc.assert(
      fc.property(goodHistory, anyRules, (backups, rules) => {
        const listed = planRetention({ backups, named: nobody, now: soon }, rules);
        assert.deepEqual(planRetention({ backups: backups.toReversed(), named: nobody, now: soon }, rules), listed);
      }),
    );
  });

  it("does let go: after what it promises, and of what interrupted runs left behind", () => {
    const backups = Array.from({ length: 30 }, (_, n) => backupAt(new Date(start + n * day)));
    const remains = backupAt(new Date(start + 1000), { state: "incomplete", depth: 0 });
    const plan = planRetention(
      { backups: [remains, ...backups], named: nobody, now: new Date(start + 30 * day) },
      defaults,
    );
    assert.deepEqual(
      plan.remove.map(({ backup }) => backup.name),
      [...backups.slice(0, 1), remains, ...backups.slice(1, 23)].map(({ name }) => name),
    );
  });

  it("says why it refuses", () => {
    const good = backupAt(new Date(start));
    const refusal = (newest: Partial<StoredBackup>, now = new Date(start + 2 * day)): string | null =>
      planRetention({ backups: [good, backupAt(new Date(start + day), newest)], named: nobody, now }, defaults).refusal;
    assert.equal(refusal({}), null);
    assert.match(refusal({ state: "incomplete" }) ?? "", /has no manifest: it failed, or is still running/);
    assert.match(refusal({ state: "damaged", problem: "of another version" }) ?? "", /is damaged: of another version/);
    assert.match(refusal({ depth: 2 }) ?? "", /was verified to depth 2 only, not 4/);
    assert.match(refusal({ suspect: true }) ?? "", /is suspect/);
    assert.match(refusal({}, new Date(start + 40 * day)) ?? "", /is 39 days old/);
    assert.equal(planRetention({ backups: [], named: nobody, now: soon }, defaults).refusal, "there is no backup");
  });
});

describe("a schedule under retention", () => {
  /** A backup every night of three years, pruned each time, through months of every length and a leap day. */
  it("always has the last 7 days, 5 weeks and 12 months, and does not grow", function () {
    this.timeout(20_000);
    let stored: StoredBackup[] = [];
    const first = Date.UTC(2027, 0, 1, 2, 30);
    for (let night = 0; night < 3 * 366; night++) {
      const now = new Date(first + night * day);
      const tier = scheduledTier(stored, now);
      stored.push(backupAt(now, { tier }));
      const plan = planRetention({ backups: stored, named: nobody, now }, defaults);
      stored = plan.keep.map(({ backup }) => backup);

      const has = (days: number): boolean =>
        stored.some(({ takenAt }) => now.getTime() - takenAt.getTime() === days * day);
      for (let days = 0; days <= Math.min(6, night); days++) assert.ok(has(days), `${now.toISOString()}: day -${days}`);
      for (let months = 0; months < 12; months++) {
        const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months, 1, 2, 30));
        if (month.getTime() < first) continue;
        const monthly = stored.filter((backup) => backup.tier === "monthly");
        assert.ok(
          monthly.some(({ takenAt }) => takenAt.getTime() === month.getTime()),
          `month ${month.toISOString()}`,
        );
      }
      const monday = now.getTime() - ((now.getUTCDay() + 6) % 7) * day;
      for (let weeks = 0; weeks < 5; weeks++) {
        const from = monday - weeks * 7 * day;
        if (from < first) continue;
        const inWeek = stored.filter(({ takenAt }) => takenAt.getTime() >= from && takenAt.getTime() < from + 7 * day);
        assert.ok(inWeek.length > 0, `${now.toISOString()}: week -${weeks}`);
      }
      assert.ok(stored.length <= 7 + 6 + 13, `${stored.length} backups`);
    }
  });

  it("chooses monthly, weekly, daily", () => {
    const at = (text: string): Date => new Date(`${text}T02:00:00Z`);
    const good = (text: string, tier: RetentionTier): StoredBackup => backupAt(at(text), { tier });
    assert.equal(scheduledTier([], at("2026-11-18")), "monthly");
    const november = good("2026-11-01", "monthly");
    // The first of November 2026 is a Sunday, so the second begins a week.
    assert.equal(scheduledTier([november], at("2026-11-02")), "weekly");
    assert.equal(scheduledTier([november, good("2026-11-02", "weekly")], at("2026-11-03")), "daily");
    assert.equal(scheduledTier([november, good("2026-11-02", "weekly")], at("2026-11-08")), "daily");
    assert.equal(scheduledTier([november], at("2026-12-01")), "monthly");
    // A month's first in the middle of a week is also that week's.
    const december = good("2026-12-01", "monthly");
    assert.equal(scheduledTier([good("2026-11-30", "weekly"), december], at("2026-12-02")), "daily");
    assert.equal(scheduledTier([december], at("2026-12-03")), "daily");
    assert.equal(scheduledTier([good("2027-01-01", "monthly")], at("2027-01-04")), "weekly");
  });
});
