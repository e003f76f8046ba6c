/** What a store lets go: files of backups and nothing else, by tag or at once, and what object lock says of it. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { UsageError } from "../../scripts/contract/failure";
import { S3Store } from "../../scripts/store/s3Store";
import { sharedSeaweed } from "../servers/seaweedfs";
import { storeKinds, useTestBucket } from "../servers/stores";

const folder = "backups/daily/backup_20260101_000000";

for (const { kind, make } of storeKinds)
  describe(`removal from a ${kind} store`, function () {
    this.timeout(60_000);

    it("removes a file of a backup, and is done when it is gone already", async () => {
      const store = await make();
      await store.create(`${folder}/manifest.json`, Buffer.from("{}"));
      await store.create(`${folder}/data-000.dump.zst`, Buffer.from("rows"));
      await store.remove(`${folder}/manifest.json`);
      await store.remove(`${folder}/manifest.json`);
      assert.deepEqual(
        (await store.list("backups/")).map(({ key }) => key),
        [`${folder}/data-000.dump.zst`],
      );
      await store.remove(`${folder}/data-000.dump.zst`);
      assert.deepEqual(await store.list("backups/"), []);
      assert.equal(await store.removability(`${folder}/manifest.json`), undefined);
      if (kind === "file") assert.ok(!existsSync(join(fileURLToPath(store.url), folder)), "the folder stays");
    });

    it("never removes records, control or a folder", async () => {
      const store = await make();
      for (const key of ["receipts/a.json", "control/lease.json", "store.json", folder, `${folder}/a/b`]) {
        await assert.rejects(store.remove(key), /is never removed/);
        if (kind === "s3") await assert.rejects(store.expire(key), /is never removed/);
      }
    });
  });

describe("expiry by tag", function () {
  this.timeout(60_000);

  it("a bucket keeps the object, tagged; a folder says that it cannot", async () => {
    const [file, s3] = await Promise.all(storeKinds.map(({ make }) => make()));
    const key = `${folder}/data-000.dump.zst`;
    await s3!.create(key, Buffer.from("rows"));
    assert.deepEqual(await s3!.removability(key), { lockedUntil: null, expiring: false });
    await s3!.expire(key);
    await s3!.expire(key);
    assert.deepEqual(await s3!.removability(key), { lockedUntil: null, expiring: true });
    await s3!.expire(`${folder}/manifest.json`);
    await assert.rejects(file!.expire(key), UsageError);
  });

  it("object lock is told by its end", async () => {
    await useTestBucket();
    const server = await sharedSeaweed();
    await server.createBucket("dbp-locked", { objectLock: true });
    const until = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_600_000);
    const client = new S3Client({
      endpoint: server.endpoint,
      region: server.region,
      forcePathStyle: true,
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    });
    await client.send(
      new PutObjectCommand({
        Bucket: "dbp-locked",
        Key: `crm/${folder}/manifest.json`,
        Body: "{}",
        ObjectLockMode: "GOVERNANCE",
        ObjectLockRetainUntilDate: until,
      }),
    );
    client.destroy();
    const store = new S3Store({ bucket: "dbp-locked", prefix: "crm" });
    assert.deepEqual((await store.removability(`${folder}/manifest.json`))?.lockedUntil, until);
  });
});
