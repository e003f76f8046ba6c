/** The lease and the freeze on real stores, each kind: one release at a time, renewed, handed on, lifted. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Damage, Interrupted, Refusal, Unavailable } from "../../scripts/contract/failure";
import { liftFreeze, readFreeze, readFreezes, setFreeze } from "../../scripts/control/freeze";
import {
  acquireLease,
  currentReceipt,
  demandFreeLease,
  extendLease,
  giveBackLease,
  readLease,
} from "../../scripts/control/lease";
import { released, taken, thisHolder } from "../../scripts/control/leaseDocument";
import { encodeDocument } from "../../scripts/store/documents";
import { leaseKey } from "../../scripts/store/layout";
import { FileStore } from "../../scripts/store/fileStore";
import type { Store } from "../../scripts/store/store";
import { storeKinds, temporaryFolder } from "../servers/stores";

const crm = { stack: "crm/prod", runId: "run-1" };
const receipt = { receiptSha256: "ab".repeat(32), releaseVersion: "v1" };

for (const { kind, make } of storeKinds)
  describe(`release lease on a ${kind} store`, function () {
    this.timeout(60_000);

    it("goes its way: gate, receipt, given back by the verification, next token", async () => {
      const store = await make();
      assert.equal(await readLease(store), undefined);
      const lease = await acquireLease(store, crm);
      assert.equal(lease.token, 1);
      assert.equal(lease.tookOver, null);
      assert.equal(currentReceipt(await readLease(store)), undefined);
      await lease.pass(receipt);
      assert.deepEqual(currentReceipt(await readLease(store)), {
        runId: "run-1",
        sha256: receipt.receiptSha256,
        releaseVersion: "v1",
        token: 1,
      });
      assert.equal(await giveBackLease(store, "run-0"), false, "not that run's");
      assert.equal(await giveBackLease(store, "run-1"), true);
      assert.equal(await giveBackLease(store, "run-1"), false, "free already");
      assert.equal(currentReceipt(await readLease(store)), undefined);
      const next = await acquireLease(store, { stack: "crm/staging", runId: "run-2" });
      assert.equal(next.token, 2);
      await next.release();
    });

    it("refuses a second gate while one runs: who, since when, until when, what to do", async () => {
      const store = await make();
      const lease = await acquireLease(store, crm);
      await assert.rejects(
        acquireLease(store, { stack: "crm/prod", runId: "run-2" }),
        (error) =>
          error instanceof Unavailable &&
          error.exitCode === 3 &&
          /held by run run-1 of crm\/prod \(gate running, process \d+ on .+\) since 20.+, until 20/.test(
            error.message,
          ) &&
          /--wait/.test(error.hint ?? ""),
      );
      await assert.rejects(demandFreeLease(store, { stack: "crm/prod", runId: "run-2", takeOver: true }), Unavailable);
      await lease.release();
      await demandFreeLease(store, { stack: "crm/prod", runId: "run-2", takeOver: true });
    });

    it("of many gates at once exactly one gets it", async () => {
      const store = await make();
      const outcomes = await Promise.allSettled(
        Array.from({ length: 8 }, (_, n) => acquireLease(store, { stack: "crm/prod", runId: `run-${n}` })),
      );
      const got = outcomes.filter((outcome) => outcome.status === "fulfilled");
      assert.equal(got.length, 1);
      for (const outcome of outcomes)
        if (outcome.status === "rejected") assert.ok(outcome.reason instanceof Unavailable, String(outcome.reason));
      await got[0]?.value.release();
    });

    it("after a pass goes to the same stack at once, to another only when its time is over", async () => {
      const store = await make();
      const lease = await acquireLease(store, crm);
      await lease.pass({ ...receipt, holdSeconds: 2 });
      const other = { stack: "crm/staging", runId: "run-2" };
      await assert.rejects(acquireLease(store, other), /gate passed, releasing/);
      await extendLease(store, "run-1", 8);
      await sleep(2100);
      await assert.rejects(acquireLease(store, other), Unavailable, "extended");
      const same = await acquireLease(store, { stack: "crm/prod", runId: "run-3" });
      assert.match(same.tookOver ?? "", /run run-1 of crm\/prod .*: same stack/);
      await assert.rejects(
        extendLease(store, "run-1", 60),
        /run-1 no longer holds the release lease: it is held by run run-3/,
      );
      await same.pass({ ...receipt, holdSeconds: 0.2 });
      await sleep(250);
      assert.equal(currentReceipt(await readLease(store)), undefined);
      await assert.rejects(extendLease(store, "run-3", 60), /it has ended/);
      assert.equal((await acquireLease(store, other)).token, 3);
    });

    it("is renewed while the gate runs", async () => {
      const store = await make();
      const lease = await acquireLease(store, crm, { ttlSeconds: 2.4 });
      await sleep(3200);
      assert.equal(lease.lost.aborted, false);
      await assert.rejects(acquireLease(store, { stack: "x", runId: "run-2" }), Unavailable);
      await lease.release();
    });
  });

describe("release lease", function () {
  this.timeout(60_000);
  let store: Store;

  beforeEach(() => {
    store = new FileStore(temporaryFolder());
  });

  it("waited for, is taken when the other gives it back", async () => {
    const first = await acquireLease(store, crm);
    const told: string[] = [];
    const second = acquireLease(
      store,
      { stack: "crm/staging", runId: "run-2" },
      { waitSeconds: 30, onWait: (holder) => told.push(holder) },
    );
    await sleep(200);
    await first.release();
    assert.equal((await second).token, 2);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? "", /run run-1/);
  });

  it("waited for, ends when the time is over or the run is interrupted", async () => {
    await acquireLease(store, crm);
    const started = Date.now();
    await assert.rejects(acquireLease(store, { stack: "x", runId: "r" }, { waitSeconds: 0.5 }), Unavailable);
    assert.ok(Date.now() - started >= 500);
    const interrupt = new AbortController();
    setTimeout(() => interrupt.abort(new Interrupted("SIGINT")), 100);
    await assert.rejects(
      acquireLease(store, { stack: "x", runId: "r" }, { waitSeconds: 600, signal: interrupt.signal }),
      Interrupted,
    );
  });

  it("taken by another run, is noticed, names the other, and cannot pass", async () => {
    const lease = await acquireLease(store, crm, { ttlSeconds: 0.6 });
    const current = await store.readVersioned(leaseKey);
    const document = (await readLease(store)) ?? assert.fail("no lease");
    const robber = taken(document, thisHolder("crm/staging", "run-2"), new Date(), 90);
    assert.ok(await store.swap(leaseKey, encodeDocument(robber), current?.version));
    await once(lease.lost, "abort");
    assert.match(
      String(lease.lost.reason),
      /run-1 no longer holds the release lease: it is held by run run-2 of crm\/staging/,
    );
    await assert.rejects(lease.pass(receipt), Unavailable);
    await lease.release();
    assert.deepEqual(await readLease(store), robber, "another run's lease is left alone");
  });

  it("taken by another run just before the pass, cannot pass", async () => {
    const lease = await acquireLease(store, crm);
    const current = await store.readVersioned(leaseKey);
    const document = (await readLease(store)) ?? assert.fail("no lease");
    await store.swap(leaseKey, encodeDocument(released(document, new Date())), current?.version);
    await assert.rejects(lease.pass(receipt), /no longer holds the release lease: it has ended/);
    assert.equal(currentReceipt(await readLease(store)), undefined);
  });

  it("survives a store that is away for less than its time, and is lost with one that stays away", async () => {
    class Flaky extends FileStore {
      away = false;
      override swap(...args: Parameters<FileStore["swap"]>): Promise<string | undefined> {
        return this.away ? Promise.reject(new Unavailable("away")) : super.swap(...args);
      }
    }
    const flaky = new Flaky(temporaryFolder());
    const lease = await acquireLease(flaky, crm, { ttlSeconds: 2.4 });
    flaky.away = true;
    await sleep(1200);
    flaky.away = false;
    await sleep(2000);
    assert.equal(lease.lost.aborted, false);
    flaky.away = true;
    await once(lease.lost, "abort");
    assert.match(String(lease.lost.reason), /expired before the store let it be renewed/);
    flaky.away = false;
    await lease.release();
    assert.equal((await readLease(flaky))?.phase, "released", "nobody took it: it is given back all the same");
  });

  it("of a killed gate is taken over at once on the same host", async () => {
    const child = actor(store, "lease", "90");
    await line(child, "held");
    await assert.rejects(acquireLease(store, crm), /run run-child/);
    child.kill("SIGKILL");
    await once(child, "exit");
    const lease = await acquireLease(store, crm);
    assert.equal(lease.token, 2);
    assert.match(lease.tookOver ?? "", /run run-child .*: holder gone/);
    await lease.release();
  });

  it("of a gate that sleeps is taken over when its time is over, and the sleeper notices", async () => {
    const child = actor(store, "lease", "1");
    try {
      await line(child, "held");
      child.kill("SIGSTOP");
      const lease = await acquireLease(store, crm, { waitSeconds: 20 });
      assert.match(lease.tookOver ?? "", /expired/);
      child.kill("SIGCONT");
      await line(child, "lost: ");
      assert.equal((await readLease(store))?.holder.runId, "run-1");
      await lease.release();
    } finally {
      child.kill("SIGKILL");
    }
  });

  it("that is damaged stops every gate, and is never taken for free", async () => {
    await store.swap(leaseKey, Buffer.from('{"token": 7'), undefined);
    await assert.rejects(acquireLease(store, crm), Damage);
    await assert.rejects(giveBackLease(store, "run-1"), Damage);
  });
});

for (const { kind, make } of storeKinds)
  describe(`freeze on a ${kind} store`, function () {
    this.timeout(60_000);
    const failed = {
      kind: "failed-verification",
      runId: "run-7",
      reason: "3 clients are gone",
      person: null,
      missingRows: { "public.clients": 3 },
    } as const;
    const manual = { kind: "manual", runId: null, reason: "audit", person: "ana", missingRows: {} } as const;

    it("set by two at once, holds both; the graver is named first; lifted when a verification passed", async () => {
      const store = await make();
      assert.equal(await readFreeze(store), undefined);
      assert.deepEqual(await liftFreeze(store, { person: "ben", reason: "none" }), []);
      await Promise.all([setFreeze(store, manual), setFreeze(store, failed), setFreeze(store, manual)]);
      assert.equal((await readFreezes(store)).length, 2);
      assert.equal((await readFreeze(store))?.kind, "failed-verification");
      await assert.rejects(liftFreeze(store, { person: "ben", reason: "please" }), Refusal);
      assert.equal((await readFreezes(store)).length, 2, "refused: nothing is lifted");
      const lifted = await liftFreeze(store, { person: "ben", reason: "rows back", verifiedRunIds: ["run-7"] });
      assert.equal(lifted.length, 2);
      assert.equal(await readFreeze(store), undefined);
    });
  });

function actor(store: Store, act: string, argument: string) {
  return spawn(process.execPath, ["--require", "tsx/cjs", join(__dirname, "storeActor.ts"), store.url, act, argument], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Waits until the process prints a line that starts with this. */
async function line(child: ReturnType<typeof actor>, start: string): Promise<void> {
  const lines = createInterface(child.stdout);
  for await (const text of lines) if (text.startsWith(start)) return;
  assert.fail(`ended without saying ${start}`);
}
