/**
 * What `vercel deploy --prod --yes` does, for a machine without Vercel's CLI: uploads the site with DBPROTECT_RELEASE_VERSION as
 * its git metadata, follows the deployment, prints its URL, exits 0 when it is ready and 1 when it is not. Reads
 * VERCEL_API_URL, VERCEL_TOKEN, VERCEL_ORG_ID, VERCEL_PROJECT_ID.
 */
"use strict";

const { ask, follow, required, runAs } = require("./standIn.js");

/**
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>} the answer's document
 */
async function request(path, body) {
  const url = new URL(path, required("VERCEL_API_URL"));
  url.searchParams.set("teamId", required("VERCEL_ORG_ID"));
  const { status, document } = await ask(url.href, { authorization: `Bearer ${required("VERCEL_TOKEN")}` }, body);
  if (status >= 400) throw new Error(`${path} answered ${status}: ${document.error?.message}`);
  return document;
}

runAs("vercel", async () => {
  const { id, url } = await request("/v13/deployments", {
    name: "crm-frontend",
    project: required("VERCEL_PROJECT_ID"),
    target: "production",
    files: [{ file: "index.html", data: "<!doctype html><title>CRM</title>" }],
    gitMetadata: { commitSha: required("DBPROTECT_RELEASE_VERSION"), dirty: false },
  });
  console.log(`https://${url}`);
  const read = async () => (await request(`/v13/deployments/${id}`)).readyState;
  await follow(id, read, { live: "READY", passing: ["QUEUED", "INITIALIZING", "BUILDING"] });
});
