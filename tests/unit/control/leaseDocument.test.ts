/** Who may take the lease, in every state that its document can be in. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type LeaseDocument,
  type LeaseHolder,
  claimOf,
  currentReceipt,
  describeHolder,
  extended,
  isExpired,
  passed,
  released,
  taken,
} from "../../../scripts/control/leaseDocument";

const ttl = 90;
const start = new Date("2026-11-22T10:00:00.000Z");
const holder: LeaseHolder = { stack: "crm/prod", runId: "run-1", host: "ci-1", pid: 42, processStart: "boot-1" };
const sameStack: LeaseHolder = { ...holder, runId: "run-2", pid: 43 };
const otherStack: LeaseHolder = { ...sameStack, stack: "crm/staging" };
const receipt = { receiptSha256: "ab".repeat(32), releaseVersion: "v1" };

const at = (seconds: number): Date => new Date(start.getTime() + seconds * 1000);
const alive = (): "alive" => "alive";
const gone = (): "gone" => "gone";

describe("who may take the lease", () => {
  const gating = taken(undefined, holder, start, ttl);
  const done = passed(gating, receipt, at(30), 3600);

  it("anybody, when it was never taken or was given back", () => {
    assert.deepEqual(claimOf(undefined, holder, start), { may: true, because: "free" });
    assert.deepEqual(claimOf(released(gating, at(1)), otherStack, at(1), { fate: alive }), {
      may: true,
      because: "free",
    });
  });

  it("nobody, also not the same stack, while a gate runs", () => {
    assert.deepEqual(claimOf(gating, sameStack, at(89), { fate: alive }), { may: false });
    assert.deepEqual(claimOf(gating, otherStack, at(89), { fate: alive }), { may: false });
    assert.deepEqual(claimOf(gating, otherStack, at(89), { fate: () => "unknown" }), { may: false });
  });

  it("anybody, when the gate's process has ended or its time is over", () => {
    assert.deepEqual(claimOf(gating, otherStack, at(1), { fate: gone }), { may: true, because: "holder gone" });
    assert.deepEqual(claimOf(gating, otherStack, at(90), { fate: alive }), { may: true, because: "expired" });
  });

  it("the same stack at once when the gate passed, another one when the release's time is over", () => {
    assert.deepEqual(claimOf(done, sameStack, at(31), { fate: alive }), { may: true, because: "same stack" });
    assert.deepEqual(claimOf(done, sameStack, at(31), { fate: alive, takeOver: false }), { may: false });
    assert.deepEqual(claimOf(done, otherStack, at(31), { fate: gone }), { may: false });
    assert.deepEqual(claimOf(done, otherStack, at(30 + 3600), { fate: gone }), { may: true, because: "expired" });
  });

  it("a taking forgets the former receipt and counts on", () => {
    const next = taken(done, sameStack, at(40), ttl);
    assert.equal(next.token, 2);
    assert.equal(next.receiptSha256, null);
    assert.equal(taken(released(next, at(41)), holder, at(42), ttl).token, 3);
  });

  it("extending never brings the end nearer", () => {
    assert.equal(extended(done, at(31), 10).expiresAt, done.expiresAt);
    assert.equal(extended(done, at(31), 7200).expiresAt, at(31 + 7200).toISOString());
  });

  it("only a passed lease that nobody else may take names a receipt", () => {
    assert.equal(currentReceipt(undefined), undefined);
    assert.equal(currentReceipt(gating, at(1)), undefined);
    assert.deepEqual(currentReceipt(done, at(31)), {
      runId: "run-1",
      sha256: receipt.receiptSha256,
      releaseVersion: "v1",
      token: 1,
    });
    assert.equal(currentReceipt(done, at(30 + 3600)), undefined);
    assert.equal(currentReceipt(released(done, at(31)), at(31)), undefined);
  });

  it("its holder is described for whoever has to wait", () => {
    assert.equal(
      describeHolder(gating),
      "run run-1 of crm/prod (gate running, process 42 on ci-1) since 2026-11-22T10:00:00.000Z, until 2026-11-22T10:01:30.000Z unless renewed",
    );
  });
});

/**
 * Two runs of different stacks do what runs do, in any order, each step split where another process can come
 * between: a decision is made on what was read, and written by compare-and-swap later.
 */
