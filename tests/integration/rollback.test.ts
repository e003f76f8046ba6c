/** Rolling the application back on the fakes: proven on both sides, killed and run again, partial, refused, in time. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { GateContext, GateState } from "../../scripts/gate/context";
import { rollbackTargetStep } from "../../scripts/gate/steps/rollbackTarget";
import { readEvents, recordEvent, findLive, isOpen } from "../../scripts/record/releaseEvents";
import { readTrustedReceipt, writeReceipt } from "../../scripts/record/receipt";
import {
  type RollbackRequest,
  type RollbackResult,
  planRollback,
  rollBack,
  strategySeconds,
} from "../../scripts/release/rollback";
import { type AutomaticRollback, rollBackOnFailure } from "../../scripts/release/rollbackOnFailure";
import { findTarget, openPlatforms } from "../../scripts/release/rollbackTargets";
import { operationSettingsSchema } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import { receiptOf } from "../servers/receipts";
import { startCli } from "../servers/cli";
import { type Application, firstCommit, startApplication } from "../servers/platforms";
import { temporaryFolder } from "../servers/stores";

const second = "2".repeat(40);
const third = "3".repeat(40);

/** No variable is watched: the environment is another test's business. */
const settings = operationSettingsSchema.parse({
  railway: { command: "railway up --ci" },
  vercel: { command: "vercel deploy --prod --yes" },
  environment: { required: [], critical: [] },
  health: { appPaths: ["/api/health"], deadlineSeconds: 3 },
  rollback: { timeoutSeconds: 5 },
});

