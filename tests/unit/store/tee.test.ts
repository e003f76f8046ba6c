/** One stream into several writers: none gets ahead of the slowest, and none that gave up holds up the others. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Branch, pump } from "../../../scripts/store/tee";

const chunkBytes = 64 * 1024;

describe("a stream into several writers", () => {
  it("is read only as fast as the slowest writes", async () => {
    let produced = 0;
    let written = 0;
    let ahead = 0;
    function* source(): Generator<Buffer> {
      for (; produced < 40; produced++) {
        ahead = Math.max(ahead, produced - written);
        yield Buffer.alloc(chunkBytes);
      }
    }
    const slow = branch(async (body) => {
      for await (const chunk of body) {
        await sleep(1);
        written += (chunk as Buffer).length / chunkBytes;
      }
    });
    const fast = branch(drain);
    await pump(Readable.from(source()), [slow, fast]);
    await Promise.all([slow.end(), fast.end()]);
    assert.equal(written, 40);
    assert.ok(ahead <= 4, `${ahead} chunks ahead`);
  });

  it("goes on without a writer that gave up, whatever it still had to take", async () => {
    const failures: unknown[] = [];
    const dead = new Branch(
      async (body) => {
        await body[Symbol.asyncIterator]().next();
        body.destroy();
        throw new Error("no space left");
      },
      (error) => failures.push(error),
    );
    let bytes = 0;
    const living = branch(async (body) => {
      for await (const chunk of body) bytes += (chunk as Buffer).length;
    });
    await pump(Readable.from(Array.from({ length: 20 }, () => Buffer.alloc(chunkBytes))), [dead, living]);
    assert.equal((await dead.end()).status, "rejected");
    assert.equal((await living.end()).status, "fulfilled");
    assert.equal(bytes, 20 * chunkBytes);
    assert.match(String(failures), /no space left/);
  });

  it("that is broken off ends no writer well", async () => {
    const writer = branch(drain);
    await writer.write(Buffer.alloc(10));
    const outcome = await writer.breakOff(new Error("pg_dump died"));
    assert.match(outcome.status === "rejected" ? String(outcome.reason) : "", /pg_dump died/);
  });
});

function branch(write: (body: Readable) => Promise<unknown>): Branch {
  return new Branch(
    async (body) => {
      await write(body);
      return 0;
    },
    () => undefined,
  );
}

async function drain(body: Readable): Promise<void> {
  await body.forEach(() => undefined);
}
