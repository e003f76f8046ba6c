/** Locations that lie about a write, or are so slow that they stop the others: noticed, named, and nothing there counts as a backup. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createBackup } from "../../scripts/backup/createBackup";
import { listBackups } from "../../scripts/backup/manifest";
import { Damage, Unavailable } from "../../scripts/contract/failure";
import { parseTarget } from "../../scripts/database/target";
import { compareStores } from "../../scripts/replication/compareStores";
import { planSync, syncStores } from "../../scripts/replication/syncStores";
import { FileStore } from "../../scripts/store/fileStore";
import { smallestPart } from "../../scripts/store/parts";
import { ReplicatedStore } from "../../scripts/store/replicatedStore";
import { S3Store, type S3StoreOptions } from "../../scripts/store/s3Store";
import { type Store, readBytes } from "../../scripts/store/store";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { closeCrmClients, freshCrm } from "../servers/crm";
import { type Fault, type ProxiedRequest, type S3FaultProxy, startS3FaultProxy } from "../servers/s3FaultProxy";
import { sharedSeaweed } from "../servers/seaweedfs";
import { freshPrefix, temporaryFolder, testBucket, useTestBucket } from "../servers/stores";

const mebibyte = 1024 * 1024;
const archive = "backups/manual/backup_20260101_000000/data-000.dump.zst";
const manifest = "backups/manual/backup_20260101_000000/manifest.json";
const lies = ["keeps nothing", "keeps half", "keeps other bytes"] as const;

describe("a location", function () {
  this.timeout(120_000);
  const made: S3Store[] = [];
  let proxy: S3FaultProxy;
  let faultOf: (request: ProxiedRequest) => Fault | undefined;

  before(async () => {
    await useTestBucket();
    proxy = await startS3FaultProxy((await sharedSeaweed()).endpoint, (request) => faultOf(request));
  });
  after(async () => {
    await proxy.stop();
    await closeCrmClients();
  });
  beforeEach(async () => {
    await useTestBucket();
    faultOf = () => undefined;
  });

  // What an upload left whose completion was a lie: other tests share the bucket.
  afterEach(async () => {
    faultOf = () => undefined;
    for (const store of made.splice(0)) await store.removeUnfinished();
  });

  /** Behind the proxy, its server known already: what it supports is found out before anything goes wrong. */
  async function behindProxy(options: Partial<S3StoreOptions> = {}): Promise<S3Store> {
    const parts = { shape: "fixed", bytes: smallestPart } as const;
    const place = { bucket: testBucket, prefix: freshPrefix(), endpoint: proxy.endpoint };
    const store = new S3Store({ ...place, parts, pauseMilliseconds: 5, ...options });
    await store.support();
    made.push(store);
    return store;
  }

  /** Of every write below `backups/`: of an upload in parts the last part, or its end where nothing is to be kept. */
  const lying =
    (lie: Fault) =>
    ({ operation, part, url }: ProxiedRequest): Fault | undefined => {
      if (!url.includes("/backups/")) return undefined;
      if (operation === "PutObject") return lie;
      if (lie === "keeps nothing") return operation === "CompleteMultipartUpload" ? lie : undefined;
      return operation === "UploadPart" && part === 2 ? lie : undefined;
    };

  describe("that lies about a write", () => {
    for (const lie of lies)
      it(`and ${lie}: is caught at the write, of one piece and of parts`, async () => {
        const store = await behindProxy();
        faultOf = lying(lie);
        const says = lie === "keeps half" ? /keeps \d+ bytes of \d+$/ : new RegExp(`${lie}$`);
        const caught = (error: unknown): boolean => error instanceof Damage && says.test(error.message);
        await assert.rejects(store.create(manifest, Buffer.from('{"name":"backup"}')), caught);
        await assert.rejects(store.create(archive, streamOf(randomBytes(7 * mebibyte))), caught);
      });

    it("is lost for a backup that may do without it, and ends one that may not: no manifest is written anywhere", async () => {
      const { url } = await freshCrm(20);
      const backUp = (store: Store) =>
        createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "r", recipients: [] });
      const [first, copy] = [fileStore(), await behindProxyOf("keeps nothing")];
      const store = new ReplicatedStore(first, [{ store: copy, required: false }]);
      const { reference } = await backUp(store);
      assert.match(store.warnings.join(), new RegExp(`optional store ${copy.url} is lost .*said that it took`));
      assert.deepEqual([await listBackups(copy), await listBackups(first)], [[], [reference]]);

      const [other, required] = [fileStore(), await behindProxyOf("keeps half")];
      await assert.rejects(backUp(new ReplicatedStore(other, [{ store: required, required: true }])), Damage);
      assert.deepEqual([await listBackups(required), await other.list("backups/")], [[], []]);
      const [second, lyingFirst] = [fileStore(), await behindProxyOf("keeps other bytes")];
      await assert.rejects(backUp(new ReplicatedStore(lyingFirst, [{ store: second, required: true }])), Damage);
      assert.deepEqual([await listBackups(lyingFirst), await listBackups(second)], [[], []]);
    });

    it("so well that only its bytes tell: depth 5 and store:compare read them back", async () => {
      const { url } = await freshCrm(20);
      const [first, liar] = [fileStore(), keepingOtherBytes()];
      const store = new ReplicatedStore(first, [{ store: liar, required: true }]);
      const { reference } = await createBackup({
        ...{ target: parseTarget(url, "test"), store, tier: "manual", runId: "r", recipients: [] },
      });
      await assert.rejects(
        verifyBackup({ store, backup: reference, depth: 5, runId: "r" }),
        (error) => error instanceof Damage && error.message.startsWith(liar.url),
      );
      const { differences } = await compareStores([first, liar]);
      assert.deepEqual(
        differences.map(({ store: where, kind }) => [where, kind]),
        [[liar.url, "unreadable"]],
      );
    });

    it("gets nothing that counts from store:sync: what it gives back is read before the manifest follows", async () => {
      const { url } = await freshCrm(20);
      const first = fileStore();
      await createBackup({
        ...{ target: parseTarget(url, "test"), store: first, tier: "manual", runId: "r", recipients: [] },
      });
      for (const lie of lies) {
        const copy = await behindProxyOf(lie);
        await assert.rejects(synchronise(first, copy), Damage);
        assert.deepEqual(await listBackups(copy), [], lie);
      }
      const liar = keepingOtherBytes();
      await assert.rejects(
        synchronise(first, liar),
        (error) => error instanceof Damage && /took backups\S+ and gives back other bytes/.test(error.message),
      );
      assert.deepEqual(await listBackups(liar), []);
      faultOf = () => undefined;
      const honest = await behindProxy();
      await synchronise(first, honest);
      assert.deepEqual((await compareStores([first, honest])).differences, []);
    });

    async function behindProxyOf(lie: Fault): Promise<S3Store> {
      faultOf = () => undefined;
      const store = await behindProxy();
      faultOf = lying(lie);
      return store;
    }
  });

  it("that is full: is lost for a backup that may do without it; store:sync says so and goes on when there is room", async () => {
    const { url } = await freshCrm(20);
    const [first, full] = [fileStore(), await behindProxy()];
    faultOf = ({ operation }) => (operation === "PutObject" ? "507" : undefined);
    const store = new ReplicatedStore(first, [{ store: full, required: false }]);
    await createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "r", recipients: [] });
    assert.match(store.warnings.join(), /is lost for this run: .* has no space left/);
    // Room for one file.
    let written = 0;
    faultOf = ({ operation }) => (operation === "PutObject" && written++ > 0 ? "507" : undefined);
    await assert.rejects(
      synchronise(first, full),
      (error) => error instanceof Unavailable && /has no space left/.test(error.message),
    );
    assert.deepEqual([(await full.list("backups/")).length, await listBackups(full)], [1, []]);
    faultOf = () => undefined;
    // Two at once: each finds what the other has written, and sees that it is the same.
    await Promise.all([synchronise(first, full), synchronise(first, full)]);
    assert.deepEqual((await compareStores([first, full])).differences, []);
  });

  describe("that is slow", () => {
    for (const fault of ["stall", "trickle"] as const)
      it(`by "${fault}": is lost for a backup that may do without it, and the others go on at once`, async () => {
        const copy = await behindProxy();
        const [first, second] = [fileStore(), fileStore()];
        faultOf = ({ operation }) => (operation === "UploadPart" || operation === "PutObject" ? fault : undefined);
        const others = [
          { store: copy, required: false },
          { store: second, required: true },
        ];
        const store = new ReplicatedStore(first, others, undefined, 300);
        // What memory holds no more of stands still in the middle, what is small at its end.
        const bodies = fault === "stall" ? [randomBytes(40 * mebibyte), randomBytes(1000)] : [randomBytes(1000)];
        const keys = [archive, archive.replace("000.dump", "001.dump")].slice(0, bodies.length);
        await Promise.all(keys.map((key, place) => store.create(key, streamOf(bodies[place]!))));
        await store.create(manifest, Buffer.from("{}"));
        assert.match(store.warnings.join(), /is lost for this run: .* the others waited for it for more than/);
        assert.equal(store.warnings.length, 1);
        for (const each of [first, second])
          for (const [place, key] of keys.entries()) assert.ok((await readBytes(each, key)).equals(bodies[place]!));
        faultOf = () => undefined;
        assert.deepEqual(await listBackups(copy), []);
      });

    it("at a small document: is lost as well", async () => {
      const copy = await behindProxy();
      const first = fileStore();
      faultOf = () => "stall";
      const store = new ReplicatedStore(first, [{ store: copy, required: false }], undefined, 300);
      await store.create(manifest, Buffer.from("{}"));
      assert.match(store.warnings.join(), /is lost for this run: .* no answer within/);
      assert.equal((await listBackups(first)).length, 1);
    });

    it("and required: is waited for, and named while that lasts", async () => {
      const copy = await behindProxy();
      let release = (): void => undefined;
      const held = new Promise<void>((done) => (release = done));
      const waiting: Store = new Proxy(copy, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name, target);
          if (name !== "create") return typeof value === "function" ? value.bind(target) : value;
          return async (...args: Parameters<Store["create"]>) => {
            await held;
            return target.create(...args);
          };
        },
      });
      const onWarning = (line: string): void => {
        assert.match(line, /^store s3:\S+: the others waited for it for more than .* it is slow$/);
        release();
      };
      const first = fileStore();
      const body = randomBytes(12 * mebibyte);
      const store = new ReplicatedStore(first, [{ store: waiting, required: true }], onWarning, 300);
      await store.create(archive, streamOf(body));
      for (const each of [first, copy]) assert.ok((await readBytes(each, archive)).equals(body));
    });

    it("to the point of silence: is given up when it lasted, and the first one has nothing", async () => {
      const copy = await behindProxy({ stallSeconds: 0.25, silenceSeconds: 0.5 });
      const first = fileStore();
      const asked = proxy.requests.length;
      faultOf = () => "stall";
      await assert.rejects(
        new ReplicatedStore(first, [{ store: copy, required: true }]).create(manifest, Buffer.from("{}")),
        (error) => error instanceof Unavailable && /cannot reach 127\.0\.0\.1/.test(error.message),
      );
      // The write, and the look whether it had arrived.
      assert.equal(proxy.requests.length - asked, 6);
      assert.deepEqual(await first.list(""), []);
    });
  });
});

async function synchronise(...stores: Store[]): Promise<void> {
  await syncStores(await planSync(await compareStores(stores, { look: "sizes" })));
}

function fileStore(): FileStore {
  return new FileStore(join(temporaryFolder(), "store"));
}

/** A folder that keeps every archive with its last byte changed. */
function keepingOtherBytes(): Store {
  return new Proxy(fileStore(), {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== "create") return typeof value === "function" ? value.bind(target) : value;
      return async (key: string, body: Readable | Buffer) => {
        const bytes = body instanceof Readable ? Buffer.concat(await body.toArray()) : Buffer.from(body);
        if (key.endsWith(".zst")) bytes[bytes.length - 1]! ^= 1;
        return target.create(key, bytes);
      };
    },
  });
}

function streamOf(body: Buffer): Readable {
  const chunks = Array.from({ length: Math.ceil(body.length / 300_000) }, (_, n) =>
    body.subarray(n * 300_000, (n + 1) * 300_000),
  );
  return Readable.from(chunks, { objectMode: false });
}
