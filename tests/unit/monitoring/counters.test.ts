/** Rates from readings that the store remembers: what is subtracted from what, and when nothing can be said. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Counters, ratesOf, thinned } from "../../../scripts/monitoring/counters";
import type { Reading } from "../../../scripts/monitoring/reading";
import type { SignalName } from "../../../scripts/thresholds";

const start = Date.parse("2026-11-23T00:00:00Z");
const minute = 60_000;

function reading(minutes: number, over: Partial<Counters> = {}): Counters {
  return {
    at: new Date(start + minutes * minute).toISOString(),
    systemIdentifier: "1",
    database: "crm",
    statsReset: 0,
    commits: 0,
    rollbacks: 0,
    deadlocks: 0,
    blocksHit: 0,
    blocksRead: 0,
    databaseBytes: 1e9,
    statements: null,
    supabase: null,
    replicaErrors: null,
    ...over,
  };
}

function valueOf(readings: readonly Reading[], name: SignalName): number | string | undefined {
  const found = readings.find(({ signal }) => signal === name);
  return found === undefined
    ? undefined
    : "why" in found
      ? `${found.absent ? "absent" : "unread"}: ${found.why}`
      : found.value;
}

describe("rates", () => {
  const before = reading(0, { commits: 1000, rollbacks: 10, deadlocks: 3, blocksHit: 5e5, blocksRead: 1e4 });
  const after = { commits: 1900, rollbacks: 110, deadlocks: 33, blocksHit: 5.95e5, blocksRead: 1.5e4 };

  it("are the differences from the reading before, by the minute and by what happened", () => {
    const rates = ratesOf(reading(5, after), [before]);
    assert.equal(valueOf(rates, "transactions"), 200);
    assert.equal(valueOf(rates, "rollbacks"), 10);
    assert.equal(valueOf(rates, "deadlocks"), 6);
    assert.equal(valueOf(rates, "cacheHits"), 95);
  });

  it("need a reading that is neither too young nor too old, and a server that went on counting", () => {
    for (const earlier of [[], [reading(4.5)], [reading(-70)]])
      assert.match(
        String(valueOf(ratesOf(reading(5, after), earlier), "deadlocks")),
        /^unread: needs an earlier reading/,
      );
    // The youngest that is old enough counts.
    assert.equal(valueOf(ratesOf(reading(5, after), [reading(-30), before, reading(4.9)]), "transactions"), 200);
    assert.match(String(valueOf(ratesOf(reading(5, { ...after, statsReset: 9 }), [before]), "rollbacks")), /anew/);
    assert.match(String(valueOf(ratesOf(reading(5, { ...after, commits: 999 }), [before]), "rollbacks")), /anew/);
  });

  it("of nothing say nothing: no transaction is no rollback, few blocks no share", () => {
    const rates = ratesOf(reading(5, { blocksHit: 10, blocksRead: 5000 }), [reading(0)]);
    assert.equal(valueOf(rates, "rollbacks"), 0);
    assert.match(String(valueOf(rates, "cacheHits")), /^absent: only 5010 blocks/);
    assert.match(String(valueOf(rates, "queryTime")), /^absent: pg_stat_statements/);
  });

  it("of the live replica are told where both readings have its errors, and it went on counting", () => {
    const conflicts = (now: number | null, then: number | null): number | string | undefined =>
      valueOf(ratesOf(reading(5, { replicaErrors: now }), [reading(0, { replicaErrors: then })]), "replicaConflicts");
    assert.equal(conflicts(7, 2), 1);
    assert.match(String(conflicts(7, null)), /^unread: needs an earlier reading of the replica/);
    assert.match(String(conflicts(1, 2)), /^unread: .* anew/);
    assert.equal(conflicts(null, 2), undefined);
  });

  it("of Supabase are told where both readings have them", () => {
    const first = { authRequests: 100, authErrors: 0, failedLogins: 5, poolTimeouts: 1 };
    const second = { authRequests: 200, authErrors: 10, failedLogins: 25, poolTimeouts: 6 };
    const rates = ratesOf(reading(5, { supabase: second }), [reading(0, { supabase: first })]);
    assert.deepEqual(
      (["authRequests", "authErrors", "failedLogins", "apiPoolTimeouts"] as const).map((name) => valueOf(rates, name)),
      [20, 10, 4, 1],
    );
    const one = ratesOf(reading(5, { supabase: second }), [reading(0)]);
    assert.match(String(valueOf(one, "authRequests")), /^unread: the reading before had none/);
    const restarted = ratesOf(reading(5, { supabase: first }), [reading(0, { supabase: second })]);
    assert.match(String(valueOf(restarted, "authErrors")), /began to count anew/);
    assert.equal(valueOf(ratesOf(reading(5), [reading(0)]), "authErrors"), undefined);
  });

  it("of query time compare the last hour with the one before, unless the statistics were reset", () => {
    const statements = (calls: number, milliseconds: number, reset = 0): Partial<Counters> => ({
      statements: { calls, milliseconds, reset },
    });
    const history = [reading(0, statements(0, 0)), reading(62, statements(1000, 2000))];
    assert.equal(valueOf(ratesOf(reading(120, statements(2000, 7000)), history), "queryTime"), 2.5);
    for (const later of [statements(1050, 9000), statements(2000, 7000, 1), statements(900, 1000)])
      assert.match(String(valueOf(ratesOf(reading(120, later), history), "queryTime")), /^unread: needs readings/);
    assert.match(
      String(valueOf(ratesOf(reading(90, statements(2000, 7000)), history), "queryTime")),
      /^unread: needs readings/,
    );
  });

  it("of growth look twelve hours back", () => {
    const grown = reading(720, { databaseBytes: 1.25e9 });
    assert.equal(valueOf(ratesOf(grown, [reading(0), reading(660)]), "growth"), 25);
    assert.match(String(valueOf(ratesOf(grown, [reading(300)]), "growth")), /^unread: needs a reading of 12 hours ago/);
  });

  it("find what they need in a history that stays small, however often it is read", () => {
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 300 }), fc.integer({ min: 0, max: 300 }), (seconds, offset) => {
        let kept: Counters[] = [];
        const reads = Math.ceil((14 * 3600) / seconds);
        for (let place = 0; place < reads; place++) {
          const now = reading((offset + place * seconds) / 60);
          kept = thinned([...kept, now], new Date(now.at));
        }
        const last = Date.parse(kept.at(-1)!.at);
        const ages = kept.map(({ at }) => (last - Date.parse(at)) / minute);
        const near = (age: number, margin: number): boolean => ages.some((found) => Math.abs(found - age) <= margin);
        assert.ok(kept.length <= 45, `${kept.length} are kept`);
        assert.ok(near(60, 15) && near(120, 15) && near(720, 60), ages.join());
        assert.ok(ages.some((age) => age >= 1 && age <= 60));
      }),
      { numRuns: 25 },
    );
  });
});
