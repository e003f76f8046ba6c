/**
 * A release of the CRM that is watched, under load and on the fakes: what goes well, what hangs, spikes and crashes, and what
 * follows; and `deploy:watch` by hand.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "pg";
import { z } from "zod";
import { Failure, UsageError } from "../../scripts/contract/failure";
import { Railway, railwayFromEnvironment } from "../../scripts/platforms/railway";
import { readLease } from "../../scripts/control/lease";
import { parseTarget } from "../../scripts/database/target";
import type { GateContext } from "../../scripts/gate/context";
import { runGate } from "../../scripts/gate/gate";
import { readReceipt } from "../../scripts/record/receipt";
import { readEvents } from "../../scripts/record/releaseEvents";
import { readNotes } from "../../scripts/record/releaseNotes";
import { checkList, readReleaseFacts } from "../../scripts/release/checklist";
import { type ManualWatch, watchByHand } from "../../scripts/release/manualWatch";
import { runReleaseStep } from "../../scripts/release/releaseStep";
import { type ReleaseWatch, watchRelease } from "../../scripts/release/releaseWatch";
import { openPlatforms } from "../../scripts/release/rollbackTargets";
import { verifyPostDeploy } from "../../scripts/release/postDeploy";
import { type OperationSettings, operationSettingsSchema } from "../../scripts/settings";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { startCli } from "../servers/cli";
import { closeCrmClients, deploymentVariables, freshCrm, freshStore } from "../servers/crm";
import { type Application, firstCommit, startApplication } from "../servers/platforms";

const bad = "2".repeat(40);
const good = "3".repeat(40);
const stack = "crm/test";

describe("watching a release", function () {
  this.timeout(120_000);
  let app: Application;
  let url: string;
  let pool: Pool;
  let lines: string[];
  /** Milliseconds that each answer of a commit takes besides. */
  let delays: Record<string, number>;
  let former: NodeJS.ProcessEnv;
  let loading = true;
  let load: Promise<void>;
  let added = 0;

  before(async () => {
    ({ url } = await freshCrm(200));
    pool = new Pool({ connectionString: url, max: 4 });
    pool.on("error", () => undefined);
    former = { ...process.env };
    // People who go on working: whatever is compared afterwards, this is there.
    load = (async () => {
      for (; loading; added++) {
        await pool.query("INSERT INTO clients (name, email, stage) VALUES ('Visitor', $1, 'lead')", [
          `visitor${added}@example.net`,
        ]);
        await sleep(20);
      }
    })();
  });
  after(async () => {
    loading = false;
    await load;
    await pool.end();
    await closeCrmClients();
  });
  beforeEach(async () => {
    lines = [];
    delays = {};
    app = await startApplication(15, async (commit) => {
      await pool.query("SELECT count(*) FROM clients");
      await sleep(delays[commit] ?? 0);
    });
    Object.assign(process.env, app.env, deploymentVariables);
  });
  afterEach(async () => {
    process.env = { ...former };
    await app.close();
  });

  const settingsOf = (watch: object = {}, railway = "echo deployed"): OperationSettings =>
    operationSettingsSchema.parse({
      railway: { command: railway, timeoutSeconds: 60 },
      vercel: { command: "echo deployed" },
      health: { appPaths: ["/api/health", "/api/crm/clients"], deadlineSeconds: 2 },
      watch: { soakMinutes: 0.5 / 60, intervalSeconds: 0.05, requests: 10, floorMilliseconds: 150, ...watch },
      rollback: { onFailure: "application", timeoutSeconds: 10 },
      // Restoring is another test's business, and the comparison of rows needs no copy as long as none is missing.
      verification: { depth: 3 },
    });

  interface Guarded {
    readonly store: Store;
    readonly runId: string;
    step(step: "railway" | "vercel"): Promise<unknown>;
    soak(signal?: AbortSignal): Promise<ReleaseWatch>;
    verify(): ReturnType<typeof verifyPostDeploy>;
  }

  /** A gate that passed for this commit. */
  async function gate(
    releaseVersion: string,
    settings: OperationSettings,
    store = openStore(freshStore()),
  ): Promise<Guarded> {
    const runId = `2026010${1 + Math.floor(Math.random() * 8)}T000000Z-${releaseVersion.slice(0, 4)}${Math.random().toString(36).slice(2, 8)}`;
    const signal = new AbortController().signal;
    const target = parseTarget(url, "DATABASE_URL");
    const addresses = { appUrl: app.url, frontendUrl: app.url };
    const onLine = (line: string): void => void lines.push(line);
    const common = { store, target, stack, releaseVersion, addresses };
    const context: GateContext = {
      ...{ ...common, settings, runId, takeOver: true, waitSeconds: 0, signal, onProgress: onLine },
    };
    const result = await runGate(context);
    assert.equal(result.verdict, "pass", result.message ?? "");
    const release = (stop = signal) => ({ ...common, clients: openPlatforms(app.env, stop), signal: stop, onLine });
    return {
      ...{ store, runId },
      step: (step) => runReleaseStep({ ...release(), step }),
      soak: (stop) => watchRelease(release(stop)),
      verify: () => verifyPostDeploy({ ...release(), onProgress: onLine }),
    };
  }

  async function released(commit: string, watch: object = {}): Promise<Guarded> {
    const guarded = await gate(commit, settingsOf(watch));
    await app.deploy(commit);
    await guarded.step("railway");
    await guarded.step("vercel");
    return guarded;
  }

  const failureOf = (work: Promise<unknown>): Promise<Failure> =>
    work.then(
      () => assert.fail("it passed"),
      (error: unknown) => {
        assert.ok(error instanceof Failure, String(error));
        return error;
      },
    );
  const eventsOf = async ({ store, runId }: Guarded): Promise<string[]> =>
    (await readEvents(store, runId)).map(({ event }) => event);

  it("that is well passes, is verified, and proves what the checklists ask; rerun it does nothing", async () => {
    const guarded = await released(good);
    const { store, runId } = guarded;
    const { baseline } = await readReceipt(store, runId);
    assert.deepEqual(
      baseline.map(({ url: path, requests, failures }) => [new URL(path).pathname, requests, failures]),
      [
        ["/api/health", 10, 0],
        ["/api/crm/clients", 10, 0],
        ["/", 10, 0],
      ],
    );
    app.railway.say("hello from the new version");
    const { outcome, report } = await guarded.soak();
    assert.equal(outcome, "watched");
    assert.deepEqual(report?.findings, []);
    assert.ok((report?.seconds ?? 0) >= 0.5);
    assert.ok(report?.endpoints.every(({ requests, failures }) => requests > 1 && failures === 0));
    assert.deepEqual(
      report?.deployments.map(({ platform, status }) => [platform, status]),
      [
        ["railway", "SUCCESS"],
        ["vercel", "READY"],
      ],
    );
    assert.equal((await guarded.verify()).verdict, "pass", "under load no row is lost");
    assert.ok(added > 10);
    const proven = async (list: "during" | "post" | "success", id: string): Promise<string | undefined> =>
      (await checkList(store, list, await readReleaseFacts(store, list))).items.find((item) => item.id === id)?.state;
    assert.deepEqual(
      [await proven("during", "errors"), await proven("during", "health"), await proven("post", "error-rates")],
      ["proven", "proven", "proven"],
    );
    assert.equal(await proven("success", "error-spikes"), "proven");
    assert.equal((await guarded.soak()).outcome, "released before");
  });

  it("whose new version is slow fails, goes back, loses no row, and its slowness is nobody's baseline", async () => {
    const guarded = await released(bad, { soakMinutes: 0.5 });
    delays[bad] = 400;
    const failure = await failureOf(guarded.soak());
    assert.match(failure.message, /^watch failed: http\S+: latency spike: median of the last \d+ answers \d{3,} ms/);
    assert.match(failure.message, /application: rolled back within [\d.]+ s; no row is lost$/);
    assert.match(failure.hint ?? "", /status\.railway\.com.*vercel-status\.com/);
    assert.equal(failure.exitCode, 1);
    assert.deepEqual(app.live, { railway: firstCommit, vercel: firstCommit });
    assert.deepEqual((await eventsOf(guarded)).slice(-2), ["railway-rolled-back", "vercel-rolled-back"]);
    assert.equal((await readLease(guarded.store))?.phase, "released");
    assert.equal((await readNotes(guarded.store, guarded.runId)).at(-1)?.ok, false);
  });

  it("that a person leaves as it is after a spike is compared with before it, until it is well", async () => {
    const settings = settingsOf({ soakMinutes: 0.5 });
    const manual = { ...settings, rollback: { ...settings.rollback, onFailure: "manual" as const } };
    const guarded = await gate(bad, manual);
    await app.deploy(bad);
    await guarded.step("railway");
    await guarded.step("vercel");
    delays[bad] = 400;
    assert.match((await failureOf(guarded.soak())).message, /latency spike/);
    assert.equal(app.live.railway, bad);
    const again = await gate(bad, manual, guarded.store);
    const { baseline, steps } = await readReceipt(again.store, again.runId);
    assert.deepEqual(baseline, (await readReceipt(guarded.store, guarded.runId)).baseline);
    assert.match(steps.find(({ step }) => step === "baseline")?.summary ?? "", /was not watched to a good end/);
  });

  it("whose new version answers 500 now and then fails by its error rate", async () => {
    const guarded = await released(bad, { soakMinutes: 0.5 });
    app.broken.add(bad);
    const failure = await failureOf(guarded.soak());
    assert.match(
      failure.message,
      /error spike: 3 of the last \d+ requests failed \([\d.]+ %\), before .* 0 %: HTTP 500/,
    );
    assert.deepEqual(app.live, { railway: firstCommit, vercel: firstCommit });
  });

  it("that crashes in the soak fails at once, with its last words in the log", async () => {
    const guarded = await released(bad, { soakMinutes: 10 });
    lines = [];
    const soaking = failureOf(guarded.soak());
    while (!lines.some((line) => /^railway: deployment \S+: SUCCESS$/.test(line))) await sleep(5);
    app.railway.endLive("CRASHED", "out of memory");
    const failure = await soaking;
    assert.match(failure.message, /^watch failed: railway: deployment \S+ is CRASHED; application: /);
    assert.ok(lines.includes("railway: | out of memory"), lines.join("\n"));
    assert.equal(app.live.railway, firstCommit);
  });

  it("that production does not point to fails, though it is READY: as after a rollback, until it is promoted", async () => {
    const client = openPlatforms(app.env, new AbortController().signal).vercel();
    const before = app.vercel.productionId();
    await app.deploy(bad, "vercel");
    // From then on Vercel gives new deployments no production domain.
    await client.rollback(before);
    while (app.vercel.productionId() !== before) await sleep(5);
    const settings = settingsOf();
    const guarded = await gate(good, { ...settings, rollback: { ...settings.rollback, onFailure: "manual" } });
    await app.deploy(good, "railway");
    await client.request("POST", "/v13/deployments", z.unknown(), {
      body: {
        ...{ name: "crm-frontend", target: "production", files: [{ file: "index.html", data: "" }] },
        gitMetadata: { commitSha: good },
      },
    });
    while ((await client.latest())?.readyState !== "READY") await sleep(5);
    await guarded.step("railway");
    await guarded.step("vercel");
    const { message } = await failureOf(guarded.soak());
    const id = (await client.latest())!.id;
    assert.match(
      message,
      new RegExp(`vercel: deployment ${id} is READY, but production does not point to it: vercel promote ${id}`),
    );
    assert.equal(app.live.vercel, firstCommit);
  });

  it("that somebody deploys over fails", async () => {
    const settings = settingsOf({ soakMinutes: 10 });
    const guarded = await gate(good, { ...settings, rollback: { ...settings.rollback, onFailure: "manual" } });
    await app.deploy(good);
    await guarded.step("railway");
    await guarded.step("vercel");
    lines = [];
    const soaking = failureOf(guarded.soak());
    while (!lines.some((line) => /^railway: deployment \S+: SUCCESS$/.test(line))) await sleep(5);
    await app.deploy(bad, "railway");
    assert.match((await soaking).message, /takes the place of .*: somebody else deploys/);
  });

  it("that hangs is ended when the platform says that its deployment failed", async () => {
    const guarded = await gate(bad, settingsOf({}, "sleep 600"));
    const started = performance.now();
    const releasing = failureOf(guarded.step("railway"));
    while (!lines.some((line) => /^railway: deployment \S+: SUCCESS$/.test(line))) await sleep(5);
    app.railway.failNextBuild();
    await new Railway(railwayFromEnvironment(app.env)!).deploy(bad);
    const failure = await releasing;
    assert.match(failure.message, /^railway failed: railway: deployment \S+ is FAILED/);
    assert.match(failure.message, /no row is lost/);
    assert.ok(performance.now() - started < 50_000);
    assert.equal(app.live.railway, firstCommit);
  });

  it("that is interrupted says so, and the next gate releases again", async () => {
    const guarded = await released(good, { soakMinutes: 10 });
    const stop = new AbortController();
    lines = [];
    const soaking = guarded.soak(stop.signal).then(
      () => "passed",
      () => "stopped",
    );
    while (!lines.some((line) => /^vercel: deployment \S+: READY$/.test(line))) await sleep(5);
    stop.abort();
    assert.equal(await soaking, "stopped");
    assert.equal((await readLease(guarded.store))?.phase, "released");
    assert.deepEqual(app.live, { railway: good, vercel: good }, "what a person interrupts is left as it is");
    assert.ok(await gate(good, settingsOf(), guarded.store));
  });

  describe("by hand", () => {
    const byHand = (over: object = {}): Promise<ManualWatch> => {
      const signal = new AbortController().signal;
      return watchByHand({
        ...{ store: openStore(freshStore()), receiptRunId: undefined, minutes: 0.5 / 60, settings: settingsOf() },
        addresses: { appUrl: app.url, frontendUrl: undefined },
        configured: ["railway", "vercel"],
        ...{ clients: openPlatforms(app.env, signal), signal, onLine: (line: string) => void lines.push(line) },
        ...over,
      });
    };

    it("looks only: a deployment is followed, a spike is exit 1, and nothing goes back", async () => {
      const watching = byHand({ minutes: 2 / 60 });
      while (!lines.some((line) => /^vercel: deployment/.test(line))) await sleep(5);
      await app.deploy(good);
      const result = await watching;
      assert.equal(result.verdict, "pass", result.findings.join());
      assert.match(lines.join("\n"), /no receipt knows how it answered before/);
      assert.match(lines.join("\n"), /railway: \| deployment is DEPLOYING[\s\S]*vercel: \| Deployment completed/);
      app.broken.add(good);
      const failed = await byHand({ minutes: 0.5 / 60 });
      assert.equal(failed.verdict, "pass", "what failed before is no spike");
      assert.deepEqual(app.live, { railway: good, vercel: good });
    });

    it("a platform that cannot be asked is a line, and nothing to watch is a usage error", async () => {
      const clients = openPlatforms({ ...app.env, RAILWAY_TOKEN: "wrong" }, new AbortController().signal);
      const result = await byHand({ clients });
      assert.equal(result.verdict, "pass");
      assert.match(result.deployments[0]?.unseen ?? "", /RAILWAY_TOKEN/);
      assert.equal(lines.filter((line) => /^railway: not known/.test(line)).length, 1);
      await assert.rejects(byHand({ configured: [], addresses: {} }), UsageError);
    });

    it("Ctrl-C ends it with 130", async () => {
      const run = startCli(["deploy:watch", "--minutes", "10"], { ...app.env, BACKUP_STORE: freshStore() });
      while (!run.stderr().includes("railway: deployment")) await sleep(20);
      run.process.kill("SIGINT");
      assert.equal((await run.ended).code, 130);
    });
  });
});
