/** The planned rollback, from a broken release to verified: killed at each step, gone on with, refused, given up. */
import assert from "node:assert/strict";
import { readManifest, listBackups, listSuspects } from "../../scripts/backup/manifest";
import { readFreezes } from "../../scripts/control/freeze";
import { readMaintenance } from "../../scripts/control/maintenance";
import {
  type PlannedRollback,
  nextStep,
  plannedSteps,
  readPlannedRollback,
  takePlannedTurn,
} from "../../scripts/control/plannedRollback";
import { targetFromEnvironment } from "../../scripts/database/target";
import { liftFence } from "../../scripts/incident/maintenance";
import {
  type PlannedPlan,
  type PlannedRequest,
  type PlannedResult,
  planPlannedRollback,
  runPlannedRollback,
} from "../../scripts/incident/plannedRollback";
import { writeReceipt } from "../../scripts/record/receipt";
import { recordEvent } from "../../scripts/record/releaseEvents";
import { findTarget, openPlatforms } from "../../scripts/release/rollbackTargets";
import { operationSettingsSchema } from "../../scripts/settings";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { runCli, startCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { ask as askAt } from "../servers/postgres";
import { type Application, firstCommit, startApplication } from "../servers/platforms";
import { receiptOf } from "../servers/receipts";

const second = "2".repeat(40);

describe("rollback:planned", function () {
  this.timeout(180_000);
  let app: Application;
  let env: Record<string, string>;
  let store: Store;
  let role: string;
  let backup: string;
  let untouched: unknown;
  let runs = 0;

  const ask = (sql: string): Promise<Record<string, unknown>[]> => askAt(env["DATABASE_URL"]!, sql);

  const acls = (): Promise<unknown> =>
    ask(`SELECT c.oid::regclass::text AS name, ARRAY(SELECT unnest(c.relacl)::text ORDER BY 1) AS acl
           FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relname <> 'added' ORDER BY 1`);
  const write = (): Promise<unknown> => ask(`SET ROLE ${role}; UPDATE clients SET name = name WHERE id = 2`);
  const tasks = async (): Promise<unknown> => (await ask("SELECT count(*)::int AS tasks FROM tasks"))[0]?.["tasks"];
  const signal = new AbortController().signal;
  const clients = () => openPlatforms(env, signal);

  // What is verified in this process reads it there.
  const passphrase = process.env["BACKUP_PASSPHRASE"];
  before(() => void (process.env["BACKUP_PASSPHRASE"] = "correct horse battery staple"));
  after(() => {
    if (passphrase === undefined) delete process.env["BACKUP_PASSPHRASE"];
    else process.env["BACKUP_PASSPHRASE"] = passphrase;
  });

  /** A backup, its receipt, and a release that loses rows and answers 500. */
  beforeEach(async () => {
    app = await startApplication();
    const crm = await freshCrm(50);
    role = `app_${new URL(crm.url).pathname.slice(1)}`;
    env = {
      ...{ ...app.env, DATABASE_URL: crm.url, BACKUP_STORE: freshStore() },
      BACKUP_PASSPHRASE: process.env["BACKUP_PASSPHRASE"] ?? "",
    };
    store = openStore(env["BACKUP_STORE"]);
    await crm.client.query(
      `CREATE ROLE ${role}; GRANT ALL ON tasks TO ${role}; GRANT SELECT, UPDATE (name) ON clients TO ${role}`,
    );
    untouched = await acls();
    const taken = await runCli(["db:backup", "--depth", "1"], env);
    assert.equal(taken.code, 0, taken.stderr);
    const reference = (await listBackups(store)).at(-1)!;
    backup = reference.name;
    const manifest = await readManifest(store, reference);
    const settings = operationSettingsSchema.parse({
      railway: { command: "railway up --ci" },
      vercel: { command: "vercel deploy --prod --yes" },
      environment: { required: [], critical: [] },
      health: { appPaths: ["/api/health"], deadlineSeconds: 0.5 },
      rollback: { timeoutSeconds: 10, fencedRoles: [role] },
      maintenance: {
        railway: { variable: "MAINTENANCE" },
        vercel: { action: "redirect", location: "https://status.example.com" },
      },
      checks: "none",
    });
    const receipt = receiptOf({
      runId: "20260101T000001Z-run",
      ...{ settings, database: manifest.database, addresses: { appUrl: app.url, frontendUrl: app.url } },
      backup: { ...reference, depth: 4, restoreSeconds: 1, rpoSeconds: null },
      rollback: { railway: await findTarget("railway", clients()), vercel: await findTarget("vercel", clients()) },
    });
    const receiptSha256 = await writeReceipt(store, receipt);
    const run = { runId: receipt.runId, releaseVersion: "v1", stack: "crm/test", receiptSha256 };
    await recordEvent(store, run, "gate-passed", "");
    await app.deploy(second);
    app.broken.add(second);
    await crm.client.query("CREATE TABLE added (id int); DELETE FROM tasks WHERE id % 2 = 0");
    await closeCrmClients();
  });
  afterEach(() => app.close());

  const request = (over: Partial<PlannedRequest> = {}): PlannedRequest => ({
    ...{ store, clients: clients(), configured: ["railway", "vercel"], to: {}, inPlace: false, person: "Ada" },
    live: targetFromEnvironment("DATABASE_URL", env),
    settings: operationSettingsSchema.parse({}),
    runId: `20260101T00000${++runs}Z-planned`,
    ...over,
  });

  const said: string[] = [];
  async function carryOut(over: Partial<PlannedRequest> = {}, ending?: AbortSignal): Promise<PlannedResult> {
    const asked = request(over);
    return execute(await planPlannedRollback(asked), asked, ending);
  }

  function execute(plan: PlannedPlan, asked: PlannedRequest, ending: AbortSignal = signal): Promise<PlannedResult> {
    const { live, runId } = asked;
    said.splice(0);
    return runPlannedRollback(plan, {
      ...{ store, live, runId, clients: clients(), signal: ending, onProgress: (line) => void said.push(line) },
      addresses: { appUrl: undefined, frontendUrl: undefined },
    });
  }

  async function isRolledBack(): Promise<void> {
    assert.equal(await tasks(), 150);
    assert.deepEqual(await ask("SELECT to_regclass('public.added') AS added"), [{ added: null }]);
    assert.deepEqual(app.live, { railway: firstCommit, vercel: firstCommit });
    assert.deepEqual(await acls(), untouched);
    await write();
    assert.equal((await readPlannedRollback(store))?.state, "done");
    const maintenance = await readMaintenance(store);
    assert.equal(maintenance?.state, "off");
    assert.deepEqual(maintenance.platforms, { railway: null, vercel: null });
    assert.deepEqual({ ...app.railway.liveVariables() }, { NODE_ENV: "production" });
    assert.deepEqual(app.vercel.firewall.list().active?.rules, []);
    assert.match((await readFreezes(store))[0]?.reason ?? "", /^planned rollback /);
  }

  it("says first what each step does to which host and project, and changes nothing without an answer", async () => {
    const run = await runCli(["rollback:planned"], env);
    assert.equal(run.code, 2, run.stderr);
    const plan = new RegExp(
      [
        `go back to ${backup}, taken .*, of before release v1 \\(receipt 20260101T000001Z-run\\)`,
        "database: 127\\.0\\.0\\.1:\\d+/crm",
        `railway: service ${app.railway.serviceId} at 127\\.0\\.0\\.1`,
        `vercel: project ${app.vercel.projectId} at 127\\.0\\.0\\.1`,
        `1\\. deploy:maintenance on: keeps ${role} from writing`,
        'railway: sets MAINTENANCE to "true"[^]*vercel: production redirects to https://status\\.example\\.com',
        "2\\. db:restore: takes a backup of what is live; restores .* beside it",
        "3\\. deploy:rollback: railway to [0-9a-f-]+ \\(live before the release",
        "4\\. db:verify:rollback: ",
        "5\\. deploy:maintenance off: ",
      ].join("[^]*"),
    );
    assert.match(run.stderr, plan);
    assert.equal(await readPlannedRollback(store), undefined);
    assert.deepEqual(await readFreezes(store), []);
    assert.deepEqual(await acls(), untouched);
  });

  it("takes data and application back, verified, each step timed; again it begins a new one", async () => {
    const result = await carryOut();
    assert.deepEqual(
      result.steps.map(({ step, state }) => [step, state]),
      plannedSteps.map((step) => [step, "done"]),
    );
    assert.ok(result.steps.every(({ seconds, detail }) => seconds !== null && detail !== ""));
    await isRolledBack();
    assert.equal((await planPlannedRollback(request())).isResumed, false);
  });

  it("killed with -9 at each of its steps, the next run goes on there, on the same safety backup", async () => {
    const points = [
      /1 of 5: deploy:maintenance on$/m,
      /right\(s\) taken away; ending sessions/,
      /railway: deploying \S+ again/,
      /safety backup: what is live now is stored first/,
      /schema-pre\.dump\.zst restored/,
      /about to take the place of/,
      /3 of 5: deploy:rollback$/m,
      // Where the kill before came late, Railway is done already.
      /railway: deployment \S+: |vercel: rollback to /,
      /4 of 5: db:verify:rollback$/m,
      /5 of 5: deploy:maintenance off$/m,
      /right\(s\) given back, equal to what was taken/,
    ];
    for (const [index, point] of points.entries()) {
      const child = startCli(["rollback:planned", "--yes"], env);
      child.process.stderr?.on("data", () => {
        if (point.test(child.stderr())) child.process.kill("SIGKILL");
      });
      const { code, stderr } = await child.ended;
      assert.equal(code, null, `not killed at ${point.source}:\n${stderr}`);
      const document = (await readPlannedRollback(store))!;
      assert.equal(document.state, "under way", stderr);
      if (index > 1 && index < points.length - 1) await assert.rejects(write(), { code: "42501" }, point.source);
    }
    const last = await runCli(["rollback:planned", "--yes"], env);
    assert.equal(last.code, 0, last.stderr);
    assert.match(last.stderr, /goes on with planned rollback [^]*1 of 5: deploy:maintenance on: done before/);
    await isRolledBack();
    const [safety, ...more] = (await listSuspects(store)).values();
    assert.notEqual(safety, undefined);
    assert.deepEqual(more, [], "one safety backup is enough as long as nobody can write");
    const asked = (call: RegExp): number => app.log.requests.filter((each) => call.test(each.call)).length;
    assert.deepEqual([asked(/deploymentRollback/), asked(/POST .*rollback/)], [1, 1]);
  });

  it("a second operator is refused (3) while one is at work, and a run that lost its turn ends", async () => {
    const asked = request();
    const plan = await planPlannedRollback(asked);
    const turn = await takePlannedTurn(store, "first", () => plan.document);
    const refused = await runCli(["rollback:planned", "--yes"], env);
    assert.equal(refused.code, 3, refused.stderr);
    assert.match(refused.stderr, /a planned rollback is being carried out: first \(process \d+ on /);
    await assert.rejects(execute(plan, asked), /being carried out/);
    await turn.end();
    const other = await takePlannedTurn(store, "other", (current) => current!);
    await assert.rejects(turn.begin("db:restore"), /another run took the planned rollback over/);
    assert.equal(turn.lost.aborted, true);
    await other.end();
    assert.deepEqual(await acls(), untouched);
  });

  it("is gone on with towards the same backup and deployments only, until it is abandoned", async () => {
    app.vercel.failNextRollback();
    await assert.rejects(carryOut(), /the application did not go back: vercel/);
    assert.equal(nextStep((await readPlannedRollback(store))!), "deploy:rollback");
    await assert.rejects(write(), { code: "42501" });
    await assert.rejects(carryOut({ backup: "backup_20250101_000000" }), /planned rollback to backup_\w+ is under way/);
    await assert.rejects(carryOut({ to: { railway: "other" } }), /is under way, begun by Ada/);
    const asked = await runCli(["deploy:maintenance", "off"], env);
    assert.match(asked.stderr, /WARNING: planned rollback \S+ is under way, at deploy:rollback, and needs the fence/);
    const given = await runCli(["rollback:planned", "--abandon", "--yes", "--json"], env);
    assert.deepEqual(JSON.parse(given.stdout).done, ["deploy:maintenance on", "db:restore"], given.stderr);
    await assert.rejects(write(), { code: "42501" });
    assert.equal((await planPlannedRollback(request())).isResumed, false);
  });

  it("a fence that somebody lifted meanwhile is raised again, and what was written then is in a safety backup", async () => {
    const interruption = new AbortController();
    const asked = request();
    const plan = await planPlannedRollback(asked);
    const { live, runId } = asked;
    const stopped = runPlannedRollback(plan, {
      ...{ store, live, runId, clients: clients(), signal: interruption.signal },
      onProgress: (line) => {
        if (line.includes("marked as suspect")) interruption.abort();
      },
      addresses: { appUrl: undefined, frontendUrl: undefined },
    });
    await assert.rejects(stopped);
    assert.equal((await readPlannedRollback(store))?.turn, null);
    const [first] = (await listSuspects(store)).values();
    await liftFence({ store, live, runId: "somebody" });
    await ask("INSERT INTO tasks (client_id, title) VALUES (1, 'late')");
    await carryOut();
    assert.ok(said.includes("the write fence does not stand any more: raising it again"), said.join("\n"));
    await isRolledBack();
    const later = [...(await listSuspects(store)).values()].filter((name) => name !== first);
    assert.equal(later.length, 1, "a safety backup that knows of the late task");
  });

  it("what the verification finds keeps the fence up; mended, it goes on with the verification", async () => {
    app.broken.add(firstCommit);
    await assert.rejects(carryOut(), (error: PlannedRollback & { details: string[]; message: string }) => {
      assert.match(error.message, /not verified: the write fence stays up/);
      assert.match(error.details.join("\n"), /\/api\/health: /);
      return true;
    });
    assert.equal(nextStep((await readPlannedRollback(store))!), "db:verify:rollback");
    await assert.rejects(write(), { code: "42501" });
    app.broken.clear();
    await carryOut();
    assert.ok(said.some((line) => line.startsWith("4 of 5: db:verify:rollback, attempt 2")));
    await isRolledBack();
  });
});
