/** Several stores written in one pass: what the first holds the required others hold too, and an optional one may go. */
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { Interrupted, Unavailable, UsageError } from "../../scripts/contract/failure";
import { FileStore } from "../../scripts/store/fileStore";
import { smallestPart } from "../../scripts/store/parts";
import { ReplicatedStore } from "../../scripts/store/replicatedStore";
import { S3Store, type S3StoreOptions } from "../../scripts/store/s3Store";
import { AlreadyExists, NotFound, type Store, readBytes } from "../../scripts/store/store";
import { claimStore, demandOwnStore, readStoreIdentity } from "../../scripts/store/storeIdentity";
import { runCli } from "../servers/cli";
import { closeCrmClients, deploymentVariables, freshCrm, freshStore } from "../servers/crm";
import { type Fault, type ProxiedRequest, type S3FaultProxy, startS3FaultProxy } from "../servers/s3FaultProxy";
import { sharedSeaweed } from "../servers/seaweedfs";
import { freshPrefix, itSeesFiles, openFiles, temporaryFolder, testBucket, useTestBucket } from "../servers/stores";

const mebibyte = 1024 * 1024;
const archive = "backups/manual/backup_20260101_000000/data-000.dump.zst";
const manifest = "backups/manual/backup_20260101_000000/manifest.json";
const nowhere = "http://127.0.0.1:1";

