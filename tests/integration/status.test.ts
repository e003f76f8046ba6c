/** `status` tells the truth: of healthy locations, of each thing that needs attention, of locations that are away. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type AddressInfo, type Socket, createServer } from "node:net";
import { join } from "node:path";
import { setFreeze } from "../../scripts/control/freeze";
import { acquireLease } from "../../scripts/control/lease";
import { takeMaintenanceTurn } from "../../scripts/control/maintenance";
import { freshSteps, takePlannedTurn } from "../../scripts/control/plannedRollback";
import { dashboards, statusPages } from "../../scripts/contract/links";
import { readAlarms } from "../../scripts/platforms/alarms";
import { type Drill, recordDrill } from "../../scripts/record/drillRecords";
import { recordEvent } from "../../scripts/record/releaseEvents";
import { recordRollback } from "../../scripts/record/rollbackEvents";
import { serveLoopback } from "../../scripts/rehearsal/loopbackServer";
import { operationSettingsSchema } from "../../scripts/settings";
import { readStatus } from "../../scripts/status/readStatus";
import { type Status, statusSchema } from "../../scripts/status/statusDocument";
import { FileStore } from "../../scripts/store/fileStore";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { runCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { sharedSeaweed } from "../servers/seaweedfs";
import { temporaryFolder, testBucket, useTestBucket } from "../servers/stores";

const settings = operationSettingsSchema.parse({});
/** Nothing listens there. */
const credentials = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" };
const away = "s3://backups/crm?endpoint=http://127.0.0.1:1&region=eu-central-1";

