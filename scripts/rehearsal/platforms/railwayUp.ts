/**
 * What `railway up --ci` does, for a machine without Railway's CLI: asks the API for a deployment of DBPROTECT_RELEASE_VERSION,
 * follows it, exits 0 when it is live and 1 when it is not. Reads RAILWAY_API_URL, RAILWAY_TOKEN, RAILWAY_SERVICE_ID.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../contract/failure";
import { Railway, railwayFromEnvironment, railwayPhase } from "../../platforms/railway";
import { required, pollMilliseconds } from "./standIn";

async function main(): Promise<void> {
  required("RAILWAY_TOKEN");
  const access = railwayFromEnvironment();
  if (access === undefined) return;
  const railway = new Railway(access);
  const id = await railway.deploy(required("DBPROTECT_RELEASE_VERSION"));
  console.log(`deployment ${id}`);
  for (let seen = ""; ; await sleep(pollMilliseconds)) {
    const { status } = await railway.deployment(id);
    if (status !== seen) console.log(status);
    seen = status;
    const phase = railwayPhase(status);
    if (phase === "live") return;
    if (phase !== "passing") throw new Error(`deployment ${id} ended as ${status}`);
  }
}

main().catch((error: unknown) => {
  console.error(`railway: ${messageOf(error)}`);
  process.exitCode = 1;
});
