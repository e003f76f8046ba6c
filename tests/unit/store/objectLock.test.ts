/** Nothing is locked for longer than it is promised, nothing that is replaced is locked, and a copy never outlives its original. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { lockParameters, lockedDays } from "../../../components/bucketLock";
import { promisedDays } from "../../../components/bucketLifecycle";
import { retentionSettingsSchema } from "../../../scripts/settings";
import { type LockPolicy, lockModes, lockedKinds, objectLock, parseLockDays } from "../../../scripts/store/objectLock";
import { backupTime, controlPrefix, retentionTiers } from "../../../scripts/store/layout";
import { isCampaign } from "../../servers/campaign";

const day = 86_400_000;
const promise = fc.record({ newest: fc.integer({ min: 0, max: 20 }), days: fc.integer({ min: 0, max: 400 }) });
const retention = fc
  .record({ daily: promise, weekly: promise, monthly: promise, predeploy: promise, manual: promise })
  .map((tiers) => retentionSettingsSchema.parse(tiers));
const settings = fc.record({
  mode: fc.constantFrom(...lockModes),
  mostDays: fc.option(fc.integer({ min: 1, max: 500 }), { nil: undefined }),
  retention,
});
/** Through leap days, the ends of months, and the hours at which clocks are changed. */
const instant = fc.date({
  min: new Date("2023-12-01T00:00:00Z"),
  max: new Date("2032-03-31T00:00:00Z"),
  noInvalidDate: true,
});
const runs = { numRuns: isCampaign ? 20_000 : 1000, seed: 8 };

/** What the program makes of the address that the bucket's component hands on. */
function policyOf(parameters: string): LockPolicy | undefined {
  const given = new URLSearchParams(parameters);
  const days = parseLockDays(given.get("lockDays") ?? "");
  const mode = lockModes.find((known) => known === given.get("lockMode"));
  return mode === undefined || days === undefined ? undefined : { mode, days };
}

function nameAt(time: Date): string {
  return `backup_${time.toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15)}`;
}

describe("store/objectLock", () => {
  it("locks a backup until its tier's promise is over, or for lockDays, and not a second longer", () => {
    fc.assert(
      fc.property(settings, instant, fc.integer({ min: 0, max: 500 * day }), (given, taken, later) => {
        const policy = policyOf(lockParameters(given));
        const written = new Date(taken.getTime() + later);
        for (const tier of retentionTiers) {
          const name = nameAt(taken);
          const key = `backups/${tier}/${name}/data-000.dump.zst`;
          const { ObjectLockMode, ObjectLockRetainUntilDate: until } = objectLock(policy, key, written);
          const end =
            backupTime(name)!.getTime() + Math.min(promisedDays(tier, given.retention), given.mostDays ?? 1e9) * day;
          if (end < written.getTime() + 60_000) {
            assert.equal(until, undefined, "S3 refuses a date that has passed");
            continue;
          }
          assert.equal(until?.getTime(), end);
          assert.equal(ObjectLockMode, given.mode.toUpperCase());
        }
      }),
      runs,
    );
  });

  it("never locks control/, and records no longer than what they speak of", () => {
    fc.assert(
      fc.property(settings, instant, (given, now) => {
        const policy = policyOf(lockParameters(given));
        for (const name of ["lease.json", "s3-support.json"])
          assert.deepEqual(objectLock(policy, `${controlPrefix}${name}`, now), {});
        for (const key of ["receipts/r.json", "store.json", "verifications/b/v-depth4.json"]) {
          const until = objectLock(policy, key, now).ObjectLockRetainUntilDate;
          const most = Math.min(promisedDays("predeploy", given.retention), given.mostDays ?? 1e9);
          assert.ok((until?.getTime() ?? 0) - now.getTime() <= most * day, key);
          assert.equal(until === undefined, most === 0);
        }
      }),
      runs,
    );
  });

  it("takes what the component hands on, whatever the settings, and nothing that is half right", () => {
    fc.assert(
      fc.property(settings, (given) => {
        const wanted = Object.fromEntries(lockedDays(given));
        assert.deepEqual(policyOf(lockParameters(given))?.days ?? {}, wanted);
        assert.equal(lockParameters({ ...given, mode: "none" }), "");
      }),
      runs,
    );
    assert.deepEqual(parseLockDays("7"), Object.fromEntries(lockedKinds.map((kind) => [kind, 7])));
    for (const text of [
      "",
      "0",
      "-1",
      "1.5",
      "daily",
      "daily:",
      "daily:0",
      "daily:7,daily:8",
      "daily:7:8",
      "daily:7,",
      "36501",
    ])
      assert.equal(parseLockDays(text), undefined, text);
  });

  it("locks nothing that lies below backups/ without being a backup's", () => {
    const policy: LockPolicy = { mode: "compliance", days: { daily: 7 } };
    for (const key of [
      "backups/daily/notes/x",
      "backups/hourly/backup_20260101_000000/x",
      "backups/weekly/backup_20260101_000000/x",
    ])
      assert.deepEqual(objectLock(policy, key, new Date("2026-01-01T00:00:00Z")), {});
    assert.deepEqual(objectLock(undefined, "backups/daily/backup_20260101_000000/x", new Date(0)), {});
  });
});
