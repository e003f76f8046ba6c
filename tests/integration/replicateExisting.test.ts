/** The job that copies what a bucket held before it was replicated, asked of a stand-in for S3 Control that refuses what AWS would. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Refusal, Unavailable, UsageError } from "../../scripts/contract/failure";
import { readReplicationJob, replicateExisting } from "../../scripts/replication/replicateExisting";
import { FileStore } from "../../scripts/store/fileStore";
import { temporaryFolder } from "../servers/stores";

const job = {
  account: "111122223333",
  source: "arn:aws:s3:::backups-here",
  destination: "arn:aws:s3:::backups-there",
  role: "arn:aws:iam::111122223333:role/existing",
};

/** What a CreateJob must say, as API_control_CreateJob has it. */
const demanded = [
  /<ConfirmationRequired>false</,
  /<S3ReplicateObject\s*(\/>|><\/S3ReplicateObject>)/,
  /<Report><Enabled>false<\/Enabled><\/Report>/,
  /<Priority>\d+</,
  /<RoleArn>arn:aws:iam::111122223333:role\/existing</,
  /<SourceBucket>arn:aws:s3:::backups-here</,
  /<EnableManifestOutput>false</,
  /<EligibleForReplication>true</,
];

describe("what was there before replication", function () {
  this.timeout(30_000);
  const tokens: string[] = [];
  let statuses: string[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const body = await text(request);
      const known = request.headers["x-amz-account-id"] === job.account && request.url?.startsWith("/v20180820/jobs");
      const refused = demanded.find((pattern) => request.method === "POST" && !pattern.test(body));
      if (known !== true || refused !== undefined) return response.writeHead(400).end(`<Error>${refused}</Error>`);
      response.setHeader("content-type", "application/xml");
      if (request.method === "POST") {
        tokens.push(/<ClientRequestToken>([^<]{1,64})</.exec(body)?.[1] ?? "none");
        return response.end("<CreateJobResult><JobId>job-1</JobId></CreateJobResult>");
      }
      const reasons = "<FailureReasons><member><FailureReason>no right</FailureReason></member></FailureReasons>";
      const status = statuses.length > 1 ? statuses.shift() : statuses[0];
      return response.end(
        `<DescribeJobResult><Job><JobId>job-1</JobId><Status>${status}</Status>${reasons}</Job></DescribeJobResult>`,
      );
    })();
  });
  const environment = { AWS_REGION: "eu-central-1", AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" };
  const formerly = { ...process.env };
  let store: FileStore;

  before(async () => {
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const { port } = server.address() as AddressInfo;
    Object.assign(process.env, environment, { AWS_ENDPOINT_URL_S3_CONTROL: `http://127.0.0.1:${port}` });
    store = new FileStore(temporaryFolder());
    await store.create("backups/daily/backup_20260101_000000/manifest.json", Buffer.from("{}"));
  });
  after(() => {
    process.env = formerly;
    server.close();
  });

  const start = (patienceSeconds = 10) => replicateExisting(store, job, { pauseMilliseconds: 5, patienceSeconds });

  it("is copied by one job, however often it is asked for, and waits until that has begun", async () => {
    statuses = ["New", "Preparing", "Active"];
    assert.deepEqual(await start(), { id: "job-1", status: "Active" });
    statuses = ["Complete"];
    assert.deepEqual(await start(), { id: "job-1", status: "Complete" });
    assert.equal(tokens.length, 2);
    assert.equal(tokens[0], tokens[1]);
  });

  it("is left to a job that takes long to begin", async () => {
    statuses = ["Preparing"];
    assert.deepEqual(await start(0), { id: "job-1", status: "Preparing" });
  });

  it("fails with S3's reason and another way", async () => {
    statuses = ["Failed"];
    await assert.rejects(start(), (error) => error instanceof Refusal && /is Failed: no right/.test(error.message));
    await assert.rejects(
      replicateExisting(store, { ...job, role: "arn:aws:iam::999999999999:role/other" }),
      (error) => error instanceof Unavailable && /does not start the job/.test(error.message),
    );
  });

  it("is nothing in a new bucket, and no job is asked for", async () => {
    const asked = tokens.length;
    const none = await replicateExisting(new FileStore(temporaryFolder()), job);
    assert.deepEqual(none, { id: null, status: "nothing to copy" });
    assert.equal(tokens.length, asked);
  });

  it("is described by a document that is checked", () => {
    assert.deepEqual(readReplicationJob({ DBPROTECT_REPLICATION: JSON.stringify(job) }), job);
    for (const text of ["", "{}", JSON.stringify({ ...job, account: "1" })])
      assert.throws(() => readReplicationJob({ DBPROTECT_REPLICATION: text }), UsageError);
  });
});
