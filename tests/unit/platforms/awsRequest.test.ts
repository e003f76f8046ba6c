/** Services of AWS behind a network that takes a connection and says nothing: every question ends, and soon enough. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { join, resolve } from "node:path";
import { Unavailable, UsageError } from "../../../scripts/contract/failure";
import { emitMetrics } from "../../../scripts/monitoring/emitMetrics";
import { readAlarms } from "../../../scripts/platforms/alarms";
import {
  type AwsPatience,
  askAws,
  awsBounds,
  awsFailure,
  awsMilliseconds,
} from "../../../scripts/platforms/awsRequest";
import { generateDataKey, openDataKey } from "../../../scripts/platforms/kms";
import { publishToTopic } from "../../../scripts/platforms/snsTopic";
import { replicateExisting } from "../../../scripts/replication/replicateExisting";
import { FileStore } from "../../../scripts/store/fileStore";
import { awsCredentials } from "../../servers/awsFake";
import { temporaryFolder } from "../../servers/stores";

const root = resolve(__dirname, "../../..");

describe("requests to AWS", function () {
  this.timeout(60_000);
  const formerly = { ...process.env };
  const sockets = new Set<Socket>();
  let hole: Server;
  before(async () => {
    hole = createServer((socket) => {
      sockets.add(socket.on("error", () => undefined));
    });
    await new Promise<void>((listening) => hole.listen(0, "127.0.0.1", listening));
    const url = `http://127.0.0.1:${(hole.address() as AddressInfo).port}`;
    Object.assign(process.env, awsCredentials);
    for (const service of ["KMS", "CLOUDWATCH", "SNS", "S3_CONTROL"]) process.env[`AWS_ENDPOINT_URL_${service}`] = url;
  });
  after(() => {
    process.env = formerly;
    for (const socket of sockets) socket.destroy();
    hole.close();
  });

  const key = "arn:aws:kms:eu-central-1:111122223333:key/0";
  const topic = "arn:aws:sns:eu-central-1:111122223333:alerts";
  const unanswered: readonly [what: string, ask: (patience: AwsPatience) => Promise<unknown>][] = [
    ["KMS for a data key", (patience) => generateDataKey(key, { a: "b" }, patience)],
    ["KMS to open one", (patience) => openDataKey(key, "AAAA", { a: "b" }, patience)],
    [
      "CloudWatch to take metrics",
      (patience) => {
        const env = { DBPROTECT_METRICS: "cloudwatch", DBPROTECT_STACK: "crm/prod" };
        return emitMetrics([{ name: "Up", unit: "None", value: 1 }], new Date(), env, undefined, patience);
      },
    ],
    ["CloudWatch for its alarms", (patience) => readAlarms(topic, patience)],
    [
      "S3 Control for a job",
      async ({ milliseconds, signal }) => {
        const store = new FileStore(temporaryFolder());
        await store.create("backups/daily/backup_20260101_000000/manifest.json", Buffer.from("{}"));
        const bucket = "arn:aws:s3:::backups";
        const job = { account: "111122223333", source: bucket, destination: bucket, role: "arn:aws:iam::1:role/r" };
        const waiting = signal === undefined ? {} : { signal };
        return replicateExisting(store, job, { ...waiting, ...(milliseconds && { answerMilliseconds: milliseconds }) });
      },
    ],
  ];
  for (const [what, ask] of unanswered) {
    it(`end with 3 when nothing answers: ${what}`, async () => {
      await assert.rejects(
        ask({ milliseconds: 150 }),
        (error) => error instanceof Unavailable && /no answer within 150 ms$/.test(error.message),
      );
    });

    it(`end at Ctrl-C: ${what}`, async () => {
      const interruption = new AbortController();
      setTimeout(() => interruption.abort(), 50);
      const asked = performance.now();
      await assert.rejects(ask({ signal: interruption.signal }), { name: "AbortError" });
      assert.ok(performance.now() - asked < awsMilliseconds / 2);
    });
  }

  it("are never what a release waits for: a topic that does not answer is told of", async () => {
    const told = await publishToTopic(topic, { subject: "s", text: "t", attributes: {} }, 150);
    assert.deepEqual(told, { delivered: false, detail: "SNS topic alerts: no answer within 150 ms" });
  });

  it("end also where the SDK looks for credentials that never come", async () => {
    const asked = askAws(() => new Promise(() => undefined), { milliseconds: 20 });
    await assert.rejects(asked, /^Error: no answer within 20 ms$/);
  });

  it("are told apart: no credentials, no region, an answer of AWS's", () => {
    const named = (name: string, message: string): Error => Object.assign(new Error(message), { name });
    const of = (error: unknown): Error => awsFailure(error, "KMS in eu-central-1", "look");
    assert.ok(of(new Error("Region is missing")) instanceof UsageError);
    assert.match(
      of(named("CredentialsProviderError", "none found")).message,
      /^KMS in eu-central-1: no credentials: none/,
    );
    assert.match(of(named("ThrottlingException", "Rate exceeded")).message, /: ThrottlingException: Rate exceeded$/);
  });

  it("have one attempt's limits well below the whole's, and no client is made without them", () => {
    const { connectionTimeout, requestTimeout, throwOnRequestTimeout } = awsBounds.requestHandler;
    assert.ok(connectionTimeout > 0 && connectionTimeout < requestTimeout && throwOnRequestTimeout);
    assert.ok(requestTimeout * 2 < awsMilliseconds);
    const files = readdirSync(join(root, "scripts"), { recursive: true, encoding: "utf8" }).filter((file) =>
      file.endsWith(".ts"),
    );
    const made = files.flatMap((file) => {
      const text = readFileSync(join(root, "scripts", file), "utf8");
      return [...text.matchAll(/new (?:\w+\.)?(\w+Client)\(([^)]{0,40})/g)].map(([, client = "", given = ""]) => ({
        client,
        given,
      }));
    });
    const clients = made
      .filter(({ client }) => !["S3Client", "ResourceProviderClient"].includes(client))
      .map(({ client }) => client);
    assert.deepEqual(clients.sort(), [
      "CloudWatchClient",
      "CloudWatchClient",
      "KMSClient",
      "S3ControlClient",
      "SNSClient",
    ]);
    for (const { client, given } of made)
      if (clients.includes(client)) assert.match(given, /^(\{ \.\.\.)?awsBounds/, client);
    // A store's bucket streams gigabytes: its limits are on connecting and on silence, and tests/faults/s3Requests.test.ts sees them.
    const bucket = readFileSync(join(root, "scripts/store/s3Connection.ts"), "utf8");
    assert.match(bucket, /requestHandler: \{ connectionTimeout: .*socketTimeout: /);
  });
});
