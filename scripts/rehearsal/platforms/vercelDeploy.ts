/**
 * What `vercel deploy --prod --yes` does, for a machine without Vercel's CLI: uploads the site with DBPROTECT_RELEASE_VERSION as
 * its git metadata, follows the deployment, prints its URL, exits 0 when it is ready and 1 when it is not. Reads
 * VERCEL_API_URL, VERCEL_TOKEN, VERCEL_ORG_ID, VERCEL_PROJECT_ID.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { messageOf } from "../../contract/failure";
import { Vercel, vercelFromEnvironment, vercelPhase } from "../../platforms/vercel";
import { required, pollMilliseconds } from "./standIn";

const createdSchema = z.object({ id: z.string(), url: z.string(), readyState: z.string() });

async function main(): Promise<void> {
  required("VERCEL_TOKEN");
  const access = vercelFromEnvironment();
  if (access === undefined) return;
  const vercel = new Vercel(access);
  const body = {
    name: "crm-frontend",
    project: access.projectId,
    target: "production",
    files: [{ file: "index.html", data: "<!doctype html><title>CRM</title>" }],
    gitMetadata: { commitSha: required("DBPROTECT_RELEASE_VERSION"), dirty: false },
  };
  let deployment = await vercel.request("POST", "/v13/deployments", createdSchema, { body });
  console.log(`https://${deployment.url}`);
  while (vercelPhase(deployment.readyState) === "passing") {
    await sleep(pollMilliseconds);
    deployment = await vercel.deployment(deployment.id);
  }
  if (vercelPhase(deployment.readyState) !== "live")
    throw new Error(`deployment ${deployment.id} ended as ${deployment.readyState}`);
}

main().catch((error: unknown) => {
  console.error(`vercel: ${messageOf(error)}`);
  process.exitCode = 1;
});
