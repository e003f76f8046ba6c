/** What every kind of store promises: bytes come back, a key is written once, damage and absence are told apart. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { Damage, Interrupted, UsageError } from "../../scripts/contract/failure";
import { s3ProbeKey, s3SupportKey } from "../../scripts/store/layout";
import { FileStore } from "../../scripts/store/fileStore";
import { smallestPart } from "../../scripts/store/parts";
import { S3Store } from "../../scripts/store/s3Store";
import { claimStore, readStoreIdentity } from "../../scripts/store/storeIdentity";
import { AlreadyExists, NotFound, type Store, readBytes } from "../../scripts/store/store";
import { sharedSeaweed } from "../servers/seaweedfs";
import { freshPrefix, storeKinds, temporaryFolder, testBucket, useTestBucket } from "../servers/stores";

const mebibyte = 1024 * 1024;

/** What an S3 store keeps of what it tried on its server. */
const ownKeys = [s3ProbeKey, s3SupportKey];

for (const { kind, make } of storeKinds)
  describe(`${kind} store`, function () {
    this.timeout(120_000);
    let store: Store;

    before(async () => {
      store = await make();
    });

    it("gives back what was written, bytes or stream, and its size", async () => {
      assert.equal(await store.create("receipts/a.json", Buffer.from("{}")), 2);
      assert.equal((await readBytes(store, "receipts/a.json")).toString(), "{}");
      assert.equal(await store.create("receipts/b.json", Readable.from(["one", "two"])), 6);
      assert.equal((await readBytes(store, "receipts/b.json")).toString(), "onetwo");
    });

    it("holds an empty stream", async () => {
      assert.equal(await store.create("receipts/empty.json", Readable.from([])), 0);
      assert.equal((await readBytes(store, "receipts/empty.json")).byteLength, 0);
    });

    it("holds a stream of many parts without changing a byte", async () => {
      const chunk = randomBytes(3 * mebibyte + 17);
      const hash = createHash("sha256");
      for (let n = 0; n < 8; n++) hash.update(chunk);
      const bytes = await store.create(
        "backups/manual/big",
        Readable.from(Array(8).fill(chunk), { objectMode: false }),
      );
      assert.equal(bytes, 8 * chunk.length);
      const readBack = createHash("sha256");
      for await (const piece of await store.read("backups/manual/big")) readBack.update(piece as Buffer);
      assert.equal(readBack.digest("hex"), hash.digest("hex"));
    });

    it("never writes a key twice, and ends the stream that it does not take", async () => {
      await store.create("receipts/once.json", Buffer.from("first"));
      await assert.rejects(store.create("receipts/once.json", Buffer.from("second")), AlreadyExists);
      const body = new Readable({ read() {} });
      await assert.rejects(store.create("receipts/once.json", body), AlreadyExists);
      assert.ok(body.destroyed);
      assert.equal((await readBytes(store, "receipts/once.json")).toString(), "first");
    });

    it("passes on the error of a stream and keeps nothing of it", async () => {
      const broken = new Error("pg_dump died");
      for (const megabytes of [1, 12]) {
        async function* dying(): AsyncGenerator<Buffer> {
          for (let n = 0; n < megabytes; n++) yield Buffer.alloc(mebibyte);
          throw broken;
        }
        await assert.rejects(store.create("backups/manual/dying", Readable.from(dying())), (error) => error === broken);
      }
      const dead = new Readable({ read() {} });
      const writing = store.create("backups/manual/dying", dead);
      dead.destroy(broken);
      await assert.rejects(writing, (error) => error === broken);
      assert.deepEqual(await store.list("backups/manual/dying"), []);
    });

    it("stops at once when interrupted, for the reason given, and keeps nothing", async () => {
      const interrupt = new AbortController();
      async function* stalling(): AsyncGenerator<Buffer> {
        for (let n = 0; n < 12; n++) yield Buffer.alloc(mebibyte);
        setTimeout(() => interrupt.abort(new Interrupted("SIGTERM")), 20);
        await new Promise(() => undefined);
      }
      await assert.rejects(
        store.create("backups/manual/stalled", Readable.from(stalling()), interrupt.signal),
        (error) => error instanceof Interrupted,
      );
      await assert.rejects(store.create("receipts/late.json", Buffer.from("x"), interrupt.signal), Interrupted);
      assert.deepEqual(await store.list("backups/manual/stalled"), []);
      assert.deepEqual(await store.list("receipts/late"), []);
    });

    it("says what does not exist", async () => {
      await assert.rejects(store.read("receipts/absent.json"), NotFound);
      await assert.rejects(store.read("control/absent.json"), NotFound);
      assert.equal(await store.readVersioned("control/absent.json"), undefined);
    });

    it("lists by prefix, sorted, with sizes", async () => {
      const fresh = await make();
      assert.deepEqual(await fresh.list(""), []);
      for (const key of ["marks/b/2", "marks/b/1", "marks/ab", "store.json"]) await fresh.create(key, Buffer.from(key));
      await fresh.swap("control/lease.json", Buffer.from("12345"), undefined);
      const keysBelow = async (prefix: string): Promise<string[]> =>
        (await fresh.list(prefix)).map(({ key }) => key).filter((key) => !ownKeys.includes(key));
      assert.deepEqual(await keysBelow(""), ["control/lease.json", "marks/ab", "marks/b/1", "marks/b/2", "store.json"]);
      assert.deepEqual(await keysBelow("marks/b/"), ["marks/b/1", "marks/b/2"]);
      assert.deepEqual(await keysBelow("marks/b/1"), ["marks/b/1"]);
      assert.deepEqual(await keysBelow("marks/a"), ["marks/ab"]);
      assert.deepEqual(await keysBelow("nowhere/"), []);
      assert.deepEqual(await fresh.list("store"), [{ key: "store.json", bytes: 10 }]);
      assert.deepEqual(await fresh.list("control/lease.json"), [{ key: "control/lease.json", bytes: 5 }]);
      assert.equal(await text(await fresh.read("control/lease.json")), "12345");
    });

    it("swaps only what has the expected version", async () => {
      const swap = (body: string, expected: string | undefined): Promise<string | undefined> =>
        store.swap("control/x.json", Buffer.from(body), expected);
      const first = await swap("1", undefined);
      assert.ok(first !== undefined);
      assert.equal(await swap("other", undefined), undefined);
      const second = await swap("2", first);
      assert.ok(second !== undefined && second !== first);
      assert.equal(await swap("other", first), undefined);
      assert.deepEqual(await store.readVersioned("control/x.json"), { body: Buffer.from("2"), version: second });
      assert.equal(
        await store.swap("control/y.json", Buffer.from("y"), second),
        undefined,
        "there is nothing to replace",
      );
    });

    it("of processes that race to create a key exactly one wins", async () => {
      const rounds = 40;
      const fresh = await make();
      const won = await race([1, 2, 3].map(() => actor(fresh, "create", String(rounds))));
      const winners = won.map((line) => JSON.parse(line) as number[]);
      assert.deepEqual(
        winners.flat().sort((a, b) => a - b),
        Array.from({ length: rounds }, (_, round) => round),
      );
    });

    it("of processes that race to swap none loses another's change", async () => {
      const fresh = await make();
      await race([1, 2, 3].map(() => actor(fresh, "count", "40")));
      assert.equal((await fresh.readVersioned("control/counter.json"))?.body.toString(), "120");
    });

    it("belongs to the first database that claims it, also when two claim at once", async () => {
      const fresh = await make();
      assert.equal(await readStoreIdentity(fresh), undefined);
      const database = { systemIdentifier: "7412345678901234567", name: "crm" };
      const [one, two] = await Promise.all([claimStore(fresh, database), claimStore(fresh, database)]);
      assert.deepEqual(one, two);
      assert.ok(Buffer.from(one.salt, "base64").length >= 16);
      assert.deepEqual(await claimStore(fresh, database), one);
      assert.deepEqual(await readStoreIdentity(fresh), one);
      for (const other of [
        { ...database, name: "shop" },
        { ...database, systemIdentifier: "1" },
      ])
        await assert.rejects(
          claimStore(fresh, other),
          (error) =>
            error instanceof UsageError && error.message.includes("crm (") && error.message.includes(`${other.name} (`),
        );
    });

    it("with a damaged store.json is refused, never claimed anew", async () => {
      const fresh = await make();
      await fresh.create("store.json", Buffer.from('{"schemaVersion": 1, "data'));
      await assert.rejects(claimStore(fresh, { systemIdentifier: "1", name: "crm" }), Damage);
    });
  });

