/**
 * What `railway up --ci` does, for a machine without Railway's CLI: asks the API for a deployment of DBPROTECT_RELEASE_VERSION,
 * follows it, exits 0 when it is live and 1 when it is not. Reads RAILWAY_API_URL, RAILWAY_TOKEN, RAILWAY_SERVICE_ID.
 */
"use strict";

const { ask, follow, required, runAs } = require("./standIn.js");

/**
 * @param {string} query
 * @param {Record<string, string>} [variables]
 * @returns {Promise<any>} the answer's `data`
 */
async function request(query, variables = {}) {
  const token = { "project-access-token": required("RAILWAY_TOKEN") };
  const { status, document } = await ask(required("RAILWAY_API_URL"), token, { query, variables });
  // Errors come inside a 200, too.
  const errors = /** @type {{ message: string }[]} */ (document.errors ?? []);
  if (errors.length > 0) throw new Error(errors.map(({ message }) => message).join("; "));
  if (status !== 200) throw new Error(`answered ${status}`);
  return document.data;
}

runAs("railway", async () => {
  const { projectToken } = await request("query { projectToken { environmentId } }");
  const { serviceInstanceDeployV2: id } = await request(
    `mutation ($commitSha: String, $environmentId: String!, $serviceId: String!) {
      serviceInstanceDeployV2(commitSha: $commitSha, environmentId: $environmentId, serviceId: $serviceId)
    }`,
    {
      commitSha: required("DBPROTECT_RELEASE_VERSION"),
      environmentId: projectToken.environmentId,
      serviceId: required("RAILWAY_SERVICE_ID"),
    },
  );
  console.log(`deployment ${id}`);
  const read = async () =>
    (await request("query ($id: String!) { deployment(id: $id) { status } }", { id })).deployment.status;
  const passing = ["QUEUED", "WAITING", "INITIALIZING", "BUILDING", "DEPLOYING"];
  await follow(id, read, { live: "SUCCESS", passing }, (state) => console.log(state));
});