describe("lease under any interleaving of two runs", () => {
  interface Register {
    document: LeaseDocument | undefined;
    version: number;
  }
  interface Actor {
    readonly stack: string;
    runs: number;
    alive: boolean;
    /** What this run believes it holds. */
    held: { document: LeaseDocument; version: number } | undefined;
    /** Decided, not yet written. */
    pending: { kind: "take" | "renew" | "pass" | "release"; next: LeaseDocument; expected: number } | undefined;
  }

  const step = fc.record({
    actor: fc.nat(1),
    action: fc.constantFrom("take", "renew", "pass", "release", "write", "write", "write", "crash"),
    seconds: fc.constantFrom(0, 0, 1, 20, 100),
  });

  it("never two holders with one token, no token falls, and who was overtaken cannot write", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 120 }), (steps) => {
        const register: Register = { document: undefined, version: 0 };
        const actors: [Actor, Actor] = [newActor("crm/a"), newActor("crm/b")];
        const takings = new Map<number, string>();
        let seconds = 0;

        for (const { actor: place, action, seconds: passing } of steps) {
          seconds += passing;
          const now = at(seconds);
          const actor = actors[place] ?? actors[0];
          const other = actors[1 - place] ?? actors[1];
          const before = register.document;
          act(actor, action, now);

          const after = register.document;
          assert.ok((after?.token ?? 0) >= (before?.token ?? 0), "the token fell");
          if (after !== before && after !== undefined && after.token !== before?.token) {
            assert.equal(takings.get(after.token), undefined, `token ${after.token} was given twice`);
            takings.set(after.token, after.holder.runId);
            // Nobody lost a running, unexpired gate to another.
            if (before?.phase === "gating" && !isExpired(before, now)) assert.ok(!isAlive(before.holder), "robbed");
            if (before?.phase === "passed" && !isExpired(before, now))
              assert.equal(before.holder.stack, after.holder.stack, "another stack took a release");
          }
          if (after !== before && after !== undefined && after.token === before?.token)
            assert.equal(after.holder.runId, before.holder.runId, "one token, two holders");
          // What this run just wrote successfully, the other one cannot hold too.
          if (actor.held !== undefined && actor.held.version === register.version)
            assert.notEqual(other.held?.version, register.version, "both hold the current lease");
        }

        function act(actor: Actor, action: string, now: Date): void {
          if (!actor.alive) {
            Object.assign(actor, { alive: true, runs: actor.runs + 1, held: undefined, pending: undefined });
            return;
          }
          if (action === "crash") {
            actor.alive = false;
          } else if (action === "write") {
            write(actor);
          } else if (action === "take") {
            const me = holderOf(actor);
            const fate = (who: Pick<LeaseHolder, "pid" | "processStart">): "alive" | "gone" =>
              isAlive(who) ? "alive" : "gone";
            if (actor.held === undefined && claimOf(register.document, me, now, { fate: fate }).may)
              actor.pending = {
                kind: "take",
                next: taken(register.document, me, now, ttl),
                expected: register.version,
              };
          } else if (actor.held !== undefined) {
            const { document, version } = actor.held;
            if (action === "renew" && document.phase === "gating")
              actor.pending = { kind: "renew", next: extended(document, now, ttl), expected: version };
            if (action === "pass" && document.phase === "gating")
              actor.pending = { kind: "pass", next: passed(document, receipt, now, 3600), expected: version };
            if (action === "release")
              actor.pending = { kind: "release", next: released(document, now), expected: version };
          }
        }

        function write(actor: Actor): void {
          const { pending } = actor;
          actor.pending = undefined;
          if (pending === undefined) return;
          const won = pending.expected === register.version;
          if (pending.kind !== "take" && register.document?.holder.runId !== pending.next.holder.runId)
            assert.ok(!won, "who was overtaken wrote");
          if (!won) {
            actor.held = undefined;
            return;
          }
          register.document = pending.next;
          register.version += 1;
          actor.held = pending.kind === "release" ? undefined : { document: pending.next, version: register.version };
        }

        function holderOf(actor: Actor): LeaseHolder {
          const name = `${actor.stack}-${actor.runs}`;
          return { stack: actor.stack, runId: name, host: "ci", pid: actors.indexOf(actor) + 1, processStart: name };
        }

        function isAlive({ processStart }: Pick<LeaseHolder, "pid" | "processStart">): boolean {
          return actors.some((actor) => actor.alive && `${actor.stack}-${actor.runs}` === processStart);
        }
      }),
      { numRuns: 1000 },
    );
  });

  function newActor(stack: string): Actor {
    return { stack, runs: 1, alive: true, held: undefined, pending: undefined };
  }
});