describe("deploy:rollback", function () {
  this.timeout(60_000);
  let app: Application;
  let store: FileStore;
  let folder: string;
  let runs: number;

  beforeEach(async () => {
    app = await startApplication();
    folder = join(temporaryFolder(), "store");
    store = new FileStore(folder);
    runs = 0;
  });
  afterEach(() => app.close());

  const clients = (signal = new AbortController().signal) => openPlatforms(app.env, signal);

  /** What a gate writes, and the release that followed. @returns the run id. */
  async function release(version: string): Promise<string> {
    runs += 1;
    const runId = `20260101T00000${runs}Z-run`;
    const targets = {
      railway: await findTarget("railway", clients()),
      vercel: await findTarget("vercel", clients()),
    };
    const receipt = receiptOf({
      ...{ runId, releaseVersion: version, rollback: targets, settings },
      addresses: { appUrl: app.url, frontendUrl: app.url },
    });
    const receiptSha256 = await writeReceipt(store, receipt);
    const run = { runId, releaseVersion: version, stack: "crm/test", receiptSha256 };
    await recordEvent(store, run, "gate-passed", "");
    await app.deploy(version);
    for (const step of ["railway", "vercel"]) await recordEvent(store, run, `${step}-live`, "");
    await recordEvent(store, run, "verified", "");
    return runId;
  }

  const rolled: string[] = [];
  async function rollback(over: Partial<RollbackRequest> = {}, signal?: AbortSignal): Promise<RollbackResult> {
    const plan = await planRollback({
      ...{ store, clients: clients(signal), to: {}, settings, configured: ["railway", "vercel"], ...over },
    });
    return rollBack(plan, {
      ...{ store, clients: clients(signal), runId: `rollback-${rolled.push("")}` },
      addresses: { appUrl: app.url, frontendUrl: app.url },
      signal: signal ?? new AbortController().signal,
      onProgress: () => undefined,
    });
  }

  const asked = (call: RegExp): number => app.log.requests.filter((request) => call.test(request.call)).length;
  const outcomes = ({ sides }: RollbackResult): string[] =>
    sides.map(({ platform, outcome }) => `${platform} ${outcome}`);

  it("goes back on both platforms to what the receipt recorded, and the version no longer counts as live", async () => {
    const runId = await release(second);
    app.broken.add(second);
    const result = await rollback();
    assert.deepEqual(outcomes(result), ["railway rolled back", "vercel rolled back"]);
    assert.deepEqual(app.live, { railway: firstCommit, vercel: firstCommit });
    assert.equal(result.exitCode, 0, JSON.stringify(result.findings));
    assert.equal(result.health.outcome, "pass");
    assert.ok(result.withinStrategy && result.seconds < 10);
    assert.equal(await findLive(store, "railway", { releaseVersion: second, stack: "crm/test" }), undefined);
    assert.equal(await isOpen(store, runId), false, "a rollback says nothing of rows");
    assert.deepEqual(
      (await readEvents(store, runId)).slice(-2).map(({ event }) => event),
      ["railway-rolled-back", "vercel-rolled-back"],
    );
  });

  it("run again it asks for nothing", async () => {
    await release(second);
    await rollback();
    const again = await rollback();
    assert.equal(again.verdict, "nothing to do");
    assert.equal(again.exitCode, 0);
    assert.deepEqual([asked(/deploymentRollback/), asked(/POST .*rollback/)], [1, 1]);
  });

  it("goes back to the deployments that are named, and leaves the other platform alone with --only", async () => {
    const first = {
      railway: (await findTarget("railway", clients()))!.deploymentId,
      vercel: app.vercel.productionId(),
    };
    await release(second);
    await release(third);
    await rollback({ to: { railway: first.railway }, only: "railway" });
    assert.deepEqual(app.live, { railway: firstCommit, vercel: third });
    const result = await rollback({ to: { vercel: first.vercel }, only: "vercel" });
    assert.equal(result.exitCode, 0);
    assert.equal(app.live.vercel, firstCommit);
  });

  it("without a receipt it takes the newest that can be rolled back to", async () => {
    await app.deploy(second);
    await app.deploy(third);
    const result = await rollback();
    assert.equal(result.exitCode, 0);
    assert.deepEqual(app.live, { railway: second, vercel: second });
  });

  it("one side failing is an outcome of its own, says which, and the next run does only that one", async () => {
    await release(second);
    app.vercel.failNextRollback();
    const result = await rollback();
    assert.deepEqual([result.verdict, result.exitCode], ["partial", 1]);
    assert.deepEqual(outcomes(result), ["railway rolled back", "vercel failed"]);
    assert.match(result.findings[0] ?? "", /^vercel: .*failed/);
    const again = await rollback();
    assert.deepEqual(outcomes(again), ["railway already", "vercel rolled back"]);
    assert.equal(again.exitCode, 0);
  });

  it("a request whose answer was lost counts when it was carried out", async () => {
    await release(second);
    const isRollback = ({ body, url }: { body: string; url: URL }): boolean =>
      /deploymentRollback|\/rollback\//.test(body + url.pathname);
    app.railway.faults.plan({ kind: "lost answer" }, 1, isRollback);
    app.vercel.faults.plan({ kind: "lost answer" }, 1, isRollback);
    const result = await rollback();
    assert.equal(result.exitCode, 0, JSON.stringify(result.findings));
    assert.deepEqual([asked(/deploymentRollback/), asked(/POST .*rollback/)], [1, 1]);
  });

  it("an image that Railway no longer keeps is refused, a crash is named, and wrong tokens change nothing", async () => {
    await release(second);
    app.railway.failNextBuild();
    assert.match((await rollback({ only: "railway" })).findings[0] ?? "", /ended as CRASHED/);
    assert.equal(app.live.railway, second);
    app.railway.expireImages();
    const expired = await rollback({ only: "railway" });
    assert.deepEqual([expired.verdict, expired.exitCode], ["failed", 1]);
    assert.match(expired.findings[0] ?? "", /no longer keeps its image/);
    const wrong = { ...app.env, RAILWAY_TOKEN: "wrong", VERCEL_TOKEN: "wrong" };
    const plan = await planRollback({
      store,
      clients: openPlatforms(wrong, new AbortController().signal),
      to: {},
      settings,
      configured: [],
    });
    const result = await rollBack(plan, {
      ...{ store, clients: openPlatforms(wrong, new AbortController().signal), runId: "rollback-wrong" },
      addresses: { appUrl: undefined, frontendUrl: undefined },
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    assert.deepEqual([result.verdict, result.exitCode], ["failed", 1]);
    assert.match(result.findings.join("\n"), /RAILWAY_TOKEN.*\n.*VERCEL_TOKEN/);
  });

  it("an unknown status is waited for, and given up in time", async () => {
    await release(second);
    app.railway.reportStatus("TELEPORTING");
    const hurried = { ...settings, rollback: { ...settings.rollback, timeoutSeconds: 1 } };
    const plan = await planRollback({
      store,
      clients: clients(),
      to: {},
      settings: hurried,
      configured: [],
      only: "railway",
    });
    const result = await rollBack(
      { ...plan, settings: hurried },
      {
        ...{ store, clients: clients(), runId: "rollback-unknown" },
        addresses: { appUrl: undefined, frontendUrl: undefined },
        signal: new AbortController().signal,
        onProgress: () => undefined,
      },
    );
    assert.deepEqual([result.verdict, result.exitCode], ["failed", 3]);
    assert.match(result.findings[0] ?? "", /not done within 1 s: deployment \S+: TELEPORTING/);
  });

  it("health that fails afterwards is exit 1, though both sides went back", async () => {
    await release(second);
    app.broken.add(firstCommit);
    const result = await rollback();
    assert.deepEqual([result.verdict, result.exitCode], ["rolled back", 1]);
    assert.match(result.findings.join(), /\/api\/health: HTTP 500/);
  });

  it("a build that failed, or is under way, leaves what is live as it is: the one is none, the other is cancelled", async () => {
    app.railway.failNextBuild();
    const client = clients().railway();
    const live = (await findTarget("railway", clients()))!.deploymentId;
    const failed = await client.deploy(second);
    while ((await client.deployment(failed)).status !== "FAILED") await new Promise((done) => setTimeout(done, 5));
    const to = { railway: live };
    assert.deepEqual(outcomes(await rollback({ to, only: "railway" })), ["railway already"]);
    await app.close();
    app = await startApplication(400);
    const slow = clients().railway();
    const now = (await findTarget("railway", clients()))!.deploymentId;
    const building = await slow.deploy(second);
    const result = await rollback({ to: { railway: now }, only: "railway" });
    assert.deepEqual([outcomes(result), result.exitCode], [["railway rolled back"], 0], JSON.stringify(result));
    assert.equal((await slow.deployment(building)).status, "REMOVED");
    assert.equal(app.live.railway, firstCommit);
    assert.equal(asked(/deploymentRollback/), 0);
  });

  /** Of all that the platforms take, and of nothing that this program takes: hundreds of seconds become a few. */
  const timeFactor = 1 / 50;

  for (const [speed, railwaySeconds, vercelSeconds] of [
    ["quick", 20, 5],
    ["slow", 60, 20],
  ] as const) {
    it(`the emergency path with ${speed} platforms (Railway ${railwaySeconds} s, Vercel ${vercelSeconds} s, both times ${timeFactor}) is within five minutes`, async () => {
      await app.close();
      // A rollback is one state at Railway, two at Vercel.
      const scaled = (seconds: number): number => seconds * 1000 * timeFactor;
      app = await startApplication({ railway: scaled(railwaySeconds), vercel: scaled(vercelSeconds / 2) });
      await release(second);
      app.broken.add(second);
      const started = performance.now();
      const env = { ...app.env, BACKUP_STORE: pathToFileURL(folder).href };
      const run = await startCli(["deploy:rollback", "--yes"], env).ended;
      const measured = (performance.now() - started) / 1000;
      assert.equal(run.code, 0, run.stderr + run.stdout);
      // From the command's start to its end: both sides read again as live, and healthy.
      assert.deepEqual(app.live, { railway: firstCommit, vercel: firstCommit });
      assert.match(run.stdout, /railway: rolled back[^]*vercel: rolled back[^]*health: pass/);
      const told = /([\d.]+) s of the strategy's 300 s\n/.exec(run.stdout)?.[1];
      assert.ok(told !== undefined && Number(told) <= measured, run.stdout);
      // Both at the same time, so the slower one counts; what is ours is not scaled.
      const platforms = Math.max(railwaySeconds, vercelSeconds);
      assert.ok(Number(told) >= platforms * timeFactor, "the time in the report holds that of the slower platform");
      const real = platforms + measured - platforms * timeFactor;
      assert.ok(real < strategySeconds, `${real.toFixed(1)} s`);
    });
  }

  it("only one runs at a time; one that was killed with -9 is gone on with, and asks for nothing twice", async () => {
    await app.close();
    app = await startApplication(400);
    await release(second);
    const env = { ...app.env, BACKUP_STORE: pathToFileURL(folder).href };
    const words = ["deploy:rollback", "--yes", "--json"];
    const both = [startCli(words, env), startCli(words, env)];
    const refused = await Promise.race(both.map(async ({ ended }, index) => ({ index, ...(await ended) })));
    assert.equal(refused.code, 3, refused.stderr);
    assert.match(refused.stderr, /another rollback is running/);
    while (asked(/deploymentRollback/) === 0 || asked(/POST .*rollback/) === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const killed = both[1 - refused.index]!;
    killed.process.kill("SIGKILL");
    assert.equal((await killed.ended).code, null);
    const again = await startCli(words, env).ended;
    assert.equal(again.code, 0, again.stderr + again.stdout);
    assert.deepEqual([asked(/deploymentRollback/), asked(/POST .*rollback/)], [1, 1]);
    assert.deepEqual(app.live, { railway: firstCommit, vercel: firstCommit });
  });

  it("the gate records what is live, and halts where there is nothing to go back to or nobody to ask", async () => {
    const gate = async (env: Record<string, string>, target: "required" | "optional") => {
      const before = { ...process.env };
      Object.assign(process.env, env);
      const state: GateState = { usedOverrides: [], reports: [] };
      const context = { settings: { ...settings, rollback: { ...settings.rollback, target } } };
      const signal = new AbortController().signal;
      const result = await rollbackTargetStep.run({ ...context, signal } as GateContext, state).finally(() => {
        process.env = before;
      });
      return { result, state };
    };
    const good = await gate(app.env, "required");
    assert.deepEqual(good.result.findings, []);
    assert.equal(good.state.rollback?.vercel?.deploymentId, app.vercel.productionId());
    assert.equal(good.state.rollback?.railway?.possible, true);
    const halted = await gate({ ...app.env, RAILWAY_TOKEN: "wrong" }, "required");
    assert.deepEqual(
      halted.result.findings?.map(({ id }) => id),
      ["railway"],
    );
    assert.match(halted.result.findings?.[0]?.message ?? "", /RAILWAY_TOKEN/);
    const first = await gate({ ...app.env, RAILWAY_TOKEN: "wrong" }, "optional");
    assert.deepEqual(first.result.findings, []);
    assert.equal(first.state.rollback?.railway, null);
  });

  it("a release that failed goes back by itself where the settings say so, and tells when it could not", async () => {
    const trusted = await readTrustedReceipt(store, await release(second));
    const { receipt } = trusted;
    const failed = (onFailure: "manual" | "application"): Promise<AutomaticRollback | null> => {
      const rollback = { ...receipt.settings.rollback, onFailure };
      return rollBackOnFailure({
        store,
        trusted: { ...trusted, receipt: { ...receipt, settings: { ...receipt.settings, rollback } } },
        clients: clients(),
        addresses: { appUrl: app.url, frontendUrl: app.url },
        signal: new AbortController().signal,
        onProgress: () => undefined,
      });
    };
    assert.equal(await failed("manual"), null);
    assert.equal(app.live.railway, second);
    app.railway.faults.plan({ kind: "status", status: 401 }, 9);
    assert.match((await failed("application"))?.summary ?? "", /^application: partial .*railway: RAILWAY_TOKEN/);
    app.railway.faults.end();
    const undone = await failed("application");
    assert.match(undone?.summary ?? "", /^application: rolled back within [\d.]+ s$/);
    assert.deepEqual(app.live, { railway: firstCommit, vercel: firstCommit });
  });

  it("Ctrl-C ends it at once, and the next run finishes", async () => {
    await release(second);
    app.railway.faults.plan({ kind: "timeout" }, 1, ({ body }) => body.includes("latestDeployment"));
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("stopped")), 100);
    await assert.rejects(rollback({ only: "railway" }, controller.signal), /stopped/);
    assert.equal((await rollback()).exitCode, 0);
  });
});
