/** Work that belongs together ends together: no lane goes on after another one failed, and the first failure is told. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { allOrNone, runInLanes } from "../../../scripts/database/lanes";

describe("lanes", () => {
  it("give the results in the order of the items, and never run more at a time than there are lanes", async () => {
    let running = 0;
    let most = 0;
    const results = await runInLanes(["a", "b"], [30, 1, 1, 1], async (ms, lane) => {
      most = Math.max(most, ++running);
      await sleep(ms);
      running--;
      return `${lane}${ms}`;
    });
    assert.deepEqual(results, ["a30", "b1", "b1", "b1"]);
    assert.equal(most, 2);
  });

  it("take no further item after a failure, stop what runs, and throw the first failure once all is at rest", async () => {
    const started: number[] = [];
    let stopped = false;
    const run = runInLanes([0, 1], [0, 1, 2, 3], async (item, _lane, signal) => {
      started.push(item);
      if (item === 1) throw new Error("first");
      await sleep(10_000, undefined, { signal }).catch(async () => {
        await sleep(5);
        stopped = true;
        throw new Error("second");
      });
    });
    await assert.rejects(run, /first/);
    assert.ok(stopped);
    assert.deepEqual(started, [0, 1]);
  });

  it("start nothing when it is interrupted already", async () => {
    const run = allOrNone([() => assert.fail("started")], AbortSignal.abort(new Error("interrupted")));
    await assert.rejects(run, /interrupted/);
  });
});
