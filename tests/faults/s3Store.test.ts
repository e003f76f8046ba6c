/** A store in a bucket when things go wrong: broken uploads and downloads, lost answers, servers that ignore conditions. */
import { ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { Interrupted, Unavailable, UsageError } from "../../scripts/contract/failure";
import { smallestPart } from "../../scripts/store/parts";
import { S3Store } from "../../scripts/store/s3Store";
import { AlreadyExists, readBytes } from "../../scripts/store/store";
import { type Fault, type ProxiedRequest, type S3FaultProxy, serve, startS3FaultProxy } from "../servers/s3FaultProxy";
import { freshPrefix, testBucket, useTestBucket } from "../servers/stores";

const mebibyte = 1024 * 1024;

describe("s3 store under faults", function () {
  this.timeout(120_000);
  const before_ = { ...process.env };
  let real: string;

  before(async () => {
    await useTestBucket();
    real = process.env["AWS_ENDPOINT_URL_S3"] ?? assert.fail("no server");
  });

  afterEach(() => {
    for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
    Object.assign(process.env, Object.fromEntries(Object.entries(before_).filter(([name]) => name.startsWith("AWS_"))));
  });

  beforeEach(useTestBucket);

  it("leaves no unfinished upload behind: stream error, interruption, taken key", async () => {
    const store = newStore();
    async function* dying(): AsyncGenerator<Buffer> {
      for (let n = 0; n < 12; n++) yield randomBytes(mebibyte);
      throw new Error("pg_dump died");
    }
    await assert.rejects(store.create("backups/manual/a", Readable.from(dying())), /pg_dump died/);

    const interrupt = new AbortController();
    async function* stalling(): AsyncGenerator<Buffer> {
      for (let n = 0; n < 12; n++) yield randomBytes(mebibyte);
      interrupt.abort(new Interrupted("SIGTERM"));
      await new Promise(() => undefined);
    }
    await assert.rejects(store.create("backups/manual/a", Readable.from(stalling()), interrupt.signal), Interrupted);

    // The key is taken while the parts are under way: only the last request can notice.
    async function* overtaken(): AsyncGenerator<Buffer> {
      for (let n = 0; n < 12; n++) yield randomBytes(mebibyte);
      await store.create("backups/manual/a", Buffer.from("theirs"));
    }
    await assert.rejects(store.create("backups/manual/a", Readable.from(overtaken())), AlreadyExists);
    assert.equal((await readBytes(store, "backups/manual/a")).toString(), "theirs");
    assert.deepEqual(await unfinishedUploads(), []);
  });

  it("recognises its own write when the answer was lost and the request repeated", async () => {
    const lost: string[] = [];
    await throughProxy(
      ({ method, url }) => {
        // The first try of: a plain write, a swap, the completion of an upload. Not the proofs that go before.
        const write = ["PUT receipts/a.json", "PUT control/lease.json", "POST backups/manual/a?uploadId"].find((each) =>
          `${method} ${url}`.replace(/ .*\/t-[0-9a-f]+\//, " ").startsWith(each),
        );
        if (write === undefined || lost.includes(write)) return undefined;
        lost.push(write);
        return "reset after";
      },
      async () => {
        const store = newStore();
        assert.equal(await store.create("receipts/a.json", Buffer.from("{}")), 2);
        const version = await store.swap("control/lease.json", Buffer.from("1"), undefined);
        assert.equal((await store.readVersioned("control/lease.json"))?.version, version);
        assert.equal(await store.create("backups/manual/a", bigStream().stream), 12 * mebibyte);
        await assert.rejects(store.create("receipts/a.json", Buffer.from("{}")), AlreadyExists);
      },
    );
    assert.equal(lost.length, 3);
    assert.deepEqual(await unfinishedUploads(), []);
  });

  it("takes a broken download up where it broke", async () => {
    const { stream, sha256 } = bigStream();
    const prefix = freshPrefix();
    await newStore(prefix).create("backups/manual/a", stream);
    let cuts = 0;
    await throughProxy(
      ({ method }) => (method === "GET" && cuts++ < 2 ? "cut the answer" : undefined),
      async () => {
        const hash = createHash("sha256");
        for await (const chunk of await newStore(prefix).read("backups/manual/a")) hash.update(chunk as Buffer);
        assert.equal(hash.digest("hex"), await sha256);
      },
    );
    assert.ok(cuts > 2);
  });

  it("gives a download up when it breaks again and again", async () => {
    const prefix = freshPrefix();
    await newStore(prefix).create("receipts/a.json", Buffer.from("x".repeat(100)));
    await throughProxy(
      ({ method, headers }) => (method === "GET" && headers.range === undefined ? "cut the answer" : undefined),
      async (proxy) => {
        const stream = await newStore(prefix).read("receipts/a.json");
        await proxy.stop();
        await assert.rejects(buffer(stream), Unavailable);
      },
    );
  });

  it("refuses a server that ignores conditions, before anything is written to it", async () => {
    const written: string[] = [];
    await withServer(
      await serve((req, res) => {
        if (req.method !== "GET") written.push(req.url ?? "");
        req.resume().on("end", () => res.writeHead(200, { etag: '"00"' }).end());
      }),
      async () => {
        for (const write of [
          () => newStore().create("receipts/a.json", Buffer.from("{}")),
          () => newStore().swap("control/lease.json", Buffer.from("{}"), undefined),
        ])
          await assert.rejects(
            write,
            (error) =>
              error instanceof UsageError &&
              /127\.0\.0\.1:\d+ ignores If-None-Match/.test(error.message) &&
              /conditional writes/.test(error.hint ?? ""),
          );
      },
    );
    assert.ok(
      written.length > 0 && written.every((url) => url.includes("/control/conditional-writes.txt")),
      written.join(),
    );
  });

  it("tells a server that lost the first object from one that ignores conditions: the next run goes on", async () => {
    const prefix = freshPrefix();
    let lost = 0;
    await throughProxy(
      ({ method }) => (method === "PUT" && lost++ === 0 ? "keeps nothing" : undefined),
      async () => {
        const write = (): Promise<number> => newStore(prefix).create("receipts/a.json", Buffer.from("{}"));
        await assert.rejects(
          write,
          (error) => error instanceof Unavailable && /took an object and did not keep it/.test(error.message),
        );
        assert.equal(await write(), 2);
      },
    );
    assert.ok(lost > 0);
  });

  it("refuses a server that honours only some conditions", async () => {
    await withServer(
      await serve((req, res) => {
        const refused = req.headers["if-none-match"] !== undefined;
        req.resume().on("end", () => res.writeHead(refused ? 412 : 200, { etag: '"00"' }).end());
      }),
      async () => {
        await assert.rejects(newStore().create("receipts/a.json", Buffer.from("{}")), /ignores If-Match,/);
      },
    );
  });

  it("names endpoint, bucket and remedy for each way of being unreachable (exit 3), and no secret", async () => {
    const unavailable =
      (message: RegExp, hint: RegExp) =>
      (error: unknown): boolean => {
        assert.ok(error instanceof Unavailable, String(error));
        assert.match(error.message, message);
        assert.match(error.hint ?? "", hint);
        assert.doesNotMatch(
          `${error.message} ${error.hint}`,
          new RegExp(before_["AWS_SECRET_ACCESS_KEY"] ?? "wrong-secret"),
        );
        return true;
      };
    const body = Buffer.from("{}");

    await assert.rejects(
      new S3Store({ bucket: "dbp-no-such-bucket", prefix: "x" }).list(""),
      unavailable(/has no bucket dbp-no-such-bucket/, /create the bucket/),
    );
    process.env["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:1";
    await assert.rejects(
      newStore().create("receipts/a.json", body),
      unavailable(/127\.0\.0\.1:1: ECONNREFUSED/, /AWS_ENDPOINT_URL_S3/),
    );
    process.env["AWS_ENDPOINT_URL_S3"] = "http://no-such-host.invalid";
    await assert.rejects(
      newStore().read("receipts/a.json"),
      unavailable(/no-such-host\.invalid: (ENOTFOUND|EAI_AGAIN)/, /network/),
    );
    process.env["AWS_ENDPOINT_URL_S3"] = real;
    process.env["AWS_SECRET_ACCESS_KEY"] = "wrong-secret";
    await assert.rejects(
      newStore().create("receipts/a.json", body),
      unavailable(/does not accept these credentials/, /AWS_SECRET_ACCESS_KEY/),
    );
    process.env["AWS_ACCESS_KEY_ID"] = "nobody";
    await assert.rejects(newStore().list(""), unavailable(/does not accept these credentials/, /AWS_ACCESS_KEY_ID/));
  });

  it("says that the region is missing (exit 2)", async () => {
    delete process.env["AWS_REGION"];
    process.env["AWS_CONFIG_FILE"] = "/nonexistent";
    await assert.rejects(newStore().list(""), { name: "UsageError", message: /^AWS_REGION: / });
  });

  it("lets go at once of an endpoint that never answers when interrupted", async () => {
    const interrupt = new AbortController();
    await withServer(await serve(() => undefined), async () => {
      setTimeout(() => interrupt.abort(new Interrupted("SIGINT")), 300);
      await assert.rejects(newStore().create("receipts/a.json", Buffer.from("{}"), interrupt.signal), Interrupted);
    });
  });

  function newStore(prefix: string = freshPrefix()): S3Store {
    return new S3Store({
      bucket: testBucket,
      prefix,
      parts: { shape: "fixed", bytes: smallestPart },
      pauseMilliseconds: 10,
    });
  }

  async function unfinishedUploads(): Promise<unknown[]> {
    const client = new S3Client({ endpoint: real, forcePathStyle: true });
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: testBucket }));
    client.destroy();
    return Uploads ?? [];
  }

  /** Runs `work` with the real server behind a network, or in the place of one, that does this to requests. */
  async function throughProxy(
    faultOf: (request: ProxiedRequest) => Fault | undefined,
    work: (proxy: S3FaultProxy) => Promise<void>,
  ): Promise<void> {
    await withServer(await startS3FaultProxy(real, faultOf), work);
  }

  /** Runs `work` with this server as the S3 endpoint. */
  async function withServer(server: S3FaultProxy, work: (server: S3FaultProxy) => Promise<void>): Promise<void> {
    process.env["AWS_ENDPOINT_URL_S3"] = server.endpoint;
    try {
      await work(server);
    } finally {
      await server.stop();
    }
  }

  function bigStream(): { stream: Readable; sha256: Promise<string> } {
    const hash = createHash("sha256");
    const end = Promise.withResolvers<string>();
    function* chunks(): Generator<Buffer> {
      for (let n = 0; n < 12; n++) {
        const chunk = randomBytes(mebibyte);
        hash.update(chunk);
        yield chunk;
      }
      end.resolve(hash.digest("hex"));
    }
    return { stream: Readable.from(chunks(), { objectMode: false }), sha256: end.promise };
  }
});
