/**
 * What `vercel deploy --prod --yes` does, for a machine without Vercel's CLI: uploads the site with DBPROTECT_RELEASE_VERSION as
 * its git metadata, follows the deployment, prints its URL, exits 0 when it is ready and 1 when it is not. Reads
 * VERCEL_API_URL, VERCEL_TOKEN, VERCEL_ORG_ID, VERCEL_PROJECT_ID.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { messageOf } from "../../contract/failure";
import { required, pollMilliseconds } from "./standIn";

const deploymentSchema = z.object({ id: z.string(), url: z.string(), readyState: z.string() });
const errorSchema = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

const passing = new Set(["QUEUED", "INITIALIZING", "BUILDING"]);

async function ask(method: string, path: string, body?: object): Promise<z.output<typeof deploymentSchema>> {
  const url = new URL(path, required("VERCEL_API_URL"));
  url.searchParams.set("teamId", required("VERCEL_ORG_ID"));
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${required("VERCEL_TOKEN")}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer: unknown = await response.json();
  if (response.ok) return deploymentSchema.parse(answer);
  const { error } = errorSchema.parse(answer);
  throw new Error(`${response.status} ${error.code}: ${error.message}`);
}

async function main(): Promise<void> {
  let deployment = await ask("POST", "/v13/deployments", {
    name: "crm-frontend",
    project: required("VERCEL_PROJECT_ID"),
    target: "production",
    files: [{ file: "index.html", data: "<!doctype html><title>CRM</title>" }],
    gitMetadata: { commitSha: required("DBPROTECT_RELEASE_VERSION"), dirty: false },
  });
  console.log(`https://${deployment.url}`);
  while (passing.has(deployment.readyState)) {
    await sleep(pollMilliseconds);
    deployment = await ask("GET", `/v13/deployments/${deployment.id}`);
  }
  if (deployment.readyState !== "READY")
    throw new Error(`deployment ${deployment.id} ended as ${deployment.readyState}`);
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(`vercel: ${messageOf(error)}`);
    process.exitCode = 1;
  });
}
