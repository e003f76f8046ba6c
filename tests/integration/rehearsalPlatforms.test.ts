/** The fakes of Railway and Vercel, driven by the stand-ins for their CLIs as the rehearsal drives them. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { startRailwayFake, type RailwayFake } from "../../scripts/rehearsal/platforms/railwayFake";
import { RequestLog } from "../../scripts/rehearsal/platforms/requestLog";
import { startVercelFake, type VercelFake } from "../../scripts/rehearsal/platforms/vercelFake";

const liveCommit = "1".repeat(40);
const nextCommit = "2".repeat(40);

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(program: string, env: Record<string, string>): Promise<Ended> {
  const file = join(__dirname, "../../scripts/rehearsal/platforms", program);
  const options = { env: { PATH: process.env["PATH"], DBPROTECT_RELEASE_VERSION: nextCommit, ...env } };
  return promisify(execFile)(process.execPath, [file], options).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
}

async function post(
  url: string,
  headers: Record<string, string>,
  query: string,
): Promise<{ status: number; body: any }> {
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query }) });
  return { status: response.status, body: await response.json() };
}

describe("the fake of Railway", () => {
  let fake: RailwayFake;
  let log: RequestLog;
  let live: string[];
  const railwayUp = (token = "project-token"): Promise<Ended> =>
    run("railwayUp.js", { RAILWAY_API_URL: fake.url, RAILWAY_TOKEN: token, RAILWAY_SERVICE_ID: fake.serviceId });
  const deployments = async (): Promise<string[]> => {
    const query = `{ deployments(first: 9, input: {serviceId: "${fake.serviceId}"}) { edges { node { status meta } } } }`;
    const { body } = await post(fake.url, { authorization: "Bearer account-token" }, query);
    return body.data.deployments.edges.map(({ node }: any) => `${node.meta.commitHash[0]} ${node.status}`);
  };

  beforeEach(async () => {
    log = new RequestLog();
    live = [];
    fake = await startRailwayFake({
      projectToken: "project-token",
      accountToken: "account-token",
      log,
      liveCommit,
      variables: { NODE_ENV: "production" },
      phaseMilliseconds: 10,
      goLive: async (commit) => {
        if (live.length > 0) throw new Error("does not start");
        live.push(commit);
      },
    });
  });
  afterEach(() => fake.close());

  it("deploys the commit and takes the older deployment down", async () => {
    assert.deepEqual(await deployments(), ["1 SUCCESS"]);
    const ended = await railwayUp();
    assert.equal(ended.code, 0, ended.stderr);
    assert.deepEqual(live, [nextCommit]);
    assert.deepEqual(await deployments(), ["2 SUCCESS", "1 REMOVED"]);
    assert.deepEqual(
      log.deploysSince(0).map(({ call, answer }) => [call, answer]),
      [["serviceInstanceDeployV2", 200]],
    );
  });

  it("fails a build when it was told to, once, and leaves the live deployment alone", async () => {
    fake.failNextBuild();
    const ended = await railwayUp();
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /ended as FAILED/);
    assert.deepEqual(live, []);
    assert.deepEqual(await deployments(), ["2 FAILED", "1 SUCCESS"]);
    assert.equal((await railwayUp()).code, 0);
  });

  it("reports a version that does not start as CRASHED", async () => {
    live.push("something that is live");
    assert.match((await railwayUp()).stderr, /ended as CRASHED/);
  });

  it("refuses a wrong token with an error inside a 200, and logs the attempt", async () => {
    const ended = await railwayUp("somebody-else");
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /Not Authorized/);
    assert.equal(log.requests.at(-1)?.answer, "refused");
    const both = { authorization: "Bearer account-token", "project-access-token": "project-token" };
    const { status, body } = await post(fake.url, both, "{ projectToken { projectId } }");
    assert.deepEqual({ status, data: body.data }, { status: 200, data: null });
  });

  it("answers 400 to what the published schema does not know", async () => {
    const selection = 'mutation { serviceInstanceDeployV2(environmentId: "e", serviceId: "s") { id } }';
    assert.equal((await post(fake.url, { authorization: "Bearer account-token" }, selection)).status, 400);
    assert.equal((await post(fake.url, { authorization: "Bearer account-token" }, "{ rollback }")).status, 400);
    assert.equal((await post(fake.url, { authorization: "Bearer account-token" }, "{")).status, 400);
  });

  it("serves the service's variables to who knows its project", async () => {
    const ask = (project: string): string =>
      `{ variables(projectId: "${project}", environmentId: "${fake.environmentId}") }`;
    const headers = { "project-access-token": "project-token" };
    assert.deepEqual((await post(fake.url, headers, ask(fake.projectId))).body.data.variables, {
      NODE_ENV: "production",
    });
    assert.match((await post(fake.url, headers, ask("another"))).body.errors[0].message, /Project not found/);
  });
});

describe("the fake of Vercel", () => {
  let fake: VercelFake;
  let log: RequestLog;
  let live: string[];
  const vercelDeploy = (token = "vercel-token"): Promise<Ended> =>
    run("vercelDeploy.js", {
      VERCEL_API_URL: fake.url,
      VERCEL_TOKEN: token,
      VERCEL_ORG_ID: fake.teamId,
      VERCEL_PROJECT_ID: fake.projectId,
    });
  const ask = async (path: string, init: RequestInit = {}): Promise<{ status: number; body: any }> => {
    const headers = { authorization: "Bearer vercel-token" };
    const response = await fetch(`${fake.url}${path}`, { headers, ...init });
    return { status: response.status, body: await response.json() };
  };

  beforeEach(async () => {
    log = new RequestLog();
    live = [];
    const goLive = async (commit: string): Promise<void> => void live.push(commit);
    fake = await startVercelFake({ token: "vercel-token", log, liveCommit, phaseMilliseconds: 10, goLive });
  });
  afterEach(() => fake.close());

  it("deploys to production and lists what can be rolled back to", async () => {
    const ended = await vercelDeploy();
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stdout, /^https:\/\/crm-frontend-\S+\.vercel\.app\n$/);
    assert.deepEqual(live, [nextCommit]);
    const path = `/v7/deployments?projectId=${fake.projectId}&target=production&rollbackCandidate=true`;
    const { body } = await ask(path);
    assert.deepEqual(
      body.deployments.map((deployment: any) => deployment.meta.gitCommitSha),
      [liveCommit],
    );
    assert.deepEqual(
      log.deploysSince(0).map(({ call, answer }) => [call, answer]),
      [["POST /v13/deployments", 200]],
    );
  });

  it("fails a build when it was told to", async () => {
    fake.failNextBuild();
    const ended = await vercelDeploy();
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /ended as ERROR/);
    assert.deepEqual(live, []);
  });

  it("refuses a wrong token, a missing one, another team's project and an unknown field", async () => {
    assert.match((await vercelDeploy("somebody-else")).stderr, /deployments answered 403/);
    assert.equal((await ask("/v13/deployments/x", { headers: {} })).status, 401);
    assert.equal((await ask("/v7/deployments?teamId=team_other")).status, 403);
    assert.equal((await ask("/v13/deployments/dpl_unknown")).body.error.code, "not_found");
    const body = JSON.stringify({ name: "crm-frontend", file: [] });
    assert.equal((await ask("/v13/deployments", { method: "POST", body })).body.error.code, "bad_request");
    assert.deepEqual(live, []);
  });
});
