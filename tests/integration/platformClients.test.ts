/** The clients of Railway and Vercel against the fakes: what each failure of an API becomes, and what is asked again. */
import assert from "node:assert/strict";
import { type Refusal, Unavailable, UsageError } from "../../scripts/contract/failure";
import { Railway, railwayFromEnvironment, railwayPhase } from "../../scripts/platforms/railway";
import type { Pace } from "../../scripts/platforms/http";
import { PlatformRefusal } from "../../scripts/platforms/platformRefusal";
import { Vercel, vercelFromEnvironment, vercelPhase } from "../../scripts/platforms/vercel";
import type { Fault } from "../../scripts/rehearsal/platforms/faults";
import { startRailwayFake, type RailwayFake } from "../../scripts/rehearsal/platforms/railwayFake";
import { RequestLog } from "../../scripts/rehearsal/platforms/requestLog";
import { startVercelFake, type VercelFake } from "../../scripts/rehearsal/platforms/vercelFake";

const liveCommit = "1".repeat(40);
const pace: Pace = { attempt: 150, total: 600, firstPause: 10 };
const until = async (holds: () => Promise<boolean>): Promise<void> => {
  const deadline = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error("the fake never got there");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

interface Side {
  readonly fault: (fault: Fault, times?: number) => void;
  readonly read: () => Promise<unknown>;
  readonly change: () => Promise<unknown>;
  readonly requests: () => number;
}

describe("the clients of the platforms", () => {
  let railwayFake: RailwayFake;
  let vercelFake: VercelFake;
  let railway: Railway;
  let vercel: Vercel;
  let log: RequestLog;
  const railwayEnvironment = (changes: Record<string, string> = {}): Record<string, string> => ({
    RAILWAY_API_URL: railwayFake.url,
    RAILWAY_TOKEN: "project-token-1",
    RAILWAY_SERVICE_ID: railwayFake.serviceId,
    ...changes,
  });
  const vercelEnvironment = (changes: Record<string, string> = {}): Record<string, string> => ({
    VERCEL_API_URL: vercelFake.url,
    VERCEL_TOKEN: "vercel-token-1",
    VERCEL_ORG_ID: vercelFake.teamId,
    VERCEL_PROJECT_ID: vercelFake.projectId,
    ...changes,
  });
  const railwayOf = (env: Record<string, string>): Railway => new Railway(railwayFromEnvironment(env)!, { pace });
  const vercelOf = (env: Record<string, string>): Vercel => new Vercel(vercelFromEnvironment(env)!, { pace });

  beforeEach(async () => {
    log = new RequestLog();
    const common = { log, liveCommit, phaseMilliseconds: 20, goLive: async () => undefined };
    railwayFake = await startRailwayFake({
      ...common,
      projectToken: "project-token-1",
      accountToken: "account-token-1",
      variables: { NODE_ENV: "production" },
    });
    vercelFake = await startVercelFake({ ...common, token: "vercel-token-1" });
    railway = railwayOf(railwayEnvironment());
    vercel = vercelOf(vercelEnvironment());
  });
  afterEach(() => Promise.all([railwayFake.close(), vercelFake.close()]));

  it("Railway: reads what is live, deploys, rolls back to the image and the variables of then", async () => {
    const first = await railway.latest();
    assert.equal(railwayPhase(first?.status ?? ""), "live");
    railwayFake.variables["NODE_ENV"] = "changed";
    const id = await railway.deploy("2".repeat(40));
    await until(async () => (await railway.deployment(id)).status === "SUCCESS");
    assert.deepEqual(await railway.variables(), { NODE_ENV: "changed" });
    assert.equal((await railway.deployment(first!.id)).canRollback, true);
    await railway.rollback(first!.id);
    const latest = await railway.latest();
    assert.notEqual(latest?.id, id);
    assert.equal(latest?.meta?.imageDigest, first?.meta?.imageDigest);
    assert.deepEqual(await railway.variables(), { NODE_ENV: "production" });
    assert.match((await railway.logs(id)).at(-1)?.message ?? "", /is (SUCCESS|REMOVED)/);
    assert.deepEqual(
      (await railway.deployments()).map(({ meta }) => meta?.commitHash?.[0]),
      ["1", "2", "1"],
    );
  });

  it("Railway: an account's token needs project and environment, and reads the same", async () => {
    const { RAILWAY_TOKEN: _, ...env } = railwayEnvironment({ RAILWAY_API_TOKEN: "account-token-1" });
    assert.throws(() => railwayFromEnvironment(env), /RAILWAY_PROJECT_ID is not set/);
    const place = { RAILWAY_PROJECT_ID: railwayFake.projectId, RAILWAY_ENVIRONMENT_ID: railwayFake.environmentId };
    assert.deepEqual(await railwayOf({ ...env, ...place }).variables(), { NODE_ENV: "production" });
    assert.equal(railwayFromEnvironment({}), undefined);
    assert.throws(() => railwayFromEnvironment({ RAILWAY_TOKEN: "x" }), UsageError);
    assert.throws(() => railwayFromEnvironment(railwayEnvironment({ RAILWAY_API_URL: "ftp://x" })), /RAILWAY_API_URL/);
  });

  it("Vercel: reads production, rolls back, and tells of the request until it is done", async () => {
    const first = vercelFake.productionId();
    assert.deepEqual(await vercel.rollbackCandidates(), []);
    const body = {
      name: "crm-frontend",
      target: "production",
      files: [{ file: "index.html", data: "" }],
      gitMetadata: { commitSha: "2".repeat(40) },
    };
    await fetch(`${vercelFake.url}/v13/deployments`, {
      method: "POST",
      headers: { authorization: "Bearer vercel-token-1" },
      body: JSON.stringify(body),
    });
    await until(async () => (await vercel.project()).productionId !== first);
    assert.deepEqual(
      (await vercel.rollbackCandidates()).map(({ id }) => id),
      [first],
    );
    await vercel.rollback(first);
    await assert.rejects(vercel.rollback(first), (error: PlatformRefusal) => error.status === 409);
    await until(async () => (await vercel.project()).lastAliasRequest?.jobStatus === "succeeded");
    assert.equal((await vercel.project()).productionId, first);
    assert.equal(vercelPhase((await vercel.deployment(first)).readyState), "live");
    await assert.rejects(vercel.rollback(first), (error: PlatformRefusal) => error.status === 422);
    assert.throws(() => vercelFromEnvironment({ VERCEL_TOKEN: "x" }), /VERCEL_PROJECT_ID is not set/);
  });

  it("wrong tokens and ids name the variable to look at", async () => {
    const wrongRailway = railwayOf(railwayEnvironment({ RAILWAY_TOKEN: "somebody-elses" }));
    await assert.rejects(wrongRailway.latest(), (error: Refusal) =>
      /^RAILWAY_TOKEN: .*Not Authorized/.test(error.message),
    );
    const wrongVercel = vercelOf(vercelEnvironment({ VERCEL_TOKEN: "somebody-elses" }));
    await assert.rejects(wrongVercel.project(), (error: UsageError) => /^VERCEL_TOKEN: /.test(error.message));
    const wrongService = railwayOf(railwayEnvironment({ RAILWAY_SERVICE_ID: "no-service" }));
    await assert.rejects(wrongService.latest(), /^Refusal: RAILWAY_SERVICE_ID: .*not found/);
    await assert.rejects(
      vercelOf(vercelEnvironment({ VERCEL_PROJECT_ID: "nothing" })).project(),
      (error: PlatformRefusal) => error.status === 404 && /Project not found/.test(error.message),
    );
  });

  const sides: Readonly<Record<string, () => Side>> = {
    Railway: () => ({
      fault: (fault, times) => railwayFake.faults.plan(fault, times),
      read: () => railway.place(),
      change: () => railway.deploy("3".repeat(40)),
      requests: () => log.requests.length,
    }),
    Vercel: () => ({
      fault: (fault, times) => vercelFake.faults.plan(fault, times),
      read: () => vercel.project(),
      change: () => vercel.rollback("dpl_unknown"),
      requests: () => log.requests.length,
    }),
  };
  for (const [name, start] of Object.entries(sides)) {
    describe(name, () => {
      const passing: Readonly<Record<string, Fault>> = {
        "HTTP 500": { kind: "status", status: 500 },
        "HTTP 429 with Retry-After": { kind: "status", status: 429, headers: { "retry-after": "0" } },
        "a truncated answer": { kind: "truncated" },
        "no answer": { kind: "timeout" },
        "an answer later than the timeout": { kind: "slow", milliseconds: 400 },
      };
      for (const [fault, planned] of Object.entries(passing)) {
        it(`${fault}: a read is asked again, and gives up as unreachable when it stays so`, async () => {
          const side = start();
          side.fault(planned, 2);
          await side.read();
          const fresh = start();
          railway = railwayOf(railwayEnvironment());
          fresh.fault(planned, 1000);
          await assert.rejects(
            fresh.read(),
            (error: Unavailable) => error instanceof Unavailable && error.message.startsWith(`${name}: `),
          );
        });
      }

      it("HTTP 500: a change is not asked again, for it may have been made", async () => {
        if (name === "Railway") await railway.place();
        const side = start();
        const before = side.requests();
        side.fault({ kind: "lost answer" });
        await assert.rejects(side.change(), Unavailable);
        assert.equal(side.requests() - before, 1);
      });

      it("HTTP 429: also a change is asked again, for the platform says that nothing was done", async () => {
        if (name === "Railway") await railway.place();
        const side = start();
        side.fault({ kind: "status", status: 429 }, 2);
        const before = side.requests();
        await side.change().catch((error: unknown) => assert.ok(error instanceof PlatformRefusal));
        assert.equal(side.requests() - before, 1);
      });

      it("HTTP 429 asking for longer than there is: says so at once", async () => {
        const side = start();
        side.fault({ kind: "status", status: 429, headers: { "retry-after": "90" } });
        await assert.rejects(side.read(), /may be called again in 90 s/);
      });

      it("401 is the token's, 403 a right's, 404 and 409 are refusals", async () => {
        const side = start();
        const seen: string[] = [];
        for (const status of [401, 403, 404, 409]) {
          side.fault({ kind: "status", status });
          seen.push(
            await side.read().then(
              () => "passed",
              (error: Error) => `${status} ${error.name}${/_TOKEN/.test(error.message) ? " names the token" : ""}`,
            ),
          );
          railway = railwayOf(railwayEnvironment());
        }
        assert.deepEqual(seen, [
          "401 UsageError names the token",
          "403 PlatformRefusal names the token",
          "404 PlatformRefusal",
          "409 PlatformRefusal",
        ]);
      });
    });
  }

  it("an aborted run ends at once, with its own reason", async () => {
    const controller = new AbortController();
    const waiting = new Vercel(vercelFromEnvironment(vercelEnvironment())!, { signal: controller.signal });
    vercelFake.faults.plan({ kind: "timeout" });
    setTimeout(() => controller.abort(new Error("stopped")), 20);
    await assert.rejects(waiting.project(), /stopped/);
  });

  it("a status that nobody knew yet is no error", async () => {
    railwayFake.reportStatus("TELEPORTING");
    assert.equal((await railway.latest())?.status, "TELEPORTING");
    assert.equal(railwayPhase("TELEPORTING"), "unknown");
  });
});
