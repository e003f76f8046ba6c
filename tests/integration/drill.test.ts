/** Two S3 servers as two locations, one of them lost entirely: the other is drilled, restored from, and copied again. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import type { Client } from "pg";
import { createBackup } from "../../scripts/backup/createBackup";
import type { Manifest } from "../../scripts/backup/manifest";
import { measuredFigures } from "../../components/measuredFigures";
import { Interrupted, Unavailable } from "../../scripts/contract/failure";
import { acquireLease } from "../../scripts/control/lease";
import type { GateContext } from "../../scripts/gate/context";
import { runSteps } from "../../scripts/gate/runSteps";
import { drillStep } from "../../scripts/gate/steps/drill";
import { findPostgres } from "../../scripts/database/postgresPrograms";
import { parseTarget } from "../../scripts/database/target";
import { runDrill } from "../../scripts/drill/drill";
import { type Drill, readDrills, recordDrill } from "../../scripts/record/drillRecords";
import { parseFingerprint } from "../../scripts/fingerprint/fingerprint";
import { compareCopy } from "../../scripts/restore/compareCopy";
import { type OperationSettingsInput, operationSettingsSchema } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import { ReplicatedStore } from "../../scripts/store/replicatedStore";
import type { Store } from "../../scripts/store/store";
import { runByHand, wholeRestore } from "../servers/byHand";
import { type CliRun, runCli } from "../servers/cli";
import { startCloudWatch } from "../servers/cloudwatch";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { damageFile } from "../servers/damageFile";
import { type Seaweed, sharedSeaweed, startSeaweed } from "../servers/seaweedfs";
import { temporaryFolder } from "../servers/stores";

const settings = JSON.stringify({ checks: "none" });

/** A profile for each server: every location has credentials of its own. */
function profilesOf(servers: Record<string, Seaweed>): string {
  const file = join(temporaryFolder(), "credentials");
  const sections = Object.entries(servers).map(
    ([name, { accessKey, secretKey }]) =>
      `[${name}]\naws_access_key_id = ${accessKey}\naws_secret_access_key = ${secretKey}\n`,
  );
  writeFileSync(file, sections.join("\n"), { mode: 0o600 });
  return file;
}

