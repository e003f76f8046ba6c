/** Parallel uploads share one ceiling; none waits for ever, and what an interrupted one asked for is not lost. */
import assert from "node:assert/strict";
import { setImmediate as tick } from "node:timers/promises";
import { PartMemory } from "../../../scripts/store/partMemory";

describe("memory for parts", () => {
  it("of all uploads together stays below the ceiling", async () => {
    const memory = new PartMemory(40);
    await Promise.all(
      [1, 2, 3].map(async () => {
        const upload = memory.open();
        for (let n = 0; n < 30; n++) {
          const part = await upload.take(10);
          const other = n % 3 === 0 ? await upload.take(10) : undefined;
          void tick().then(() => {
            part.giveBack();
            other?.giveBack();
          });
        }
        upload.close();
      }),
    );
    assert.ok(memory.peak <= 40 && memory.peak >= 30, `${memory.peak}`);
  });

  it("is given to an upload that holds none, as soon as a part on its way comes back", async () => {
    const memory = new PartMemory(20);
    const one = memory.open();
    const [first] = [await one.take(10), await one.take(10)];
    const order: string[] = [];
    void one.take(10).then(() => order.push("one"));
    void memory
      .open()
      .take(10)
      .then(() => order.push("two"));
    await tick();
    assert.deepEqual(order, []);
    first.giveBack();
    await tick();
    assert.deepEqual(order, ["two"]);
    assert.equal(memory.peak, 20);
  });

  it("is given above the ceiling where none is on its way: who fills a part may be waiting for this one", async () => {
    const memory = new PartMemory(10);
    await memory.open().take(10);
    await memory.open().take(10);
    assert.equal(memory.peak, 20);
  });

  it("is given in the order of asking: a large part is not overtaken for ever", async () => {
    const memory = new PartMemory(40);
    const [one, two] = [memory.open(), memory.open()];
    const [held, more] = [await one.take(10), await one.take(15)];
    await two.take(10);
    const order: string[] = [];
    const large = one.take(25).then(() => order.push("large"));
    const small = two.take(5).then(() => order.push("small"));
    await tick();
    assert.deepEqual(order, [], "5 are free, and the one that waits longer needs 25");
    held.giveBack();
    more.giveBack();
    await Promise.all([large, small]);
    assert.deepEqual(order, ["large", "small"]);
  });

  it("that an interrupted upload waited for goes to the next", async () => {
    const memory = new PartMemory(10);
    const upload = memory.open();
    const held = await upload.take(10);
    const interrupt = new AbortController();
    const waiting = upload.take(10, interrupt.signal);
    await tick();
    interrupt.abort(new Error("interrupted"));
    await assert.rejects(waiting, /interrupted/);
    const next = upload.take(10);
    held.giveBack();
    await next;
    await assert.rejects(upload.take(10, interrupt.signal), /interrupted/);
  });

  it("is used again, and given back but once", async () => {
    const memory = new PartMemory(20);
    const upload = memory.open();
    const first = await upload.take(10);
    first.giveBack();
    first.giveBack();
    const again = await upload.take(10);
    assert.equal(again.buffer, first.buffer);
    assert.equal(upload.held, 10);
    assert.equal(memory.peak, 10);
  });
});
