/** Object lock as a real S3 server keeps it: on each object until its own end, and not on what is replaced. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutObjectRetentionCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { UsageError } from "../../scripts/contract/failure";
import { openStore } from "../../scripts/store/openStore";
import { NotFound, type Store } from "../../scripts/store/store";
import { type Seaweed, sharedSeaweed } from "../servers/seaweedfs";
import { testBucket, useTestBucket } from "../servers/stores";

const bucket = `dbp-lock-${process.pid}`;
const day = 86_400_000;

/** Now, as a backup's name tells it: to the second. */
const taken = new Date(Math.floor(Date.now() / 1000) * 1000);
const name = `backup_${taken.toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15)}`;

describe("object lock", function () {
  this.timeout(60_000);
  let server: Seaweed;
  let client: S3Client;
  let store: Store;

  before(async () => {
    await useTestBucket();
    server = await sharedSeaweed();
    await server.createBucket(bucket, { objectLock: true });
    client = new S3Client({
      endpoint: server.endpoint,
      region: server.region,
      forcePathStyle: true,
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    });
    store = openStore(
      `s3://${bucket}/crm?lockMode=compliance&lockDays=daily:7,monthly:366,records:30&partMebibytes=5`,
      {},
    );
  });
  after(() => client.destroy());

  const until = async (key: string): Promise<unknown> => (await store.removability(key))?.lockedUntil;

  it("ends with the promise of the object's tier, whether it was written at once or in parts", async () => {
    await store.create(`backups/daily/${name}/manifest.json`, Buffer.from("{}"));
    const parts = Readable.from(Array(7).fill(Buffer.alloc(1024 ** 2)), { objectMode: false });
    await store.create(`backups/monthly/${name}/data-000.dump.zst`, parts);
    await store.create(`backups/manual/${name}/manifest.json`, Buffer.from("{}"));
    assert.deepEqual(await until(`backups/daily/${name}/manifest.json`), new Date(taken.getTime() + 7 * day));
    assert.deepEqual(await until(`backups/monthly/${name}/data-000.dump.zst`), new Date(taken.getTime() + 366 * day));
    assert.equal(await until(`backups/manual/${name}/manifest.json`), null);
  });

  it("of a copy ends with that of the original, and is none when that is over", async () => {
    const month = backupNamed(new Date(taken.getTime() - 30 * day));
    await store.create(`backups/monthly/${month.name}/manifest.json`, Buffer.from("{}"));
    await store.create(`backups/daily/${month.name}/manifest.json`, Buffer.from("{}"));
    assert.deepEqual(
      await until(`backups/monthly/${month.name}/manifest.json`),
      new Date(month.time.getTime() + 366 * day),
    );
    assert.equal(await until(`backups/daily/${month.name}/manifest.json`), null);
  });

  it("keeps a record, and leaves what is replaced alone", async () => {
    await store.create("receipts/a.json", Buffer.from("{}"));
    const end = (await until("receipts/a.json")) as Date;
    assert.ok(Math.abs(end.getTime() - Date.now() - 30 * day) < 3_600_000);
    const version = await store.swap("control/lease.json", Buffer.from("1"), undefined);
    assert.ok((await store.swap("control/lease.json", Buffer.from("2"), version)) !== undefined);
    for (const key of ["control/lease.json", "control/s3-support.json"]) assert.equal(await until(key), null, key);
  });

  it("is kept by the server: a locked version cannot be removed for good, an unlocked one can", async () => {
    const versions = await client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: "crm/" }));
    const removed = async (key: string): Promise<boolean> => {
      const { VersionId } = versions.Versions?.find(({ Key }) => Key === `crm/${key}`) ?? assert.fail(key);
      const removal = client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `crm/${key}`, VersionId }));
      return removal.then(
        () => true,
        () => false,
      );
    };
    assert.equal(await removed(`backups/daily/${name}/manifest.json`), false);
    assert.equal(await removed(`backups/monthly/${name}/data-000.dump.zst`), false);
    assert.equal(await removed("receipts/a.json"), false);
    assert.equal(await removed("control/lease.json"), true);
    assert.equal(await removed(`backups/manual/${name}/manifest.json`), true);
  });

  it("is not shortened by who may delete, and what such a one removes comes back", async () => {
    const Key = `crm/backups/monthly/${name}/data-000.dump.zst`;
    const { Versions } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: Key }));
    const version = { Bucket: bucket, Key, VersionId: Versions?.[0]?.VersionId };
    const sooner = { Mode: "COMPLIANCE", RetainUntilDate: new Date(Date.now() + 60_000) } as const;
    await assert.rejects(client.send(new PutObjectRetentionCommand({ ...version, Retention: sooner })));
    // Without a version it is only hidden.
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
    await assert.rejects(store.read(Key.slice("crm/".length)), NotFound);
    const { ContentLength } = await client.send(new GetObjectCommand(version));
    assert.equal(ContentLength, 7 * 1024 ** 2);
  });

  it("that the bucket does not have is said before anything is written", async () => {
    const unlocked = openStore(`s3://${testBucket}/no-lock?lockMode=governance&lockDays=7`, {});
    await assert.rejects(
      unlocked.create("receipts/a.json", Buffer.from("{}")),
      (error) =>
        error instanceof UsageError &&
        /found lockMode=governance, but the bucket has no object lock/.test(error.message),
    );
    assert.deepEqual(await unlocked.list("receipts/"), []);
  });
});

function backupNamed(time: Date): { name: string; time: Date } {
  return { name: `backup_${time.toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15)}`, time };
}
