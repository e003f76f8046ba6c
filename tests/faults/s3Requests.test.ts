/**
 * Every request of an upload fails in every way, once or for good: the object is there whole or not at all, nothing
 * unfinished stays after the next run, and no message holds a secret.
 */
import { ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Failure, Interrupted, Unavailable } from "../../scripts/contract/failure";
import { PartMemory } from "../../scripts/store/partMemory";
import { smallestPart } from "../../scripts/store/parts";
import { S3Store, type S3StoreOptions } from "../../scripts/store/s3Store";
import { AlreadyExists, NotFound, readBytes } from "../../scripts/store/store";
import { isCampaign, randomNumbers, seeds } from "../servers/campaign";
import { type Fault, type ProxiedRequest, type S3FaultProxy, startS3FaultProxy } from "../servers/s3FaultProxy";
import { sharedSeaweed } from "../servers/seaweedfs";
import { freshPrefix, temporaryFolder, testBucket, useTestBucket } from "../servers/stores";

const mebibyte = 1024 * 1024;
const archive = "backups/manual/backup_20260101_000000/data-000.dump.zst";

describe("requests to an S3 store", function () {
  this.timeout(isCampaign ? 600_000 : 60_000);
  let real: string;
  let secret: string;
  let proxy: S3FaultProxy;
  let faultOf: (request: ProxiedRequest) => Fault | undefined = () => undefined;
  const before_ = { ...process.env };

  before(async () => {
    await useTestBucket();
    const server = await sharedSeaweed();
    real = server.endpoint;
    secret = server.secretKey;
    proxy = await startS3FaultProxy(real, (request) => faultOf(request));
  });

  after(() => proxy.stop());

  afterEach(() => {
    faultOf = () => undefined;
    for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
    Object.assign(process.env, Object.fromEntries(Object.entries(before_).filter(([name]) => name.startsWith("AWS_"))));
  });

  beforeEach(useTestBucket);

  describe("that fail once", () => {
    const onceEach: readonly Fault[] = [
      "500",
      "503",
      "reset before",
      "reset after",
      "500 after",
      "error in a 200",
      "stall",
      "expired token",
    ];
    const only: Partial<Record<Fault, readonly ProxiedRequest["operation"][]>> = {
      // Only an answer with a body can be 200 and hold an error.
      "error in a 200": ["CompleteMultipartUpload"],
      // The SDK waits longer for an overloaded server than for a broken one.
      "503": ["UploadPart", "CompleteMultipartUpload"],
    };
    for (const fault of onceEach)
      it(`by "${fault}" are made again, and the object is whole`, async () => {
        const { store, clean } = await freshStore(
          // Short where a stall is what is tried, and no limit where a busy machine could look like one.
          { stallSeconds: fault === "stall" ? 1 : 60 },
          fault === "expired token" ? "new" : "probed",
        );
        const body = randomBytes(12 * mebibyte);
        const failed = new Set<string>();
        faultOf = ({ operation, part }) => {
          const what = operation === "UploadPart" ? `part ${part}` : operation;
          if (operation === "Other" || failed.has(what)) return undefined;
          if (only[fault]?.includes(operation) === false) return undefined;
          failed.add(what);
          return fault;
        };
        assert.equal(await store.create(archive, streamOf(body)), body.length);
        assert.equal(await store.create("receipts/a.json", Buffer.from("{}")), 2);
        assert.ok(failed.size >= (only[fault]?.length ?? 6), [...failed].join());
        assert.equal(digest(await readBytes(clean, archive)), digest(body));
        assert.equal((await readBytes(clean, "receipts/a.json")).toString(), "{}");
        // The answer that named an upload may have been lost, and the upload with it.
        await clean.removeUnfinished();
        assert.deepEqual(await unfinishedBelow(clean), []);
      });

    it('by "stall the answer" or "cut the answer" are taken up where they broke', async () => {
      for (const fault of ["stall the answer", "cut the answer"] as const) {
        const { store, clean } = await freshStore({ stallSeconds: 0.4 });
        const body = randomBytes(6 * mebibyte);
        await clean.create(archive, streamOf(body));
        let failed = 0;
        faultOf = ({ operation, url }) =>
          operation === "GetObject" && url.includes("backups/") && failed++ < 2 ? fault : undefined;
        assert.equal(digest(await readBytes(store, archive)), digest(body));
        assert.equal(failed, 3);
      }
    });
  });

  describe("that fail for good", () => {
    for (const operation of ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"] as const)
      for (const fault of ["403", "500", "reset before"] as const)
        it(`${operation} by "${fault}": exit 3, and nothing is left`, async () => {
          const { store, clean } = await freshStore();
          faultOf = (request) => (request.operation === operation && request.part !== 1 ? fault : undefined);
          const body = streamOf(randomBytes(12 * mebibyte));
          await assert.rejects(store.create(archive, body), failure(Unavailable, /^store s3:/));
          assert.ok(body.destroyed);
          assert.deepEqual(await clean.list("backups/"), []);
          assert.deepEqual(await unfinishedBelow(clean), []);
        });

    it("by an expired token of which there is no other: exit 3, with what to do", async () => {
      const { store } = await freshStore();
      faultOf = () => "expired token";
      await assert.rejects(
        store.create("receipts/a.json", Buffer.from("{}")),
        failure(Unavailable, /session credentials for 127\.0\.0\.1:\d+ have expired/),
      );
    });

    it("whose upload somebody else took back say so", async () => {
      const { store, clean } = await freshStore();
      async function* interfered(): AsyncGenerator<Buffer> {
        for (let n = 0; n < 8; n++) yield randomBytes(mebibyte);
        while ((await clean.removeUnfinished()) === 0);
        for (let n = 0; n < 8; n++) yield randomBytes(mebibyte);
      }
      await assert.rejects(
        store.create(archive, Readable.from(interfered())),
        failure(Unavailable, /the unfinished upload is gone/),
      );
      assert.deepEqual(await clean.list("backups/"), []);
    });
  });

  it("are signed with the credentials that a file holds by now", async () => {
    const { accessKey, secretKey } = await sharedSeaweed();
    const file = join(temporaryFolder(), "credentials");
    const write = (key: string): void =>
      writeFileSync(file, `[copy]\naws_access_key_id = ${key}\naws_secret_access_key = ${secretKey}\n`);
    write("EXPIREDKEY");
    process.env["AWS_SHARED_CREDENTIALS_FILE"] = file;
    const { store, clean } = await freshStore({ profile: "copy" });
    let refused = 0;
    faultOf = ({ headers }) => {
      if (!headers.authorization?.includes("Credential=EXPIREDKEY/")) return undefined;
      refused += 1;
      write(accessKey);
      return "expired token";
    };
    await store.create(archive, streamOf(Buffer.alloc(12 * mebibyte)));
    assert.equal(refused, 1);
    assert.equal((await clean.list("backups/")).length, 1);
  });

  it("for more parts than the server allows: the setting for it is named, and works", async () => {
    const cap = 2;
    faultOf = ({ part }) => (part > cap ? "400" : undefined);
    const { store, clean } = await freshStore();
    const body = randomBytes(12 * mebibyte);
    await assert.rejects(store.create(archive, streamOf(body)), (error) => {
      assert.match((error as Failure).hint ?? "", /\?mostParts=2/);
      return failure(Unavailable, /400 InvalidArgument.*\(part 3\)/)(error);
    });
    assert.deepEqual(await unfinishedBelow(clean), []);

    const growing = await freshStore({ parts: { bytes: smallestPart, mostParts: cap } });
    assert.equal(await growing.store.create(archive, streamOf(body)), body.length);
    assert.equal(digest(await readBytes(growing.clean, archive)), digest(body));

    const fixed = await freshStore({ parts: { shape: "fixed", bytes: smallestPart, mostParts: cap } });
    await assert.rejects(fixed.store.create(archive, streamOf(body)), (error) => {
      assert.match((error as Failure).hint ?? "", /partMebibytes/);
      return failure(Unavailable, /larger than the 2 parts/)(error);
    });
    assert.deepEqual(await fixed.clean.list("backups/"), []);
    assert.deepEqual(await unfinishedBelow(fixed.clean), []);
  });

  it("cut parts of one size where they are to be", async () => {
    const lengths = new Map<number, number>();
    faultOf = ({ part, headers }) => void lengths.set(part, Number(headers["content-length"]));
    const { store } = await freshStore({ parts: { shape: "fixed", bytes: smallestPart, mostParts: 3 } });
    await store.create(archive, streamOf(Buffer.alloc(12 * mebibyte)));
    assert.deepEqual(
      [1, 2, 3].map((part) => lengths.get(part)),
      [5, 5, 2].map((n) => n * mebibyte),
    );
  });

  it("name the KMS key wherever an object begins", async () => {
    const headers = new Map<string, unknown>();
    faultOf = (request) => {
      if (["PutObject", "CreateMultipartUpload"].includes(request.operation))
        headers.set(request.url.replace(/^\/[^/]+\/[^/]+\//, "").split("?")[0]!, [
          request.headers["x-amz-server-side-encryption"],
          request.headers["x-amz-server-side-encryption-aws-kms-key-id"],
        ]);
      // The server of the tests has no KMS.
      return request.url.includes("s3-support") || request.headers["x-amz-server-side-encryption"] === undefined
        ? undefined
        : "501";
    };
    const { clean } = await freshStore();
    const options = {
      bucket: testBucket,
      prefix: prefixOf(clean),
      endpoint: proxy.endpoint,
      kmsKeyId: "alias/backups",
    };
    const encrypted = new S3Store({ ...options, parts: { bytes: smallestPart } });
    headers.clear();
    await assert.rejects(encrypted.create("receipts/a.json", Buffer.from("{}")), Unavailable);
    await assert.rejects(encrypted.create(archive, streamOf(Buffer.alloc(6 * mebibyte))), Unavailable);
    assert.deepEqual(
      [...headers],
      ["receipts/a.json", archive].map((key) => [key, ["aws:kms", "alias/backups"]]),
    );
  });

  it("of parallel uploads hold no more memory than all may together", async () => {
    const memory = new PartMemory(20 * mebibyte);
    const { clean } = await freshStore({ memory });
    const bodies = Array.from({ length: 4 }, () => randomBytes(17 * mebibyte));
    const store = new S3Store({
      bucket: testBucket,
      prefix: prefixOf(clean),
      parts: { shape: "fixed", bytes: smallestPart },
      memory,
    });
    await Promise.all(bodies.map((body, n) => store.create(`${archive}-${n}`, streamOf(body))));
    assert.equal(memory.peak, 20 * mebibyte);
    for (const [n, body] of bodies.entries())
      assert.equal(digest(await readBytes(store, `${archive}-${n}`)), digest(body));
  });

  it("of a killed run leave an upload that the next run takes back, and no other's", async () => {
    const { clean } = await freshStore();
    const { clean: neighbour } = await freshStore();
    const actors = [clean, neighbour].map((store) => {
      const script = join(__dirname, "../integration/storeActor.ts");
      return spawn(process.execPath, ["--require", "tsx/cjs", script, store.url, "hang", archive], { stdio: "pipe" });
    });
    try {
      await Promise.all(actors.map(({ stdout }) => once(stdout, "data")));
      for (const store of [clean, neighbour]) while ((await unfinishedBelow(store)).length === 0);
      actors[0]?.kill("SIGKILL");
      assert.equal(await clean.removeUnfinished(), 1);
      assert.deepEqual(await unfinishedBelow(clean), []);
      assert.equal((await unfinishedBelow(neighbour)).length, 1);
      assert.deepEqual(await clean.list("backups/"), []);
    } finally {
      for (const actor of actors) actor.kill("SIGKILL");
      await neighbour.removeUnfinished();
    }
  });

  it("for unfinished uploads that are denied are a warning, not a failure", async () => {
    const lines: string[] = [];
    const { store } = await freshStore({ onWarning: (line) => lines.push(line) });
    faultOf = ({ operation }) => (operation === "ListMultipartUploads" ? "403" : undefined);
    assert.equal(await store.removeUnfinished(), 0);
    assert.match(lines[0] ?? "", /unfinished uploads were not removed: .*denies access/);
    assert.deepEqual(store.warnings, lines);
  });

  describe("that fail at random", () => {
    const random: readonly Fault[] = ["500", "503", "reset before", "reset after", "500 after", "cut the answer"];
    const rare: readonly Fault[] = ["stall", "403", "400", "501", "error in a 200"];
    for (const seed of seeds(100))
      it(`leave objects whole or not at all, and no upload (seed ${seed})`, async () => {
        const { store, clean } = await freshStore({ stallSeconds: 0.3 }, seed % 5 === 0 ? "new" : "probed");
        const random01 = randomNumbers(seed);
        const pick = <T>(from: readonly T[]): T => from[Math.floor(random01() * from.length)] as T;
        const frequency = pick([0.05, 0.15, 0.3]);
        faultOf = () => {
          if (random01() > frequency) return undefined;
          return random01() < 0.05 ? pick(rare) : pick(random);
        };
        const interrupt = new AbortController();
        const ending = pick(["whole", "whole", "broken", "interrupted"]);
        const bodies = new Map(
          [1, 2, 3].map((n) => [`${archive}-${n}`, randomBytes(Math.floor(random01() * 14 * mebibyte))]),
        );
        async function* source(body: Buffer): AsyncGenerator<Buffer> {
          for (let at = 0; at < body.length; at += 777_777) {
            yield body.subarray(at, at + 777_777);
            if (ending === "whole" || at < body.length / 2) continue;
            if (ending === "broken") throw new Error("pg_dump died");
            interrupt.abort(new Interrupted("SIGTERM"));
          }
        }
        const results = await Promise.allSettled(
          [...bodies].map(([key, body]) =>
            store.create(key, Readable.from(source(body), { objectMode: false }), interrupt.signal),
          ),
        );
        faultOf = () => undefined;
        const stored = new Set((await clean.list("backups/")).map(({ key }) => key));
        for (const [n, [key, body]] of [...bodies].entries()) {
          const result = results[n];
          if (result?.status === "rejected") {
            const error = result.reason as Error;
            assert.ok(error instanceof Failure || error.message === "pg_dump died", error.stack);
            assert.doesNotMatch(`${error.message} ${(error as Partial<Failure>).hint}`, new RegExp(secret));
            if (ending !== "whole" && body.length > 2 * 777_777)
              assert.ok(!stored.has(key), "kept what was broken off");
          } else assert.ok(stored.has(key), "a success without an object");
          if (stored.has(key)) assert.equal(digest(await readBytes(clean, key)), digest(body), "half an object");
          else await assert.rejects(clean.read(key), NotFound);
        }
        await clean.removeUnfinished();
        assert.deepEqual(await unfinishedBelow(clean), []);
        // What a run whose answers were lost left in a key's place is not its own to replace.
        for (const [key] of bodies)
          if (stored.has(key)) await assert.rejects(clean.create(key, Buffer.from("x")), AlreadyExists);
      });
  });

  /** A store behind the proxy, and the same one without it. */
  async function freshStore(
    options: Partial<S3StoreOptions> = {},
    kind: "probed" | "new" = "probed",
  ): Promise<{ store: S3Store; clean: S3Store }> {
    const place = {
      bucket: testBucket,
      prefix: freshPrefix(),
      parts: { shape: "fixed", bytes: smallestPart },
      pauseMilliseconds: 5,
    } as const;
    const behind = { ...place, ...options, endpoint: proxy.endpoint };
    // A store's first write tries what its server supports.
    if (kind === "probed") await new S3Store({ ...behind, profile: undefined }).support();
    return { store: new S3Store(behind), clean: new S3Store(place) };
  }

  function failure(kind: typeof Unavailable, message: RegExp): (error: unknown) => boolean {
    return (error) => {
      assert.ok(error instanceof kind, String(error));
      assert.match(error.message, message);
      assert.doesNotMatch(`${error.message} ${error.hint}`, new RegExp(secret));
      return true;
    };
  }

  async function unfinishedBelow(store: S3Store): Promise<unknown[]> {
    const client = new S3Client({ endpoint: real, forcePathStyle: true });
    const prefix = `${prefixOf(store)}/`;
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: testBucket, Prefix: prefix }));
    client.destroy();
    return Uploads ?? [];
  }
});

function prefixOf(store: S3Store): string {
  return store.url.split("/").at(-1) ?? assert.fail("no prefix");
}

function streamOf(body: Buffer): Readable {
  const chunks = Array.from({ length: Math.ceil(body.length / mebibyte) }, (_, n) =>
    body.subarray(n * mebibyte, (n + 1) * mebibyte),
  );
  return Readable.from(chunks, { objectMode: false });
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