describe("several stores", function () {
  this.timeout(120_000);
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

  describe("when all is well", () => {
    it("hold the same bytes, but what decides who may release lies in the first alone", async () => {
      const [first, second, third] = [fileStore(), fileStore(), bucket()];
      const store = several(first, { store: second, required: true }, { store: third, required: false });
      const body = randomBytes(12 * mebibyte);
      assert.equal(await store.create(archive, streamOf(body)), body.length);
      await store.create(manifest, Buffer.from("{}"));
      const firstOnly = [
        ...["receipts/a.json", "releases/a/001-gate-passed.json", "incidents/a/001-opened.json"],
        "notes/a/001-ticked.json",
      ];
      for (const key of firstOnly) await store.create(key, Buffer.from("{}"));
      await store.swap("control/lease.json", Buffer.from("{}"), undefined);
      for (const copy of [first, second, third]) {
        assert.equal(digest(await readBytes(copy, archive)), digest(body));
        const others = (await copy.list("")).map(({ key }) => key).filter((key) => !key.startsWith("backups/"));
        const ownProbes = others.filter((key) => /^control\/(conditional|s3-)/.test(key));
        assert.deepEqual(
          others.filter((key) => !ownProbes.includes(key)),
          copy === first ? ["control/lease.json", ...firstOnly].sort() : [],
        );
      }
      assert.deepEqual(store.warnings, []);
    });

    it("belong to one database, each of them, and one that is added learns it", async () => {
      const database = { systemIdentifier: "7412345678901234567", name: "crm" };
      const other = { ...database, name: "shop" };
      const [first, added, foreign] = [fileStore(), fileStore(), fileStore()];
      const identity = await claimStore(first, database);
      await claimStore(foreign, other);
      assert.deepEqual(await claimStore(several(first, { store: added, required: true }), database), identity);
      assert.deepEqual(await readStoreIdentity(added), identity);
      for (const required of [true, false])
        for (const demand of [claimStore, demandOwnStore])
          await assert.rejects(
            demand(several(first, { store: foreign, required }), database),
            (error) => error instanceof UsageError && error.message.startsWith(`store ${foreign.url} belongs to`),
          );
    });

    it("let go of a backup in all of them, and tell the strictest lock", async () => {
      const [first, second, third] = [fileStore(), fileStore(), bucket()];
      const store = several(first, { store: second, required: true }, { store: third, required: false });
      await store.create(manifest, Buffer.from("{}"));
      await store.create(archive, Buffer.from("rows"));
      assert.deepEqual(await store.removability(manifest), { lockedUntil: null, expiring: false });
      await store.remove(manifest);
      for (const copy of [first, second, third]) await assert.rejects(copy.read(manifest), NotFound);
      await store.expire(archive);
      await assert.rejects(second.read(archive), NotFound, "a folder has no rule that could remove it later");
      assert.deepEqual(await third.removability(archive), { lockedUntil: null, expiring: true });
    });
  });

  describe("of which one is lost", () => {
    it("a required one: exit 3, and the first one, which counts, has nothing", async () => {
      const [first, second] = [fileStore(), fileStore()];
      const store = several(first, { store: second, required: true }, { store: unreachable(), required: true });
      for (const [key, body] of [
        [manifest, Buffer.from("{}")],
        [archive, streamOf(randomBytes(4 * mebibyte))],
      ] as const)
        await assert.rejects(
          store.create(key, body),
          (error) =>
            error instanceof Unavailable && error.exitCode === 3 && /cannot reach 127\.0\.0\.1:1/.test(error.message),
        );
      assert.deepEqual(await first.list(""), []);
      assert.deepEqual(partials(first), []);
    });

    it("an optional one: the others have it, and a warning says so once", async () => {
      const [first, second] = [fileStore(), fileStore()];
      const lines: string[] = [];
      const store = new ReplicatedStore(
        first,
        [
          { store: unreachable(), required: false },
          { store: second, required: true },
        ],
        (line) => lines.push(line),
      );
      await store.create(archive, streamOf(randomBytes(4 * mebibyte)));
      await store.create(manifest, Buffer.from("{}"));
      for (const copy of [first, second]) assert.equal((await copy.list("backups/")).length, 2);
      assert.equal(lines.length, 1);
      assert.match(lines[0] ?? "", /^the optional store s3:\/\/.* is lost for this run: store s3:.*ECONNREFUSED/);
      assert.deepEqual(store.warnings, lines);
    });

    it("an optional one in the middle: it gets no manifest, for it has no archive", async () => {
      const first = fileStore();
      const copy = bucket({ endpoint: proxy.endpoint });
      const store = several(first, { store: copy, required: false });
      faultOf = ({ part }) => (part === 2 ? "403" : undefined);
      const body = randomBytes(20 * mebibyte);
      assert.equal(await store.create(archive, streamOf(body)), body.length);
      faultOf = () => undefined;
      await store.create(manifest, Buffer.from("{}"));
      assert.equal(digest(await readBytes(first, archive)), digest(body));
      assert.deepEqual(await copy.list("backups/"), []);
      assert.deepEqual(await unfinished(copy), []);
      assert.match(store.warnings.join(), /is lost for this run: .*denies access/);
    });

    it("a required one in the middle: the source is ended, nothing in any of them", async () => {
      const first = fileStore();
      const copy = bucket({ endpoint: proxy.endpoint });
      faultOf = ({ part }) => (part === 2 ? "403" : undefined);
      const endless = waitingStream();
      await assert.rejects(
        several(first, { store: copy, required: true }).create(archive, endless),
        (error) => error instanceof Unavailable && /denies access/.test(error.message),
      );
      assert.ok(endless.destroyed);
      for (const each of [first, copy]) assert.deepEqual(await each.list("backups/"), []);
      assert.deepEqual(partials(first), []);
      assert.deepEqual(await unfinished(copy), []);
    });

    it("a required one at the very end: the first one, which counts, has nothing", async () => {
      const [first, second] = [fileStore(), fileStore()];
      const copy = bucket({ endpoint: proxy.endpoint });
      await copy.support();
      faultOf = ({ operation }) => (operation === "CompleteMultipartUpload" ? "403" : undefined);
      const store = several(first, { store: copy, required: true }, { store: second, required: true });
      await assert.rejects(store.create(archive, streamOf(randomBytes(12 * mebibyte))), Unavailable);
      assert.deepEqual(await first.list("backups/"), []);
      assert.deepEqual(await store.list("backups/"), []);
      assert.deepEqual(await unfinished(copy), []);
    });

    it("on a full disk: as one that cannot be reached", async function () {
      const folder = temporaryFolder();
      try {
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], { stdio: "pipe" });
      } catch {
        return this.skip(); // Only root may mount, and not in every container.
      }
      try {
        const body = randomBytes(4 * mebibyte);
        const [first, full] = [fileStore(), new FileStore(folder)];
        const store = several(first, { store: full, required: false });
        assert.equal(await store.create(archive, streamOf(body)), body.length);
        assert.match(store.warnings.join(), /the disk is full/);
        await assert.rejects(
          several(fileStore(), { store: full, required: true }).create(archive, streamOf(body)),
          (error) => error instanceof Unavailable && /the disk is full/.test(error.message),
        );
        assert.deepEqual([await full.list(""), partials(full)], [[], []]);
      } finally {
        execFileSync("umount", ["-l", folder]);
      }
    });

    it("the first one: nothing in the others", async () => {
      const second = fileStore();
      const first = bucket({ endpoint: proxy.endpoint });
      faultOf = ({ part }) => (part === 2 ? "403" : undefined);
      const store = several(first, { store: second, required: false });
      await assert.rejects(store.create(archive, waitingStream()), Unavailable);
      assert.deepEqual(await second.list(""), []);
      assert.deepEqual(partials(second), []);
      assert.deepEqual(await unfinished(first), []);
      assert.deepEqual(store.warnings, [], "nothing was wrong with the optional one");
    });
  });

  it("keep nothing of a stream that breaks, or of a run that is interrupted", async () => {
    const [first, second] = [fileStore(), bucket()];
    const store = several(first, { store: second, required: false });
    const broken = new Error("pg_dump died");
    const interrupt = new AbortController();
    async function* ending(end: () => Promise<void>): AsyncGenerator<Buffer> {
      for (let n = 0; n < 12; n++) yield randomBytes(mebibyte);
      await end();
    }
    const dying = Readable.from(ending(() => Promise.reject(broken)));
    await assert.rejects(store.create(archive, dying), (error) => error === broken);
    const stalling = Readable.from(
      ending(() => {
        interrupt.abort(new Interrupted("SIGTERM"));
        return new Promise(() => undefined);
      }),
    );
    await assert.rejects(store.create(archive, stalling, interrupt.signal), Interrupted);
    await assert.rejects(store.create(archive, Buffer.from("x"), interrupt.signal), Interrupted);
    for (const copy of [first, second]) assert.deepEqual(await copy.list("backups/"), []);
    assert.deepEqual(await unfinished(second), []);
    assert.deepEqual(store.warnings, []);
  });

  it("never write a key twice; one that an optional store has already is that store's loss", async () => {
    const [first, second] = [fileStore(), fileStore()];
    const store = several(first, { store: second, required: false });
    await second.create(archive, Buffer.from("theirs"));
    await store.create(archive, streamOf(randomBytes(mebibyte)));
    assert.match(store.warnings.join(), /is lost for this run: .* exists already/);
    await assert.rejects(store.create(archive, streamOf(randomBytes(mebibyte))), AlreadyExists);
    assert.equal((await readBytes(second, archive)).toString(), "theirs");
  });

  it("write to a server without conditional writes too, if another store counts", async () => {
    const first = fileStore();
    const copy = bucket({ endpoint: proxy.endpoint, demand: "nothing" });
    faultOf = ({ headers }) => (headers["if-none-match"] !== undefined ? "501" : undefined);
    const body = randomBytes(12 * mebibyte);
    await several(first, { store: copy, required: true }).create(archive, streamOf(body));
    assert.equal(digest(await readBytes(copy, archive)), digest(body));
  });

  describe("are read", () => {
    it("from the next one where the first lacks an object or cannot be reached, but never what only the first has", async () => {
      const [second, third] = [fileStore(), fileStore()];
      await third.create(archive, Buffer.from("rows"));
      await third.create("receipts/a.json", Buffer.from("{}"));
      for (const first of [fileStore(), unreachable()]) {
        const store = several(first, { store: second, required: true }, { store: third, required: false });
        assert.equal((await readBytes(store, archive)).toString(), "rows");
        assert.match(store.warnings.join(), new RegExp(`read from ${third.url} instead: `));
        await assert.rejects(readBytes(store, "receipts/a.json"), first instanceof FileStore ? NotFound : Unavailable);
      }
      const absent = several(fileStore(), { store: unreachable(), required: true });
      await assert.rejects(absent.read(manifest), NotFound, "what the first one says, if none has it");
    });

    it("as the first one lists them, or the next if it cannot be reached", async () => {
      const second = fileStore();
      await second.create(manifest, Buffer.from("{}"));
      assert.deepEqual(await several(fileStore(), { store: second, required: true }).list("backups/"), []);
      const orphaned = several(unreachable(), { store: second, required: true });
      assert.equal((await orphaned.list("backups/")).length, 1);
      await assert.rejects(orphaned.list("receipts/"), Unavailable);
      await assert.rejects(orphaned.readVersioned("control/lease.json"), Unavailable);
    });

    it("on from the next one where the first breaks off in the middle", async () => {
      const prefix = freshPrefix();
      const second = fileStore();
      const body = randomBytes(3 * mebibyte);
      const first = bucket({ prefix, endpoint: proxy.endpoint });
      const store = several(first, { store: second, required: true });
      await store.create(archive, streamOf(body));
      let gets = 0;
      faultOf = ({ operation }) => (operation !== "GetObject" ? undefined : gets++ === 0 ? "cut the answer" : "403");
      assert.equal(digest(await readBytes(store, archive)), digest(body));
      assert.match(store.warnings.join(), /read on from file:/);
    });

    itSeesFiles("by one who gives up without leaving a file open", async () => {
      const folders = [temporaryFolder(), temporaryFolder()];
      const [first, second] = folders.map((folder) => new FileStore(folder));
      const store = several(first!, { store: second!, required: true });
      await store.create(archive, streamOf(randomBytes(4 * mebibyte)));
      for (let n = 0; n < 10; n++) {
        const stream = await store.read(archive);
        if (n % 2 === 0) await once(stream, "readable");
        assert.deepEqual(folders.map(openFiles), [1, 0]);
        stream.destroy();
        await once(stream, "close");
      }
      assert.deepEqual(folders.map(openFiles), [0, 0]);
    });
  });

  describe("on the command line", () => {
    const lost = `s3://${testBucket}/lost?endpoint=${nowhere}`;

    it("a lost optional one is a warning in the result and in the receipt, a lost required one exits 3", async () => {
      const { url } = await freshCrm(200);
      const [first, second] = [freshStore(), freshStore()];
      const env = { DATABASE_URL: url, ...aws(), ...deploymentVariables };
      const stores = `${first} ${second} optional:${lost}`;
      const third = bucket();
      await abandonUpload(third);

      const backup = await runCli(["db:backup", "--depth", "1", "--json"], { ...env, BACKUP_STORE: stores });
      assert.equal(backup.code, 0, backup.stderr);
      const result = JSON.parse(backup.stdout) as { warnings: string[]; backup: { name: string } };
      const warning = new RegExp(`the optional store s3://${testBucket}/lost is lost for this run: .*ECONNREFUSED`);
      assert.match(result.warnings.join(), warning);
      assert.match(backup.stderr, new RegExp(`^warning: ${warning.source}`, "m"));
      // The copy alone is enough to restore from, with its own address and nothing of the first.
      const restore = await runCli(["db:restore", "latest", "--yes"], { ...env, BACKUP_STORE: second });
      assert.equal(restore.code, 0, restore.stderr);

      const gate = await runCli(["gate", "run", "--json"], {
        ...{ ...env, BACKUP_STORE: stores, DBPROTECT_RELEASE_VERSION: "v1" },
      });
      assert.equal(gate.code, 0, gate.stderr);
      const { runId } = JSON.parse(gate.stdout) as { runId: string };
      const receipt = await new FileStore(new URL(first).pathname).read(`receipts/${runId}.json`);
      const written = JSON.parse(Buffer.concat(await receipt.toArray()).toString()) as { warnings: string[] };
      assert.match(written.warnings.join(), warning);

      const copied = await runCli(["db:backup", "--depth", "1"], { ...env, BACKUP_STORE: `${first} ${third.url}` });
      assert.equal(copied.code, 0, copied.stderr);
      assert.equal((await third.list("backups/")).filter(({ key }) => key.endsWith("/manifest.json")).length, 1);
      assert.deepEqual(await unfinished(third), [], "what a killed run left is taken back");

      const required = await runCli(["db:backup"], { ...env, BACKUP_STORE: `${first} ${lost}` });
      assert.equal(required.code, 3, required.stderr);
      assert.match(required.stderr, /cannot reach 127\.0\.0\.1:1/);
    });
  });

  function aws(): Record<string, string> {
    return Object.fromEntries(
      Object.entries(process.env).flatMap(([name, value]) =>
        name.startsWith("AWS_") && value !== undefined ? [[name, value]] : [],
      ),
    );
  }

  function bucket(options: Partial<S3StoreOptions> = {}): S3Store {
    return new S3Store({
      bucket: testBucket,
      prefix: freshPrefix(),
      parts: { shape: "fixed", bytes: smallestPart },
      pauseMilliseconds: 5,
      ...options,
    });
  }

  function unreachable(): S3Store {
    return bucket({ endpoint: nowhere });
  }

  async function abandonUpload(store: S3Store): Promise<void> {
    const client = new S3Client({ forcePathStyle: true });
    const place = { Bucket: testBucket, Key: `${store.url.split("/").at(-1)}/${archive}` };
    await client.send(new CreateMultipartUploadCommand(place));
    client.destroy();
    assert.equal((await unfinished(store)).length, 1);
  }

  async function unfinished(store: S3Store): Promise<unknown[]> {
    const client = new S3Client({ forcePathStyle: true });
    const prefix = `${store.url.split("/").at(-1)}/`;
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: testBucket, Prefix: prefix }));
    client.destroy();
    return Uploads ?? [];
  }
});

function several(first: Store, ...others: { store: Store; required: boolean }[]): ReplicatedStore {
  return new ReplicatedStore(first, others);
}

function fileStore(): FileStore {
  return new FileStore(join(temporaryFolder(), "store"));
}

function partials(store: FileStore): string[] {
  assert.ok(store.url.startsWith(pathToFileURL("/").href));
  return readdirSync(join(new URL(store.url).pathname, ".partial"));
}

function streamOf(body: Buffer): Readable {
  const chunks = Array.from({ length: Math.ceil(body.length / 300_000) }, (_, n) =>
    body.subarray(n * 300_000, (n + 1) * 300_000),
  );
  return Readable.from(chunks, { objectMode: false });
}

/** As pg_dump's output: after twelve megabytes it waits for somebody to read on. */
function waitingStream(): Readable {
  const stream = new Readable({ read: () => undefined });
  for (let n = 0; n < 12; n++) stream.push(randomBytes(mebibyte));
  return stream;
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
