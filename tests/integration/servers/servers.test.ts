/** The servers that tests share are real, apart from each other's data, and end with the tests. */
import { DeleteObjectCommand, PutObjectCommand, S3Client, S3ServiceException } from "@aws-sdk/client-s3";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { freshDatabase } from "../../servers/postgres";
import { sharedSeaweed } from "../../servers/seaweedfs";

describe("the test servers", () => {
  it("give each test an empty database of its own", async () => {
    const urls = await Promise.all([freshDatabase("one"), freshDatabase("one")]);
    for (const url of urls) {
      const client = new Client({ connectionString: url });
      await client.connect();
      await client.query("CREATE TABLE only_here (id int)");
      await client.end();
    }
    assert.notEqual(urls[0], urls[1]);
  });

  it("refuse a second conditional write, a stranger, and deleting what is locked, as S3 does", async function () {
    this.timeout(90_000);
    const server = await sharedSeaweed();
    await server.createBucket("locked-bucket", { objectLock: true });
    const credentials = { accessKeyId: server.accessKey, secretAccessKey: server.secretKey };
    const s3 = new S3Client({ endpoint: server.endpoint, region: server.region, forcePathStyle: true, credentials });
    const put = { Bucket: "locked-bucket", Key: "object", Body: "text", IfNoneMatch: "*" };
    const { VersionId } = await s3.send(
      new PutObjectCommand({
        ...put,
        ObjectLockMode: "COMPLIANCE",
        ObjectLockRetainUntilDate: new Date(Date.now() + 3600_000),
      }),
    );
    await assert.rejects(s3.send(new PutObjectCommand(put)), answered(412));
    await assert.rejects(
      s3.send(new DeleteObjectCommand({ Bucket: put.Bucket, Key: put.Key, VersionId })),
      answered(403),
    );
    const stranger = new S3Client({
      endpoint: server.endpoint,
      region: server.region,
      forcePathStyle: true,
      credentials: { ...credentials, secretAccessKey: "wrong" },
    });
    await assert.rejects(stranger.send(new PutObjectCommand(put)), answered(403));
  });

  it("end with the process that started them, also after kill -9", async function () {
    this.timeout(90_000);
    const child = spawn(process.execPath, ["--require", "tsx/cjs", join(__dirname, "seaweedStarter.ts")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const endpoint = await new Promise<string>((resolve) => {
      child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString("utf8").trim()));
    });
    assert.equal((await fetch(`${endpoint}/healthz`)).status, 200);
    child.kill("SIGKILL");
    for (const end = Date.now() + 15_000; ; await sleep(50)) {
      if (
        !(await fetch(`${endpoint}/healthz`).then(
          () => true,
          () => false,
        ))
      )
        break;
      if (Date.now() > end) assert.fail("the S3 server still answers 15 s after its parent was killed");
    }
  });
});

function answered(status: number): (error: unknown) => boolean {
  return (error) => error instanceof S3ServiceException && error.$metadata.httpStatusCode === status;
}