describe("restore drills", function () {
  this.timeout(120_000);
  after(closeCrmClients);

  it("restore from each of two locations, and from the second when the first is lost entirely", async () => {
    const [near, far] = await Promise.all([startSeaweed(), sharedSeaweed()]);
    await Promise.all([near.createBucket("drill-near"), far.createBucket("drill-far")]);
    const address = (name: string, { endpoint, region }: Seaweed): string =>
      `s3://drill-${name}/crm?endpoint=${endpoint}&region=${region}&profile=${name}`;
    const [first, second] = [address("near", near), address("far", far)];
    const { url, client } = await freshCrm(200);
    const cloudwatch = await startCloudWatch();
    const env = {
      ...cloudwatch.env,
      AWS_SHARED_CREDENTIALS_FILE: profilesOf({ near, far }),
      DATABASE_URL: url,
      DBPROTECT_SETTINGS: settings,
      DBPROTECT_METRICS: "cloudwatch",
      DBPROTECT_STACK: "crm/prod",
    };
    const both = { ...env, BACKUP_STORE: `${first} ${second}` };
    const run = async (words: string[], variables: Record<string, string>, code: number): Promise<CliRun> => {
      const done = await runCli(words, variables);
      assert.equal(done.code, code, done.stderr);
      return done;
    };
    await run(["db:backup"], both, 0);
    const drilled: Drill = JSON.parse((await run(["db:drill", "--json"], both, 0)).stdout);
    assert.deepEqual(
      drilled.locations.map(({ verdict, depth, rows }) => [verdict, depth, rows]),
      [
        ["passed", 5, 1_840],
        ["passed", 5, 1_840],
      ],
    );
    assert.ok(drilled.locations.every(({ rtoSeconds, rpoSeconds }) => rtoSeconds! > 0 && rpoSeconds! > 0));
    const last = await run(["db:drill", "--last", "--json"], both, 0);
    const figures = measuredFigures(last.stdout);
    for (const [figure, seconds] of [
      [figures.rpo, "rpoSeconds"],
      [figures.rto, "rtoSeconds"],
    ] as const) {
      const slowest = drilled.locations.reduce((a, b) => (b[seconds]! > a[seconds]! ? b : a));
      assert.deepEqual(figure, { seconds: slowest[seconds], at: drilled.at, location: slowest.store });
    }
    const worst = (figure: "rtoSeconds" | "rpoSeconds") => Math.max(...drilled.locations.map((each) => each[figure]!));
    // Backups tell CloudWatch how they ended, too.
    const told = () => cloudwatch.requests.filter(({ MetricData }) => MetricData[0]?.MetricName === "DrillPassed");
    assert.deepEqual(
      told()[0]?.MetricData.map(({ MetricName, Value }) => [MetricName, Value]),
      [
        ["DrillPassed", 1],
        ["DrillLocationsFailed", 0],
        ["DrillRto", worst("rtoSeconds")],
        ["DrillRpo", worst("rpoSeconds")],
      ],
    );

    await near.stop();
    const lost: Drill = JSON.parse((await run(["db:drill", "--json"], both, 3)).stdout);
    assert.deepEqual(
      lost.locations.map(({ verdict, depth }) => [verdict, depth]),
      [
        ["failed", null],
        ["passed", 4],
      ],
    );
    assert.match(lost.locations[0]?.problem ?? "", /cannot reach 127\.0\.0\.1/);
    assert.deepEqual(
      told()[1]
        ?.MetricData.map(({ Value }) => Value)
        .slice(0, 2),
      [0, 1],
    );
    const alone = { ...env, BACKUP_STORE: second };
    const [left] = (JSON.parse((await run(["db:drill", "--json"], alone, 0)).stdout) as Drill).locations;
    assert.equal(left?.depth, 5, "the backup's verification in the first location was written here too");
    assert.match(left.elsewhere.join(), /^s3:\/\/drill-near\/crm held the same bytes at .*; not read now$/);
    await cloudwatch.close();
    await run(["db:restore", "latest", "--database", "from_the_far_one", "--yes"], alone, 0);
    const { rows } = await client.query("SELECT FROM pg_database WHERE datname = 'from_the_far_one'");
    assert.equal(rows.length, 1);
    await client.query("DROP DATABASE from_the_far_one");
    await byHand(far, url, client);
    const anew = freshStore();
    await run(["store:sync", second, anew, "--yes"], env, 0);
    await run(["store:compare", second, anew], env, 0);
    assert.equal((await new FileStore(new URL(anew).pathname).list("backups/")).length > 3, true);
  });

  /** From what is left, as docs/restore-by-hand.md has it: curl, zstd, psql, pg_restore, and no other file than the backup's. */
  async function byHand(far: Seaweed, url: string, client: Client): Promise<void> {
    const { hostname, port, username, password } = new URL(url);
    const folder = temporaryFolder();
    const { binDir } = findPostgres({ use: "client" });
    const server = `postgres://${username}:${password}@${hostname}:${port}/postgres`;
    const done = runByHand([/with curl$/, ...wholeRestore], folder, server, binDir, {
      ...{ ENDPOINT: far.endpoint, REGION: far.region, BUCKET: "drill-far", PREFIX: "crm", NEW: "by_hand" },
      ...{ AWS_ACCESS_KEY_ID: far.accessKey, AWS_SECRET_ACCESS_KEY: far.secretKey },
    });
    assert.equal(done.status, 0, done.stderr);
    const { rows } = await client.query(`SELECT datname FROM pg_database WHERE datname = 'by_hand'`);
    assert.equal(rows.length, 1);
    const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as Manifest;
    const copy = new URL(url);
    copy.pathname = "/by_hand";
    const text = zstdDecompressSync(readFileSync(join(folder, manifest.fingerprint.file)));
    const fingerprint = parseFingerprint(text.toString());
    assert.deepEqual(await compareCopy(fingerprint, parseTarget(copy.href, "test")), []);
    await client.query("DROP DATABASE by_hand");
  }

  it("tell damage, record it with an incident, and run no restore while a release is under way", async () => {
    const { url } = await freshCrm(50);
    const storeUrl = freshStore();
    const store = new FileStore(new URL(storeUrl).pathname);
    const env = { DATABASE_URL: url, DBPROTECT_SETTINGS: settings, BACKUP_STORE: storeUrl };
    const empty = await runCli(["db:drill"], env);
    assert.equal(empty.code, 1, empty.stderr);
    assert.match(empty.stdout, /holds no backup/);
    assert.equal((await runCli(["db:backup", "--depth", "1"], env)).code, 0);
    const lease = await acquireLease(store, { stack: "crm/prod", runId: "r" });
    const before = (await store.list("drills/")).length;
    const busy = await runCli(["db:drill"], env);
    assert.equal(busy.code, 3, busy.stderr);
    assert.match(busy.stderr, /a release is under way/);
    assert.equal((await store.list("drills/")).length, before);
    await lease.release();
    const archive = (await store.list("backups/")).find(({ key }) => key.includes("data-000"));
    damageFile(join(new URL(storeUrl).pathname, archive!.key));
    const inEcs = { ECS_CONTAINER_METADATA_URI_V4: "http://169.254.170.2/v4/x", DBPROTECT_STACK: "crm/prod" };
    const damaged = await runCli(["db:drill"], { ...env, ...inEcs });
    assert.equal(damaged.code, 4, damaged.stderr);
    const line = damaged.stderr.split("\n").find((text) => text.startsWith('{"_aws"')) ?? "{}";
    const { DrillPassed, DrillLocationsFailed, DrillRto } = JSON.parse(line) as Record<string, number>;
    assert.deepEqual([DrillPassed, DrillLocationsFailed, DrillRto], [0, 1, undefined], damaged.stderr);
    assert.equal((await readDrills(store, 1))[0]?.verdict, "failed");
    assert.equal((await store.list("incidents/")).filter(({ key }) => key.endsWith("001-drill-failed.json")).length, 2);
  });

  it("ask the user's own queries of the restored copy; one that halts fails the location; what cannot be recorded is told", async () => {
    const { url } = await freshCrm(10);
    const store = new FileStore(new URL(freshStore()).pathname);
    await createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "r", recipients: [] });
    const checks = temporaryFolder();
    const write = (expect: string): void =>
      writeFileSync(
        join(checks, "few-clients.sql"),
        `-- name: few-clients\n-- severity: halt\n-- expect: ${expect}\nSELECT count(*) FROM public.clients;\n`,
      );
    const drill = (runId: string) =>
      runDrill({
        ...{ store, runId, settings: { checks } },
        ...{ signal: new AbortController().signal, onProgress: () => undefined },
      });
    write("value = 10");
    const [passed] = (await drill("passing")).drill.locations;
    assert.equal(passed?.verdict, "passed", passed?.problem ?? "");
    assert.match(passed.dataChecks ?? "", /data checks passed/);
    write("value = 11");
    const failed = await drill("failing");
    assert.equal(failed.exitCode, 1);
    assert.match(failed.drill.locations[0]?.problem ?? "", /equal to its snapshot, but .*few-clients/);
    assert.deepEqual(
      (await store.list("incidents/")).map(({ key }) => key),
      ["incidents/failing/001-drill-failed.json"],
    );
    const create = store.create.bind(store);
    store.create = (key, ...more) =>
      key.startsWith("drills/") ? Promise.reject(new Unavailable("no right to write")) : create(key, ...more);
    write("value = 10");
    const untold = await drill("untold");
    assert.equal(untold.drill.verdict, "passed");
    assert.match(untold.unrecorded?.message ?? "", /no right to write/);
  });

  it("that are interrupted record nothing", async () => {
    const { url } = await freshCrm(10);
    const store = new FileStore(new URL(freshStore()).pathname);
    await createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "r", recipients: [] });
    const interrupt = new AbortController();
    const onProgress = (line: string): void => {
      if (!line.startsWith("drill of")) interrupt.abort(new Interrupted("SIGINT"));
    };
    const run = { store, runId: "interrupted", settings: { checks: "none" } };
    await assert.rejects(runDrill({ ...run, signal: interrupt.signal, onProgress }), Interrupted);
    assert.deepEqual([await store.list("drills/"), await store.list("incidents/")], [[], []]);
  });

  describe("at the gate", () => {
    const drillOf = (daysAgo: number, verdict: Drill["verdict"], store = "file:///a"): Drill => {
      const at = new Date(Date.now() - daysAgo * 86_400_000).toISOString();
      const found = { backup: null, depth: 4, rpoSeconds: 60, tables: 1, rows: 1, dataChecks: "none", elsewhere: [] };
      const location =
        verdict === "passed" ? { rtoSeconds: 42, problem: null } : { rtoSeconds: null, problem: "data-000 is damaged" };
      return {
        ...{ schemaVersion: 1, runId: `${at.replace(/\W/g, "")}-drill`, verdict, startedAt: at, at },
        locations: [{ store, verdict, ...found, ...location }],
      };
    };

    async function look(store: Store, drill: OperationSettingsInput["drill"]) {
      const context = {
        store,
        settings: operationSettingsSchema.parse({ drill }),
        signal: new AbortController().signal,
      };
      const { verdict, steps, message } = await runSteps(context as unknown as GateContext, [drillStep]);
      return { verdict, summary: steps[0]?.summary ?? "", message };
    }

    it("show the last one's age and RTO; past the limit, or failed, they warn or halt", async () => {
      const store = new FileStore(temporaryFolder());
      const halt = { onOverdue: "halt" } as const;
      assert.match((await look(store, {})).summary, /^WARNING: no restore was ever drilled/);
      assert.deepEqual(await look(store, halt), {
        ...{ verdict: "halt", summary: "drill: no restore was ever drilled" },
        message: "drill: no restore was ever drilled",
      });
      assert.equal((await look(store, { onOverdue: "ignore" })).verdict, "pass");
      await recordDrill([store], drillOf(40, "passed"));
      assert.match((await look(store, halt)).message ?? "", /was 40 days ago, allowed are 35 \(drill\.maxAgeDays\)/);
      assert.match((await look(store, { maxAgeDays: 41 })).summary, /^last drill 40 days ago .*: passed, RTO 42 s/);
      await recordDrill([store], drillOf(1, "failed"));
      assert.match((await look(store, halt)).message ?? "", /failed: data-000 is damaged/);
      await recordDrill([store], drillOf(0, "passed"));
      assert.equal((await look(store, halt)).verdict, "pass");
    });

    it("are those of every location: recorded in any of them, or of a second region that only records here", async () => {
      const [first, second] = [new FileStore(temporaryFolder()), new FileStore(temporaryFolder())];
      const both = new ReplicatedStore(first, [{ store: second, required: false }]);
      const halt = { onOverdue: "halt" } as const;
      await recordDrill([first], drillOf(3, "passed", first.url));
      assert.equal((await look(both, halt)).message, `drill: no restore of ${second.url} was ever drilled`);
      // With rights on the second location alone it is recorded there alone.
      await recordDrill([second], drillOf(2, "passed", second.url));
      assert.match((await look(both, halt)).summary, /^last drill 3 days ago from 2 location\(s\): passed, RTO 42 s$/);
      await recordDrill([second], drillOf(1, "failed", second.url));
      const failed = await look(both, halt);
      assert.match(failed.message ?? "", new RegExp(`restore drill of ${second.url}, .*failed: data-000 is damaged`));
      // A region that the gate has no address of: what came back of it counts while it is young.
      const away = drillOf(1, "failed", "s3://elsewhere/prod");
      await recordDrill([first], { ...away, runId: `${away.runId}-away` });
      assert.match((await look(first, halt)).message ?? "", /of s3:\/\/elsewhere\/prod, .* failed/);
      assert.equal((await look(first, { ...halt, maxAgeDays: 1 })).message?.includes("elsewhere"), false);
    });
  });
});
