/** An application on the fakes of Railway and Vercel: what they deploy answers here, well or badly. */
import { z } from "zod";
import { Railway, railwayFromEnvironment } from "../../scripts/platforms/railway";
import { Vercel, vercelFromEnvironment } from "../../scripts/platforms/vercel";
import { serveLoopback } from "../../scripts/rehearsal/loopbackServer";
import { startRailwayFake, type RailwayFake } from "../../scripts/rehearsal/platforms/railwayFake";
import { RequestLog } from "../../scripts/rehearsal/platforms/requestLog";
import { startVercelFake, type VercelFake } from "../../scripts/rehearsal/platforms/vercelFake";

export interface Application {
  readonly url: string;
  readonly railway: RailwayFake;
  readonly vercel: VercelFake;
  readonly log: RequestLog;
  /** For commands, and for `openPlatforms`. */
  readonly env: Record<string, string>;
  /** The commits that answer now. */
  readonly live: { railway: string; vercel: string };
  /** Commits whose code answers 500. */
  readonly broken: Set<string>;
  /** Deploys to both platforms and waits until it is live; or to one. */
  deploy(commit: string, only?: "railway" | "vercel"): Promise<void>;
  close(): Promise<void>;
}

export const firstCommit = "1".repeat(40);

/**
 * @param phaseMilliseconds that a deployment spends in each of its states; default 15.
 * @param serve what a request to the API waits for; one that rejects is answered 500.
 * @param start what a deployment on Railway does before it answers; one that rejects crashes.
 */
export async function startApplication(
  phaseMilliseconds: number | { readonly railway: number; readonly vercel: number } = 15,
  serve: (commit: string) => Promise<unknown> = async () => undefined,
  start: (commit: string) => Promise<unknown> = async () => undefined,
): Promise<Application> {
  const phases =
    typeof phaseMilliseconds === "number"
      ? { railway: phaseMilliseconds, vercel: phaseMilliseconds }
      : phaseMilliseconds;
  const log = new RequestLog();
  const live = { railway: firstCommit, vercel: firstCommit };
  const broken = new Set<string>();
  const server = await serveLoopback(async ({ url, headers }) => {
    const api = url.pathname.startsWith("/api/");
    // Vercel's firewall stands before the frontend only.
    const judged = api ? undefined : vercel.firewall.judge(headers);
    if (judged !== undefined) return { ...judged, body: "" };
    const commit = api ? live.railway : live.vercel;
    if (api) await serve(commit);
    return { status: broken.has(commit) ? 500 : 200, body: { commit } };
  });
  const common = { log, liveCommit: firstCommit };
  const railway = await startRailwayFake({
    ...common,
    phaseMilliseconds: phases.railway,
    projectToken: "railway-project-token",
    accountToken: "railway-account-token",
    variables: { NODE_ENV: "production" },
    goLive: async (commit) => {
      await start(commit);
      live.railway = commit;
    },
  });
  const vercel = await startVercelFake({
    ...common,
    phaseMilliseconds: phases.vercel,
    token: "vercel-api-token",
    goLive: async (commit) => void (live.vercel = commit),
  });
  const env = {
    RAILWAY_API_URL: railway.url,
    RAILWAY_TOKEN: "railway-project-token",
    RAILWAY_SERVICE_ID: railway.serviceId,
    VERCEL_API_URL: vercel.url,
    VERCEL_TOKEN: "vercel-api-token",
    VERCEL_ORG_ID: vercel.teamId,
    VERCEL_PROJECT_ID: vercel.projectId,
    APP_URL: server.url,
    FRONTEND_URL: server.url,
  };
  const until = async (holds: () => Promise<boolean>): Promise<void> => {
    const deadline = performance.now() + 10_000;
    while (!(await holds())) {
      if (performance.now() > deadline) throw new Error("the fake never got there");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  return {
    ...{ url: server.url, railway, vercel, log, env, live, broken },
    deploy: async (commit, only) => {
      if (only !== "vercel") {
        const client = new Railway(railwayFromEnvironment(env)!);
        const id = await client.deploy(commit);
        await until(async () => (await client.deployment(id)).status === "SUCCESS");
      }
      if (only === "railway") return;
      const client = new Vercel(vercelFromEnvironment(env)!);
      const before = vercel.productionId();
      await client.request("POST", "/v13/deployments", z.unknown(), {
        body: {
          name: "crm-frontend",
          target: "production",
          files: [{ file: "index.html", data: "" }],
          gitMetadata: { commitSha: commit },
        },
      });
      await until(async () => vercel.productionId() !== before);
    },
    close: async () => {
      await Promise.all([server.close(), railway.close(), vercel.close()]);
    },
  };
}