describe("status", function () {
  this.timeout(60_000);
  let env: Record<string, string>;
  let near: string;
  let far: string;

  const drillOf = (verdicts: Readonly<Record<string, Drill["verdict"]>>, minutesAgo: number): Drill => {
    const at = new Date(Date.now() - minutesAgo * 60_000).toISOString();
    const locations = Object.entries(verdicts).map(([store, verdict]) => ({
      ...{ store, verdict, backup: null, depth: 4, rpoSeconds: 60, tables: 1, rows: 1, dataChecks: "none" },
      ...{ elsewhere: [] },
      ...(verdict === "passed"
        ? { rtoSeconds: 42, problem: null }
        : { rtoSeconds: null, problem: "data-000 is damaged" }),
    }));
    const verdict = locations.every((location) => location.verdict === "passed") ? "passed" : "failed";
    return { schemaVersion: 1, runId: `${at.replace(/\W/g, "")}-drill`, verdict, locations, startedAt: at, at };
  };

  const look = (store: Store): Promise<Status> =>
    readStatus({ store, settings, posture: undefined, alarms: undefined, appUrl: undefined });

  before(async () => {
    const { url } = await freshCrm(10);
    [near, far] = [freshStore(), freshStore()];
    env = { DATABASE_URL: url, BACKUP_STORE: `${near} ${far}` };
    const backup = await runCli(["db:backup", "--depth", "4"], env);
    assert.equal(backup.code, 0, backup.stderr);
    await closeCrmClients();
    await recordDrill(
      [near, far].map((one) => openStore(one)),
      drillOf({ [near]: "passed", [far]: "passed" }, 5),
    );
  });

  it("of two good locations is healthy: one screen, a document, one HTML file", async () => {
    const html = join(temporaryFolder(), "status.html");
    const run = await runCli(["status", "--json", "--html", html], { ...env, APP_URL: "https://crm.example.com" });
    assert.equal(run.code, 0, run.stderr + run.stdout);
    const status = statusSchema.parse(JSON.parse(run.stdout));
    assert.deepEqual(status.attention, []);
    assert.deepEqual(
      status.levels.map(({ state }) => state),
      ["met", "met", "met"],
    );
    for (const { newest, newestVerified, lastDrill } of status.locations) {
      assert.deepEqual([newest?.depth, newestVerified?.name, lastDrill?.rtoSeconds], [4, newest?.name, 42]);
    }
    assert.equal(status.alarms.outcome, "not configured");
    const page = readFileSync(html, "utf8");
    for (const address of [statusPages.supabase, dashboards.railway].map(({ url }) => url))
      assert.ok(page.includes(`<a href="${address}">`), address);
    assert.match(page, /<h1 class="good">[^]*Healthy/);
    assert.match(page, /<caption>Locations<\/caption>[^]*depth 4/);
    assert.doesNotMatch(page, /<script|src=|id="steps"/);
    const screen = await runCli(["status"], env);
    assert.match(screen.stdout, /^HEALTHY .*\n\nLEVEL [^]*Freeze: none\nLease: free\nWrite fence: down\n/);
    assert.match(screen.stdout, /Alarms: not configured\n\nSupabase Status: https:/);
  });

  it("a location that is away is shown and the others are read; away altogether it is exit 3", async () => {
    const one = await runCli(["status", "--json"], { ...credentials, BACKUP_STORE: `${near} optional:${away}` });
    assert.equal(one.code, 1, one.stderr);
    const status = statusSchema.parse(JSON.parse(one.stdout));
    assert.equal(status.locations[0]?.newest?.depth, 4);
    assert.match(status.locations[1]?.problem ?? "", /cannot reach 127\.0\.0\.1:1/);
    assert.deepEqual(
      status.levels.map(({ state }) => state),
      ["not configured", "met", "unmet"],
    );
    assert.notEqual(status.control, null);
    const none = await runCli(["status"], { ...credentials, BACKUP_STORE: away });
    assert.equal(none.code, 3, none.stdout);
    assert.match(none.stdout, /^UNREACHABLE: no location can be read/);
    assert.match(none.stdout, /LAST DRILL\n.* not known\n/, "nobody knows whether there was one");
    for (const what of ["Freeze", "Lease", "Write fence", "Open incidents"])
      assert.match(none.stdout, new RegExp(`^${what}: not known: the first location`, "m"));
  });

  it("names credentials that are wrong, and none at all, as what is the matter with that location", async () => {
    const server = await sharedSeaweed();
    await useTestBucket();
    const address = `s3://${testBucket}/status?endpoint=${server.endpoint}&region=${server.region}`;
    const look = async (variables: Record<string, string>): Promise<Status> => {
      const run = await runCli(["status", "--json"], { BACKUP_STORE: `${near} ${address}`, ...variables });
      assert.equal(run.code, 1, run.stderr);
      return statusSchema.parse(JSON.parse(run.stdout));
    };
    const wrong = await look(credentials);
    assert.match(wrong.locations[1]?.problem ?? "", /does not accept these credentials \(InvalidAccessKeyId\)/);
    assert.equal(wrong.locations[0]?.problem, null);
    const topic = { ALERT_TOPIC_ARN: "arn:aws:sns:eu-central-1:123456789012:crm", AWS_EC2_METADATA_DISABLED: "true" };
    const without = await look({ ...topic, HOME: temporaryFolder() });
    assert.match(without.locations[1]?.problem ?? "", /no credentials for 127\.0\.0\.1/);
    assert.match(without.alarms.problem ?? "", /^CloudWatch in eu-central-1: .*credentials/);
    assert.ok(without.attention.some((line) => line.startsWith("alarms cannot be read: ")));
  });

  it("of what swallows everything says so in time, and ends: store, database and CloudWatch", async () => {
    const sockets = new Set<Socket>();
    const hole = createServer((socket) => void sockets.add(socket.on("error", () => undefined)));
    await new Promise<void>((done) => hole.listen(0, "127.0.0.1", done));
    const host = `127.0.0.1:${(hole.address() as AddressInfo).port}`;
    try {
      const run = await runCli(["status", "--json", "--within", "1s"], {
        ...{ ...credentials, BACKUP_STORE: `s3://backups/crm?endpoint=http://${host}&region=eu-central-1` },
        ...{ DATABASE_URL: `postgres://u@${host}/d?sslmode=disable` },
        ...{ AWS_ENDPOINT_URL_CLOUDWATCH: `http://${host}`, AWS_REGION: "eu-central-1" },
        ALERT_TOPIC_ARN: "arn:aws:sns:eu-central-1:123456789012:crm",
      });
      // It ends of itself, though what it asked still keeps it waiting: each of these would for a minute.
      assert.ok(sockets.size > 0);
      assert.equal(run.code, 3, run.stderr);
      const status = statusSchema.parse(JSON.parse(run.stdout));
      assert.match(status.locations[0]?.problem ?? "", /^s3:\/\/backups\/crm: no answer within 1 s$/);
      assert.deepEqual([status.levels[0]?.state, status.alarms.outcome], ["not known", "not known"]);
      assert.match(status.levels[0]?.detail ?? "", /no answer within 1 s/);
      assert.match(status.alarms.problem ?? "", /no answer within 1 s/);
    } finally {
      for (const socket of sockets) socket.destroy();
      hole.close();
    }
  });

  it("names each thing that somebody should look at", async () => {
    const store = new FileStore(temporaryFolder());
    await setFreeze(store, { kind: "manual", runId: null, person: "Ada", reason: "an audit", missingRows: {} });
    await acquireLease(store, { stack: "crm/prod", runId: "gate" });
    const database = { host: "h", port: 5432, database: "crm", systemIdentifier: "1", serverVersion: 170_000 };
    const startedAt = new Date().toISOString();
    await takeMaintenanceTurn(store, "fence", () => ({
      ...{ schemaVersion: 1, state: "raising", database, roles: ["anon"] },
      ...{ raisedAt: startedAt, grants: [], unheld: [], platforms: { railway: null, vercel: null } },
    }));
    const run = { runId: "20260101T000000Z-run", releaseVersion: "v1", stack: "crm/prod", receiptSha256: "0" };
    await recordEvent(store, run, "gate-passed", "");
    const turn = await takePlannedTurn(store, "planned", () => ({
      ...{ schemaVersion: 1, id: "planned", state: "under way", person: "Grace", startedAt, database, receipt: null },
      backup: { tier: "predeploy", name: "backup_20260101_000000" },
      ...{ mode: "swap", safetyBackup: null, deployments: {}, fence: null, steps: freshSteps() },
    }));
    await turn.begin("deploy:maintenance on");
    const rollback = { runId: "20260102T000000Z-rollback", releaseRunId: null, seconds: null };
    await recordRollback(store, { ...rollback, event: "rollback-started", verdict: null, sides: [] });
    const { verdict, attention, control } = await look(store);
    await turn.end();
    assert.equal(verdict, "attention");
    const expected = [
      /: no backup$/,
      /^releases are frozen since \S+ by Ada: an audit$/,
      /^write fence: raising for anon since /,
      /^release v1 of crm\/prod is not verified \(receipt 20260101T000000Z-run\)/,
      /^planned rollback planned to backup_20260101_000000 is at deploy:maintenance on, being carried out$/,
      /^incident 20260102T000000Z-rollback: a rollback of the application began and did not end$/,
    ];
    assert.equal(attention.length, expected.length, attention.join("\n"));
    for (const [index, line] of expected.entries()) assert.match(attention[index] ?? "", line);
    assert.deepEqual([control?.lease?.stack, control?.lease?.phase], ["crm/prod", "gating"]);
    const failed = { ...rollback, event: "rollback-ended" as const, verdict: "partial" as const, seconds: 3 };
    const side = {
      platform: "vercel",
      outcome: "failed",
      from: null,
      to: null,
      live: null,
      seconds: 1,
      message: "",
    } as const;
    await recordRollback(store, { ...failed, sides: [side] });
    assert.match(
      (await look(store)).attention.at(-1) ?? "",
      /the last rollback of the application was partial: vercel$/,
    );
    const good = { ...failed, runId: "20260103T000000Z-rollback", verdict: "rolled back" as const };
    await recordRollback(store, { ...good, sides: [] });
    assert.deepEqual((await look(store)).control?.incidents, []);
  });

  it("a failed drill is an open incident until a later one of that location passed", async () => {
    const stores = [new FileStore(temporaryFolder()), new FileStore(temporaryFolder())] as const;
    const [first, second] = [stores[0].url, stores[1].url];
    const incidents = async () => (await look(stores[0])).control?.incidents.map(({ detail }) => detail);
    await recordDrill([...stores], drillOf({ [first]: "failed", [second]: "failed" }, 30));
    assert.match(
      (await incidents())?.[0] ?? "",
      new RegExp(`none passed since: ${first}: data-000 is damaged; ${second}`),
    );
    await recordDrill([stores[0]], drillOf({ [second]: "passed" }, 20));
    const left = (await incidents())?.[0] ?? "";
    assert.ok(left.includes(first) && !left.includes(second), left);
    await recordDrill([stores[0]], drillOf({ [first]: "passed" }, 10));
    assert.deepEqual(await incidents(), []);
    await recordDrill([stores[0]], drillOf({ [first]: "failed" }, 5));
    assert.equal((await incidents())?.length, 1);
  });

  describe("alarms", () => {
    const variables = ["AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] as const;
    const former = variables.map((name) => process.env[name]);
    afterEach(() => {
      for (const [index, name] of variables.entries()) {
        const value = former[index];
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    });

    it("are asked of CloudWatch by the topic that they tell; one that stands needs attention", async () => {
      const topic = "arn:aws:sns:eu-central-1:123456789012:crm";
      const asked: unknown[] = [];
      const server = await serveLoopback(async ({ body }) => {
        asked.push(JSON.parse(body));
        const failed = { AlarmName: "dump-failed", StateValue: "ALARM", StateReason: "Threshold Crossed" };
        const fine = { AlarmName: "unprotected", StateValue: "OK", StateReason: "" };
        return { status: 200, body: { MetricAlarms: [failed], CompositeAlarms: [fine] } };
      });
      Object.assign(process.env, Object.fromEntries(variables.map((name) => [name, "test"])));
      process.env["AWS_ENDPOINT_URL_CLOUDWATCH"] = server.url;
      const status = await readStatus({
        ...{ store: openStore(near), settings, posture: undefined, appUrl: undefined },
        alarms: () => readAlarms(topic),
      });
      await server.close();
      assert.deepEqual(asked, [
        { ActionPrefix: topic, AlarmTypes: ["MetricAlarm", "CompositeAlarm"], MaxRecords: 100 },
      ]);
      assert.deepEqual(status.attention, ["alarm dump-failed: Threshold Crossed"]);
      assert.equal(status.alarms.alarms.length, 2);
    });

    it("that cannot be read are shown, not fatal", async () => {
      const status = await readStatus({
        ...{ store: openStore(near), settings, posture: undefined, appUrl: undefined },
        alarms: () => readAlarms("crm"),
      });
      assert.match(
        status.attention.join(),
        /^alarms cannot be read: ALERT_TOPIC_ARN: found "crm": expected arn:aws:sns/,
      );
      assert.equal(status.verdict, "attention");
    });
  });
});
