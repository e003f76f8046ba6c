/** Two S3 servers as two locations, one of them lost entirely: the other is drilled, restored from, and copied again. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { acquireLease } from "../../scripts/control/lease";
import type { GateContext } from "../../scripts/gate/context";
import { runSteps } from "../../scripts/gate/runSteps";
import { drillStep } from "../../scripts/gate/steps/drill";
import { type Drill, readLastDrill, recordDrill } from "../../scripts/record/drillRecords";
import { type OperationSettingsInput, operationSettingsSchema } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import type { Store } from "../../scripts/store/store";
import { type CliRun, runCli } from "../servers/cli";
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
    await Promise.all([near, far].map((server) => server.createBucket("drill-location")));
    const address = (name: string, { endpoint, region }: Seaweed): string =>
      `s3://drill-location/crm?endpoint=${endpoint}&region=${region}&profile=${name}`;
    const [first, second] = [address("near", near), address("far", far)];
    const { url, client } = await freshCrm(200);
    const env = {
      AWS_SHARED_CREDENTIALS_FILE: profilesOf({ near, far }),
      DATABASE_URL: url,
      DBPROTECT_SETTINGS: settings,
    };
    const both = { ...env, BACKUP_STORE: `${first} ${second}` };
    const run = async (words: string[], variables: Record<string, string>, code: number): Promise<CliRun> => {
      const done = await runCli(words, variables);
      assert.equal(done.code, code, done.stderr);
      return done;
    };
    await run(["db:backup", "--depth", "1"], both, 0);
    const drilled: Drill = JSON.parse((await run(["db:drill", "--json"], both, 0)).stdout);
    assert.deepEqual(
      drilled.locations.map(({ verdict, depth, rows }) => [verdict, depth, rows]),
      [
        ["passed", 5, 1_840],
        ["passed", 5, 1_840],
      ],
    );
    assert.ok(drilled.locations.every(({ rtoSeconds, rpoSeconds }) => rtoSeconds! > 0 && rpoSeconds! > 0));

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
    const alone = { ...env, BACKUP_STORE: second };
    await run(["db:drill"], alone, 0);
    await run(["db:restore", "latest", "--database", "from_the_far_one", "--yes"], alone, 0);
    const { rows } = await client.query("SELECT FROM pg_database WHERE datname = 'from_the_far_one'");
    assert.equal(rows.length, 1);
    await client.query("DROP DATABASE from_the_far_one");
    const anew = freshStore();
    await run(["store:sync", second, anew, "--yes"], env, 0);
    await run(["store:compare", second, anew], env, 0);
    assert.equal((await new FileStore(new URL(anew).pathname).list("backups/")).length > 3, true);
  });

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
    const damaged = await runCli(["db:drill"], env);
    assert.equal(damaged.code, 4, damaged.stderr);
    assert.equal((await readLastDrill(store))?.verdict, "failed");
    assert.equal((await store.list("incidents/")).filter(({ key }) => key.endsWith("001-drill-failed.json")).length, 2);
  });

  describe("at the gate", () => {
    const drillOf = (daysAgo: number, verdict: Drill["verdict"]): Drill => {
      const at = new Date(Date.now() - daysAgo * 86_400_000).toISOString();
      const found = { backup: null, depth: 4, rpoSeconds: 60, tables: 1, rows: 1, dataChecks: "none" };
      const location =
        verdict === "passed" ? { rtoSeconds: 42, problem: null } : { rtoSeconds: null, problem: "data-000 is damaged" };
      return {
        ...{ schemaVersion: 1, runId: `${at.replace(/\W/g, "")}-drill`, verdict, startedAt: at, at },
        locations: [{ store: "file:///a", verdict, ...found, ...location }],
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
  });
});
