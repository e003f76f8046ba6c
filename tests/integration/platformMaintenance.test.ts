/** What users are told of a maintenance, on Railway and Vercel: put back exactly, whatever dies or goes wrong in between. */
import assert from "node:assert/strict";
import { type Maintenance, readMaintenance } from "../../scripts/control/maintenance";
import { targetFromEnvironment } from "../../scripts/database/target";
import { liftFence, planMaintenance, raiseFence } from "../../scripts/incident/maintenance";
import {
  clearPlatforms,
  findOnPlatforms,
  planPlatforms,
  raisePlatforms,
} from "../../scripts/incident/platformMaintenance";
import type { FirewallFakeRule } from "../../scripts/rehearsal/platforms/vercelFirewallFake";
import { openPlatforms } from "../../scripts/release/rollbackTargets";
import { operationSettingsSchema } from "../../scripts/settings";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { type CliRun, runCli, startCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { type Application, startApplication } from "../servers/platforms";

const page = "https://status.example.com/crm";
const own: FirewallFakeRule = {
  name: "our office only",
  active: false,
  conditionGroup: [{ conditions: [{ type: "path", op: "pre", value: "/admin" }] }],
  action: { mitigate: { action: "deny" } },
};

describe("deploy:maintenance on the platforms", function () {
  this.timeout(120_000);
  let app: Application;
  let store: Store;
  let env: Record<string, string>;
  let role: string;
  let runs = 0;

  const railwayFlag = { variable: "MAINTENANCE", timeoutSeconds: 15 };
  const settingsOf = (maintenance: object) =>
    operationSettingsSchema.parse({ maintenance, rollback: { fencedRoles: [role] } });
  const both = { railway: railwayFlag, vercel: { action: "redirect", location: page } };
  const never = new AbortController().signal;

  before(async () => {
    const crm = await freshCrm(2);
    role = `app_${new URL(crm.url).pathname.slice(1)}`;
    await crm.client.query(`CREATE ROLE ${role}; GRANT UPDATE ON tasks TO ${role}`);
    env = { DATABASE_URL: crm.url };
    await closeCrmClients();
  });

  /** A store where a fence is on record: only what follows it is looked at here. */
  beforeEach(async () => {
    app = await startApplication(5);
    env = { ...app.env, DATABASE_URL: env["DATABASE_URL"]!, BACKUP_STORE: freshStore() };
    store = openStore(env["BACKUP_STORE"]);
    const live = targetFromEnvironment("DATABASE_URL", env);
    await raiseFence({ store, live, runId: "fence" }, await planMaintenance({ store, live }, [role]));
  });
  afterEach(async () => {
    await liftFence({ store, live: targetFromEnvironment("DATABASE_URL", env), runId: "lift" }).catch(() => undefined);
    await app.close();
  });

  const input = (maintenance: object = both, signal = never) => ({
    ...{ store, signal, settings: settingsOf(maintenance), frontendUrl: app.url, clients: openPlatforms(env, signal) },
    ...{ runId: `run-${++runs}`, onProgress: () => undefined },
  });
  const record = async (): Promise<Maintenance["platforms"]> => (await readMaintenance(store))!.platforms;
  const rules = () => app.vercel.firewall.list().active?.rules ?? [];
  const frontend = (headers: Record<string, string> = {}): Promise<Response> =>
    fetch(app.url, { redirect: "manual", headers: { connection: "close", ...headers } });
  const calls = (name: RegExp): number => app.log.requests.filter(({ call }) => name.test(call)).length;

  async function isAsBefore(): Promise<void> {
    assert.deepEqual({ ...app.railway.variables }, { NODE_ENV: "production" });
    assert.deepEqual({ ...app.railway.liveVariables() }, { NODE_ENV: "production" });
    assert.deepEqual(
      rules().map(({ name }) => name),
      [own.name],
    );
    assert.equal((await frontend()).status, 200);
    assert.deepEqual(await record(), { railway: null, vercel: null });
  }

  it("sets the variable and deploys again, redirects production but for our own checks, and puts both back", async () => {
    app.vercel.firewall.configure([own]);
    const asked = await planPlatforms(input());
    assert.match(asked.join("\n"), /sets MAINTENANCE to "true" and deploys the service again/);
    assert.match(asked.join("\n"), /production redirects to https:\/\/status\.example\.com\/crm/);
    assert.equal(rules().length, 1);

    const told = await raisePlatforms(input());
    assert.match(told.join("\n"), /railway: MAINTENANCE is "true", live with deployment .*\nvercel: .*answers so/);
    assert.equal(app.railway.liveVariables()["MAINTENANCE"], "true");
    const answer = await frontend();
    assert.deepEqual([answer.status, answer.headers.get("location")], [307, page]);
    assert.equal((await frontend({ "x-dbprotect-maintenance": (await record()).vercel!.pass })).status, 200);
    assert.deepEqual(await findOnPlatforms(store, input().clients), []);
    assert.deepEqual(rules()[0], { ...rules()[0], ...own });

    // Again it changes nothing.
    const deployed = calls(/deploymentRedeploy/);
    await raisePlatforms(input());
    assert.equal(calls(/deploymentRedeploy/), deployed);
    assert.equal(rules().length, 2);

    await clearPlatforms(input());
    await isAsBefore();
    assert.deepEqual(await clearPlatforms(input()), []);
  });

  it("where there was no firewall, and a value that refers to another variable, both are as they were", async () => {
    app.railway.variables["MAINTENANCE"] = "${{shared.MAINTENANCE}}";
    await raisePlatforms(input());
    assert.equal((await record()).railway?.before, "${{shared.MAINTENANCE}}");
    assert.equal((await frontend()).status, 307);
    await clearPlatforms(input());
    assert.equal(app.railway.variables["MAINTENANCE"], "${{shared.MAINTENANCE}}");
    assert.equal(app.railway.liveVariables()["MAINTENANCE"], "${{shared.MAINTENANCE}}");
    assert.deepEqual(rules(), []);
    assert.equal((await frontend()).status, 200);
  });

  it("an old deployment that a rollback brought back is not deployed again, and Vercel can answer 403", async () => {
    await app.deploy("2".repeat(40), "railway");
    await raisePlatforms(input({ railway: railwayFlag, vercel: { action: "deny" } }));
    assert.equal((await frontend()).status, 403);
    const [, , target] = await openPlatforms(env, never).railway().deployments();
    await openPlatforms(env, never).railway().rollback(target!.id);
    while (app.railway.liveVariables()["MAINTENANCE"] !== undefined) await new Promise((done) => setTimeout(done, 5));
    const deployed = calls(/deploymentRedeploy/);
    assert.match((await clearPlatforms(input())).join("\n"), /railway: MAINTENANCE is as it was before already/);
    assert.equal(calls(/deploymentRedeploy/), deployed);
  });

  it("where Railway deploys by itself after a deletion, that deployment serves", async () => {
    app.railway.deploysOnDeletion(true);
    await raisePlatforms(input({ railway: railwayFlag }));
    const deployed = calls(/deploymentRedeploy/);
    await clearPlatforms(input());
    assert.equal(calls(/deploymentRedeploy/), deployed);
    assert.deepEqual({ ...app.railway.liveVariables() }, { NODE_ENV: "production" });
  });

  it("what somebody changed meanwhile is left alone", async () => {
    app.vercel.firewall.configure([own]);
    await raisePlatforms(input());
    app.railway.variables["MAINTENANCE"] = "by hand";
    app.vercel.firewall.configure([own, { ...own, name: "new" }]);
    assert.deepEqual((await findOnPlatforms(store, input().clients)).sort(), [
      'railway: MAINTENANCE is not "true"',
      `vercel: the rule ${JSON.stringify((await record()).vercel!.rule)} is not in force`,
    ]);
    assert.match((await clearPlatforms(input())).join("\n"), /somebody changed it.*\nvercel: the rule is gone already/);
    assert.equal(app.railway.variables["MAINTENANCE"], "by hand");
    assert.equal(rules().length, 2);
  });

  describe("refuses before anything is changed", () => {
    const refuses = (maintenance: object, message: RegExp, name: string): Promise<void> =>
      assert.rejects(planPlatforms(input(maintenance)), { message, name });
    const redirect = { vercel: both.vercel };

    it("a firewall that is switched off, for its rules would come into force with ours", async () => {
      app.vercel.firewall.configure([own], false);
      await refuses(redirect, /firewall is switched off, with 1 rule/, "Refusal");
      await assert.rejects(raisePlatforms(input(redirect)), /switched off/);
      assert.equal(rules().length, 1);
      assert.equal((await record()).vercel, null);
    });

    it("a draft where nothing was ever published", async () => {
      app.vercel.firewall.draft();
      await refuses(redirect, /has a draft and was never configured/, "Refusal");
    });

    it("a page behind the redirection itself, and a variable that is watched", async () => {
      await refuses(
        { vercel: { action: "redirect", location: `https://${new URL(app.url).host}/x` } },
        /another host/,
        "UsageError",
      );
      await refuses(
        { railway: { variable: "SUPABASE_URL" } },
        /found SUPABASE_URL, which environment\.critical/,
        "UsageError",
      );
    });

    it("a token that is wrong, or has no right", async () => {
      app.vercel.faults.plan({ kind: "status", status: 403 });
      await refuses(redirect, /VERCEL_TOKEN: the token may not do this/, "PlatformRefusal");
      env["RAILWAY_TOKEN"] = "wrong";
      await refuses({ railway: railwayFlag }, /RAILWAY_TOKEN: Railway refused token: Not Authorized/, "Refusal");
    });
  });

  it("a platform that does not answer is said, and keeps the other from nothing; run again it is finished", async () => {
    app.vercel.firewall.configure([own]);
    app.railway.faults.plan({ kind: "status", status: 503, headers: { "retry-after": "3600" } }, 1000);
    assert.match((await planPlatforms(input())).join("\n"), /WARNING: it does not answer now/);
    await assert.rejects(raisePlatforms(input()), { name: "Unavailable" });
    assert.equal((await frontend()).status, 307);
    app.railway.faults.end();
    await raisePlatforms(input());
    assert.equal(app.railway.liveVariables()["MAINTENANCE"], "true");
    await clearPlatforms(input());
    await isAsBefore();
  });

  it("a deployment that fails is told; run again it is asked for anew", async () => {
    app.railway.failNextBuild();
    await assert.rejects(raisePlatforms(input({ railway: railwayFlag })), /ended as FAILED/);
    assert.deepEqual(await findOnPlatforms(store, input().clients), ["railway: setting was begun and not finished"]);
    await raisePlatforms(input({ railway: railwayFlag }));
    assert.equal(app.railway.liveVariables()["MAINTENANCE"], "true");
    await clearPlatforms(input());
  });

  it("an answer that was lost adds no second rule, and asks for no second deployment", async () => {
    app.vercel.firewall.configure([own]);
    app.vercel.faults.plan({ kind: "lost answer" }, 1, ({ method }) => method === "PATCH");
    app.railway.faults.plan({ kind: "lost answer" }, 1, ({ body }) => body.includes("deploymentRedeploy"));
    await raisePlatforms(input());
    assert.equal(rules().length, 2);
    assert.equal(calls(/deploymentRedeploy/), 1);
    app.vercel.faults.plan({ kind: "lost answer" }, 1, ({ method }) => method === "PATCH");
    await clearPlatforms(input()).catch(() => undefined);
    await clearPlatforms(input());
    await isAsBefore();
  });

  /** Every request that may change something, as the moment at which a run dies: once before and once after it. */
  for (const kind of ["unheard", "answered"] as const) {
    it(`ended at each change, the request ${kind}, and run again: everything is set, and everything is put back`, async () => {
      app.vercel.firewall.configure([own]);
      const changes: [RegExp, "railway" | "vercel"][] = [
        [/variableCollectionUpsert|variableDelete/, "railway"],
        [/deploymentRedeploy/, "railway"],
        [/"rules\./, "vercel"],
      ];
      for (const [request, platform] of changes) {
        for (const work of [raisePlatforms, clearPlatforms]) {
          const dying = new AbortController();
          app[platform].faults.plan({ kind: kind === "answered" ? "lost answer" : "timeout" }, 1, ({ body }) => {
            if (!request.test(body)) return false;
            setTimeout(() => dying.abort(new Error("died")), kind === "answered" ? 20 : 5);
            return true;
          });
          await work(input(both, dying.signal)).catch(() => undefined);
          app[platform].faults.end();
          await work(input());
          if (work === raisePlatforms) {
            assert.equal(app.railway.liveVariables()["MAINTENANCE"], "true", `${request.source}`);
            assert.equal(rules().length, 2, `${request.source}`);
          } else await isAsBefore();
        }
      }
    });
  }

  describe("as a command", () => {
    const cli = (...words: string[]): Promise<CliRun> =>
      runCli(["deploy:maintenance", ...words], { ...env, DBPROTECT_SETTINGS: JSON.stringify(settingsOf(both)) });

    it("on, status, off; killed in between and run again", async () => {
      app.vercel.firewall.configure([own]);
      const child = startCli(["deploy:maintenance", "on", "--yes"], {
        ...{ ...env, DBPROTECT_SETTINGS: JSON.stringify(settingsOf(both)) },
      });
      child.process.stderr?.on("data", () => {
        if (/railway: deploying/.test(child.stderr())) child.process.kill("SIGKILL");
      });
      await child.ended;
      assert.match((await cli("status")).stdout, /finding: railway: setting was begun and not finished/);
      const on = await cli("on", "--yes");
      assert.equal(on.code, 0, on.stderr);
      assert.match(on.stdout, /railway: MAINTENANCE is "true"[^]*vercel: production redirects to/);
      const status = await cli("status", "--json");
      assert.equal(status.code, 0, status.stdout);
      assert.deepEqual(JSON.parse(status.stdout).platforms, { railway: "on", vercel: "on" });
      const asked = await cli("off");
      assert.equal(asked.code, 2);
      assert.match(
        asked.stderr,
        /gives back to[^]*railway: puts MAINTENANCE back \(it was not set\)[^]*takes the rule/,
      );
      const off = await cli("off", "--yes");
      assert.equal(off.code, 0, off.stderr);
      await isAsBefore();
      assert.equal((await readMaintenance(store))?.state, "off");
    });

    it("off without a token that is needed gives no right back", async () => {
      await raisePlatforms(input({ vercel: both.vercel }));
      const off = await runCli(["deploy:maintenance", "off", "--yes"], { ...env, VERCEL_TOKEN: "" });
      assert.equal(off.code, 2, off.stderr);
      assert.match(off.stderr, /VERCEL_TOKEN is not set/);
      assert.equal((await readMaintenance(store))?.state, "on");
    });
  });
});
