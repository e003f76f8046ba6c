/** Level 1 on Supabase against its fake: every requirement met, unmet and unreadable, and restore points. */
import assert from "node:assert/strict";
import { Refusal, Unavailable, UsageError } from "../../../scripts/contract/failure";
import { checkPosture, describeFinding, type PostureCheck } from "../../../scripts/posture/checkPosture";
import { restorePointName, takeRestorePoint } from "../../../scripts/posture/restorePoint";
import { Supabase } from "../../../scripts/platforms/supabase";
import { type SupabaseFake, startSupabaseFake } from "../../../scripts/rehearsal/platforms/supabaseFake";
import { type PlatformRequirement, platformSettingsSchema } from "../../../scripts/settings";

const hour = 3_600_000;
const pace = { attempt: 2000, total: 60, firstPause: 5 };

describe("Level 1 on Supabase", () => {
  let fake: SupabaseFake;
  let env: NodeJS.ProcessEnv;

  beforeEach(async () => {
    fake = await startSupabaseFake();
    env = { ...fake.environment };
  });
  afterEach(() => fake.close());

  const check = (over: object = {}): Promise<PostureCheck> =>
    checkPosture({
      settings: platformSettingsSchema.parse(over),
      target: () => assert.fail("the database was asked"),
      env,
    });

  /** The line of one requirement, which is made the only one that counts. */
  async function line(requirement: PlatformRequirement, over: object = {}): Promise<string> {
    const { findings } = await check({ requirements: { [requirement]: "require" }, ...over });
    return describeFinding(findings.find((finding) => finding.requirement === requirement)!).replace(/^\w+: /, "");
  }

  it("passes a paid project that is well, and says what it saw", async () => {
    const { verdict, platform, findings } = await check({ level: 1 });
    assert.deepEqual([verdict, platform], ["pass", "supabase"]);
    assert.ok(findings.every(({ outcome }) => outcome === "met"));
    assert.deepEqual(
      findings.map(({ requirement }) => requirement),
      ["backup", "schedule", "retention", "region", "services", "disk", "security"],
    );
    assert.match(await line("backup"), /^newest completed backup 6\.0 h old \(20/);
    assert.equal(await line("schedule"), "daily backup at 02:00 UTC");
    assert.equal(await line("retention"), "plan pro keeps 7 days");
  });

  it("takes an empty list for what it is, although the API says 200", async () => {
    fake.state.backups = [];
    assert.equal((await check({ level: 1 })).verdict, "halt");
    assert.equal(await line("backup"), "no completed backup; expected one younger than 26 h");
  });

  it("counts completed backups only, and their age", async () => {
    const at = (hours: number, status = "COMPLETED") => ({ status, insertedAt: new Date(Date.now() - hours * hour) });
    fake.state.backups = [at(1, "FAILED"), at(2, "PENDING")];
    assert.equal(await line("backup"), "no completed backup, only FAILED, PENDING; expected one younger than 26 h");
    fake.state.backups = [at(1, "FAILED"), at(25.9)];
    assert.match(await line("backup"), /^newest completed backup 25\.9 h old/);
    fake.state.backups = [at(26.1), at(50)];
    assert.match(await line("backup"), /^newest completed backup 26\.1 h old .*; expected one younger than 26 h$/);
    assert.match(await line("backup", { backupHours: 30 }), /26\.1 h old \(\S+\)$/);
  });

  it("judges PITR by its physical backup and window: the daily ones have stopped", async () => {
    fake.state.pitr = true;
    assert.match(await line("backup"), /^no physical backup \(PITR\); expected/);
    assert.match(await line("pitr"), /has no physical backup yet/);
    fake.state.window = { earliest: new Date(Date.now() - 48 * hour), latest: new Date(Date.now() - 3 * hour) };
    assert.match(await line("backup"), /^newest physical backup \(PITR\) 3\.0 h old/);
    assert.equal(await line("pitr"), "point-in-time recovery reaches back 2.0 days");
    assert.match(await line("retention"), /PITR reaches back 2\.0 days so far; expected 7 days$/);
    fake.state.window = { earliest: new Date(Date.now() - 170 * hour), latest: new Date(Date.now() - 27 * hour) };
    assert.match(await line("backup"), /27\.0 h old .*; expected/);
    assert.match(await line("retention"), /reaches back 7\.1 days so far$/);
    fake.state.pitr = false;
    assert.equal(await line("pitr"), "point-in-time recovery is off; expected it on");
  });

  it("believes no free plan that it keeps backups, whatever the strategy says", async () => {
    Object.assign(fake.state, { plan: "free", retentionDays: 0, backups: [] });
    assert.equal(await line("retention"), "plan free keeps no backup; expected 7 days");
    assert.match(await line("schedule"), /^the plan does not tell when/);
    const { verdict } = await check();
    assert.equal(verdict, "pass", "at Level 2 the gate's own backups count, so a free project may release");
  });

  it("names what is wrong with schedule, region, replicas, services, disk and advisors", async () => {
    Object.assign(fake.state, { schedule: "04:30:00", region: "us-east-1", disk: { size: 10e9, used: 9e9 } });
    fake.state.replicas = [{ region: "eu-west-1", status: "INIT_READ_REPLICA" }];
    fake.state.ill.set("pooler", "UNHEALTHY");
    const rls = { name: "rls_disabled_in_public", level: "ERROR", detail: "Table public.clients is public" } as const;
    fake.state.lints.security = [rls, { name: "auth_otp_long_expiry", level: "WARN", detail: "a remark" }];
    assert.equal(await line("schedule"), "daily backup at 04:30 UTC; expected 02:00 UTC");
    assert.equal(await line("region", { region: "eu-central-1" }), "us-east-1; expected eu-central-1");
    assert.equal(await line("replicas"), "0 healthy of: eu-west-1 INIT_READ_REPLICA; expected 1 healthy");
    assert.match(await line("services"), /^project ACTIVE_HEALTHY, pooler UNHEALTHY \(connection refused\); expected/);
    assert.equal(await line("disk"), "90 % of 10.0 GB used; expected at most 85 %");
    assert.match(await line("security"), /^1 error\(s\) by the security advisor: rls_disabled_in_public: Table/);
    assert.equal(await line("performance"), "no error by the performance advisor, 0 remark(s)");
    fake.state.replicas = [{ region: "eu-west-1", status: "ACTIVE_HEALTHY" }];
    assert.equal(await line("replicas"), "1 healthy of: eu-west-1 ACTIVE_HEALTHY");
    fake.state.ill.clear();
    fake.state.status = "RESTORING";
    assert.match(await line("services"), /^project RESTORING, 6 services healthy; expected/);
  });

  it("demands by Level, unless it is told otherwise, and does not ask for what is ignored", async () => {
    fake.state.backups = [];
    const verdicts = [];
    for (const level of [1, 2, 3]) verdicts.push((await check({ level })).verdict);
    assert.deepEqual(verdicts, ["halt", "pass", "halt"]);
    assert.equal((await check({ level: 2, requirements: { backup: "require" } })).verdict, "halt");
    const { length } = fake.calls;
    const names = ["backup", "pitr", "schedule", "retention", "region", "replicas", "services", "disk", "security"];
    const none = Object.fromEntries([...names, "performance"].map((name) => [name, "ignore"]));
    assert.deepEqual((await check({ requirements: none })).findings, []);
    assert.deepEqual(fake.calls.slice(length), [`GET /v1/projects/${fake.projectRef}`]);
  });

  it("proves nothing by what it cannot read, and goes on with the rest", async () => {
    fake.faults.plan({ kind: "status", status: 403 }, 1, ({ url }) => url.pathname.endsWith("/database/backups"));
    const { verdict, findings } = await check({ level: 1, requirements: { retention: "ignore", schedule: "ignore" } });
    assert.equal(verdict, "halt");
    assert.deepEqual(
      findings.map(({ outcome }) => outcome),
      ["unknown", "met", "met", "met", "met"],
    );
    assert.match(findings[0]!.found, /^could not be read: .*403/);
    fake.faults.plan({ kind: "truncated" }, 1, ({ url }) => url.pathname.endsWith("/advisors/security"));
    fake.faults.plan({ kind: "status", status: 503 }, 1, ({ url }) => url.pathname.endsWith("/config/disk/util"));
    const second = await check();
    assert.equal(second.findings.find(({ requirement }) => requirement === "disk")?.outcome, "met");
  });

  it("says whose mistake a wrong token or project is, and never shows the token", async () => {
    const wrong = `sbp_${"0".repeat(40)}`;
    const attempts: [NodeJS.ProcessEnv, RegExp][] = [
      [{ ...env, SUPABASE_ACCESS_TOKEN: wrong }, /^SUPABASE_ACCESS_TOKEN: Supabase does not know this token/],
      [{ ...env, SUPABASE_PROJECT_REF: "a".repeat(20) }, /^SUPABASE_PROJECT_REF: .*404/],
      [{ ...env, SUPABASE_PROJECT_REF: "https://x.supabase.co" }, /expected the project's 20 lower-case letters/],
      [{ ...env, SUPABASE_ACCESS_TOKEN: "" }, /^SUPABASE_ACCESS_TOKEN: found nothing, although SUPABASE_PROJECT_REF/],
      [{}, /^SUPABASE_ACCESS_TOKEN: found nothing, although platform\.kind is supabase/],
    ];
    for (const [given, message] of attempts) {
      env = given;
      await assert.rejects(check({ kind: "supabase" }), (error) => {
        assert.ok(error instanceof UsageError, String(error));
        assert.match(error.message, message);
        return !error.message.includes(wrong) && !error.message.includes(fake.token);
      });
    }
  });

  describe("restore points", () => {
    const take = (waitSeconds = 5): Promise<{ status: string }> =>
      takeRestorePoint({
        supabase: new Supabase({ url: fake.url, token: fake.token, projectRef: fake.projectRef }, { pace }),
        name: restorePointName("20261122T170212Z-3f9c1a2b"),
        waitSeconds,
        signal: new AbortController().signal,
        interval: 5,
      });

    it("are waited for until they are available", async () => {
      assert.equal(restorePointName("20261122T170212Z-3f9c1a2b"), "dbp-20261122T170212Z");
      fake.state.pitr = true;
      fake.state.restorePoint.looks = 3;
      assert.equal((await take()).status, "AVAILABLE");
    });

    it("halt when they fail, when they are refused, and when they take too long", async () => {
      await assert.rejects(take(), (error) => error instanceof Refusal && /PITR is not enabled/.test(error.message));
      fake.state.pitr = true;
      fake.state.restorePoint.becomes = "FAILED";
      await assert.rejects(take(), (error) => error instanceof Refusal && /ended as FAILED/.test(error.message));
      fake.state.restorePoint = { looks: 1e6, becomes: "AVAILABLE" };
      await assert.rejects(take(0.05), (error) => error instanceof Unavailable && /still PENDING/.test(error.message));
    });

    it("are found again when only the answer was lost, and not believed in when the request was", async () => {
      fake.state.pitr = true;
      fake.faults.plan({ kind: "lost answer" });
      assert.equal((await take()).status, "AVAILABLE");
      assert.equal(fake.calls.filter((call) => call.startsWith("POST")).length, 1);
    });

    it("are not believed in when the request itself was lost", async () => {
      fake.state.pitr = true;
      fake.faults.plan({ kind: "status", status: 500 });
      await assert.rejects(take(), (error) => error instanceof Unavailable && /500/.test(error.message));
    });
  });
});