describe("file store: what lies on disk", () => {
  it("is private and written once", async () => {
    const folder = join(temporaryFolder(), "deep", "store");
    const store = new FileStore(folder);
    await store.create("receipts/a.json", Buffer.from("{}"));
    assert.equal(statSync(join(folder, "receipts/a.json")).mode & 0o777, 0o440);
    for (const made of [join(folder, ".."), folder, join(folder, "receipts"), join(folder, ".partial")])
      assert.equal(statSync(made).mode & 0o777, 0o700, made);
    assert.deepEqual(readdirSync(join(folder, ".partial")), []);
    assert.equal(readFileSync(fileURLToPath(`${store.url}/receipts/a.json`), "utf8"), "{}");
  });

  it("keeps few versions of a mutable object, however often it is swapped", async () => {
    const folder = temporaryFolder();
    const store = new FileStore(folder);
    let version: string | undefined;
    for (let n = 0; n < 80; n++) version = await store.swap("control/lease.json", Buffer.from(String(n)), version);
    assert.equal(version, "80");
    assert.equal(readdirSync(join(folder, "control/lease.json")).length, 32);
    assert.equal((await store.readVersioned("control/lease.json"))?.body.toString(), "79");
    assert.equal(await store.swap("control/lease.json", Buffer.from("late"), undefined), undefined);
    assert.equal(await store.swap("control/lease.json", Buffer.from("late"), "3"), undefined);
    assert.equal((await store.readVersioned("control/lease.json"))?.body.toString(), "79");
  });
});

