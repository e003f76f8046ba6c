/** What an S3 server supports is tried at the first write to a store and recorded in it. */
import { DeleteObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { UsageError } from "../../scripts/contract/failure";
import { s3SupportKey } from "../../scripts/store/layout";
import { S3Store } from "../../scripts/store/s3Store";
import { type S3Support, s3SupportSchema } from "../../scripts/store/s3Support";
import { AlreadyExists, readBytes } from "../../scripts/store/store";
import { type Fault, type ProxiedRequest, type S3FaultProxy, startS3FaultProxy } from "../servers/s3FaultProxy";
import { sharedSeaweed } from "../servers/seaweedfs";
import { freshPrefix, testBucket, useTestBucket } from "../servers/stores";

describe("what an S3 server supports", function () {
  this.timeout(60_000);
  let proxy: S3FaultProxy;
  let requests: ProxiedRequest[] = [];
  let faultOf: (request: ProxiedRequest) => Fault | undefined;

  before(async () => {
    await useTestBucket();
    proxy = await startS3FaultProxy((await sharedSeaweed()).endpoint, (request) => {
      requests.push(request);
      return faultOf(request);
    });
  });

  after(() => proxy.stop());

  beforeEach(async () => {
    await useTestBucket();
    requests = [];
    faultOf = () => undefined;
  });

  it("is tried once, not by every run", async () => {
    const prefix = freshPrefix();
    await newStore(prefix).create("receipts/a.json", Buffer.from("{}"));
    assert.ok(probes() >= 3, `${probes()} probes`);
    requests = [];
    await newStore(prefix).create("receipts/b.json", Buffer.from("{}"));
    assert.deepEqual(
      requests.map(({ operation, url }) => [operation, url.split("/").slice(3).join("/").split("?")[0]]),
      [
        ["GetObject", s3SupportKey],
        ["PutObject", "receipts/b.json"],
        // Whether the server kept what it took.
        ["HeadObject", "receipts/b.json"],
      ],
    );
  });

  it("is recorded with what the bucket does: versioning, object lock", async () => {
    const support = await recordOf(freshPrefix(), testBucket);
    const all = { writeOnce: true, completeOnce: true, swap: true, multipart: true };
    assert.deepEqual({ ...support, at: "" }, {
      ...{ schemaVersion: 1, host: new URL(proxy.endpoint).host, at: "", ...all },
      ...{ versioning: "off", objectLock: "off" },
    } satisfies S3Support);
    const locked = `dbp-support-${process.pid}`;
    await (await sharedSeaweed()).createBucket(locked, { objectLock: true });
    const { versioning, objectLock } = await recordOf("crm", locked);
    assert.deepEqual([versioning, objectLock], ["enabled", "enabled"]);
  });

  it("is unknown where these credentials may not ask", async () => {
    faultOf = ({ url }) => (/\?(versioning|object-lock)/.test(url) ? "403" : undefined);
    const { versioning, objectLock } = await recordOf(freshPrefix(), testBucket);
    assert.deepEqual([versioning, objectLock], ["unknown", "unknown"]);
  });

  it("is tried again when the record is of another server, old, or damaged", async () => {
    const prefix = freshPrefix();
    const good = await recordOf(prefix, testBucket);
    const monthAgo = new Date(Date.now() - 31 * 86_400_000).toISOString();
    for (const record of [
      JSON.stringify({ ...good, host: "s3.example.com" }),
      JSON.stringify({ ...good, at: monthAgo }),
      '{"schemaVersion": 1, "host',
    ]) {
      await put(prefix, record);
      requests = [];
      await newStore(prefix).support();
      assert.ok(probes() >= 2, record);
      const again = s3SupportSchema.parse(JSON.parse((await readBytes(newStore(prefix), s3SupportKey)).toString()));
      assert.equal(again.host, good.host);
      assert.ok(again.at >= good.at);
    }
  });

  it("a server without conditional writes is refused as the store that counts, and nothing is recorded", async () => {
    faultOf = withoutConditions;
    const prefix = freshPrefix();
    await assert.rejects(
      newStore(prefix).create("receipts/a.json", Buffer.from("{}")),
      (error) => error instanceof UsageError && /ignores If-None-Match/.test(error.message),
    );
    assert.deepEqual(await newStore(prefix).list(""), []);
  });

  it("a server without conditional writes will do beside one that counts: keys are looked for before", async () => {
    faultOf = withoutConditions;
    const prefix = freshPrefix();
    const store = newStore(prefix, "nothing");
    await store.create("environment/a.json.enc", Buffer.from("one"));
    await assert.rejects(store.create("environment/a.json.enc", Buffer.from("two")), AlreadyExists);
    assert.equal((await readBytes(store, "environment/a.json.enc")).toString(), "one");
    const { writeOnce, completeOnce, swap } = await store.support();
    assert.deepEqual([writeOnce, completeOnce, swap], [false, false, false]);
    // Once it can, it counts as any other: what it could not is no reason to refuse it for a month.
    faultOf = () => undefined;
    await newStore(prefix).create("receipts/a.json", Buffer.from("{}"));
  });

  function newStore(prefix: string, demand: "conditions" | "nothing" = "conditions", bucket = testBucket): S3Store {
    return new S3Store({ bucket, prefix, demand, endpoint: proxy.endpoint, pauseMilliseconds: 5 });
  }

  async function recordOf(prefix: string, bucket: string): Promise<S3Support> {
    const store = newStore(prefix, "conditions", bucket);
    await store.support();
    return s3SupportSchema.parse(JSON.parse((await readBytes(store, s3SupportKey)).toString()));
  }

  /** As Backblaze B2 answers. */
  function withoutConditions({ headers, operation }: ProxiedRequest): Fault | undefined {
    const conditional = headers["if-none-match"] !== undefined || headers["if-match"] !== undefined;
    return conditional && operation !== "GetObject" ? "501" : undefined;
  }

  function probes(): number {
    return requests.filter(({ url, method }) => url.includes("conditional-writes.txt") && method === "PUT").length;
  }

  async function put(prefix: string, body: string): Promise<void> {
    const client = new S3Client({ forcePathStyle: true });
    const place = { Bucket: testBucket, Key: `${prefix}/${s3SupportKey}` };
    await client.send(new DeleteObjectCommand(place));
    await client.send(new PutObjectCommand({ ...place, Body: body }));
    client.destroy();
  }
});
