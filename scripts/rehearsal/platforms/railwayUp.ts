/**
 * What `railway up --ci` does, for a machine without Railway's CLI: asks the API for a deployment of DBPROTECT_RELEASE_VERSION,
 * follows it, exits 0 when it is live and 1 when it is not. Reads RAILWAY_API_URL, RAILWAY_TOKEN, RAILWAY_SERVICE_ID.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { messageOf } from "../../contract/failure";
import { required, pollMilliseconds } from "./standIn";

export const documents = {
  token: "query { projectToken { projectId environmentId } }",
  deploy: `mutation ($commitSha: String, $environmentId: String!, $serviceId: String!) {
    serviceInstanceDeployV2(commitSha: $commitSha, environmentId: $environmentId, serviceId: $serviceId)
  }`,
  status: "query ($id: String!) { deployment(id: $id) { status } }",
};

/** States that a deployment leaves by itself. */
const passing = new Set(["QUEUED", "WAITING", "INITIALIZING", "BUILDING", "DEPLOYING"]);

const answerSchema = z.object({
  data: z.unknown(),
  errors: z.array(z.object({ message: z.string() })).optional(),
});

async function ask<T extends z.ZodType>(query: string, variables: object, schema: T): Promise<z.output<T>> {
  const response = await fetch(required("RAILWAY_API_URL"), {
    method: "POST",
    headers: { "content-type": "application/json", "project-access-token": required("RAILWAY_TOKEN") },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = answerSchema.parse(await response.json());
  if (errors !== undefined) throw new Error(errors.map(({ message }) => message).join("; "));
  return schema.parse(data);
}

async function main(): Promise<void> {
  const { projectToken } = await ask(
    documents.token,
    {},
    z.object({ projectToken: z.object({ projectId: z.string(), environmentId: z.string() }) }),
  );
  const { serviceInstanceDeployV2: id } = await ask(
    documents.deploy,
    {
      commitSha: required("DBPROTECT_RELEASE_VERSION"),
      environmentId: projectToken.environmentId,
      serviceId: required("RAILWAY_SERVICE_ID"),
    },
    z.object({ serviceInstanceDeployV2: z.string() }),
  );
  console.log(`deployment ${id}`);
  const statusSchema = z.object({ deployment: z.object({ status: z.string() }) });
  for (let seen = ""; ; await sleep(pollMilliseconds)) {
    const { status } = (await ask(documents.status, { id }, statusSchema)).deployment;
    if (status !== seen) console.log(status);
    seen = status;
    if (passing.has(status)) continue;
    if (status !== "SUCCESS") throw new Error(`deployment ${id} ended as ${status}`);
    return;
  }
}

if (require.main === module) {
  main().catch((error: unknown) => {
    console.error(`railway: ${messageOf(error)}`);
    process.exitCode = 1;
  });
}