describe("s3 store: versioned bucket with object lock", function () {
  this.timeout(120_000);

  it("keeps the same contract", async () => {
    await useTestBucket();
    const bucket = `dbp-locked-${process.pid}`;
    await (await sharedSeaweed()).createBucket(bucket, { objectLock: true });
    const store = new S3Store({ bucket, prefix: "crm", parts: { shape: "fixed", bytes: smallestPart } });
    await store.create("receipts/a.json", Buffer.from("{}"));
    await assert.rejects(store.create("receipts/a.json", Buffer.from("other")), AlreadyExists);
    const big = Readable.from(Array(12).fill(Buffer.alloc(mebibyte)), { objectMode: false });
    assert.equal(await store.create("backups/manual/a", big), 12 * mebibyte);
    const late = Readable.from(Array(12).fill(Buffer.alloc(mebibyte)), { objectMode: false });
    await assert.rejects(store.create("backups/manual/a", late), AlreadyExists);
    const first = await store.swap("control/x.json", Buffer.from("1"), undefined);
    const second = await store.swap("control/x.json", Buffer.from("2"), first);
    assert.equal(await store.swap("control/x.json", Buffer.from("3"), first), undefined);
    assert.deepEqual(await store.readVersioned("control/x.json"), { body: Buffer.from("2"), version: second });
    assert.deepEqual(
      (await store.list("")).map(({ key }) => key),
      ["backups/manual/a", ...ownKeys, "control/x.json", "receipts/a.json"],
    );
  });
});

describe("s3 store: listing", function () {
  this.timeout(120_000);

  it("goes past the thousand objects that one answer holds", async () => {
    await useTestBucket();
    const store = new S3Store({ bucket: testBucket, prefix: freshPrefix() });
    const names = Array.from({ length: 1003 }, (_, n) => `marks/${String(n).padStart(4, "0")}`);
    for (let n = 0; n < names.length; n += 40)
      await Promise.all(names.slice(n, n + 40).map((key) => store.create(key, Buffer.from("x"))));
    assert.deepEqual(
      (await store.list("marks/")).map(({ key }) => key),
      names,
    );
  });
});

function actor(store: Store, act: string, argument: string): ChildProcess {
  return spawn(process.execPath, ["--require", "tsx/cjs", join(__dirname, "storeActor.ts"), store.url, act, argument], {
    stdio: "pipe",
  });
}

/** What each printed, once all ended well. */
async function race(actors: ChildProcess[]): Promise<string[]> {
  await Promise.all(actors.map(({ stderr }) => once(stderr ?? assert.fail("no pipe"), "data")));
  for (const { stdin } of actors) stdin?.write("go");
  return Promise.all(actors.map(output));
}

async function output(child: ChildProcess): Promise<string> {
  const closed = once(child, "close");
  const [printed, complaint] = await Promise.all(
    [child.stdout, child.stderr].map((pipe) => text(pipe ?? assert.fail("no pipe"))),
  );
  assert.deepEqual(await closed, [0, null], complaint);
  return printed ?? "";
}
