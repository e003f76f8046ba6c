/**
 * What the stand-ins for the platforms' CLIs share. Plain JavaScript on built-ins only: a rehearsal starts them again and
 * again, and a TypeScript loader would take ten times as long as what they do.
 */
"use strict";

const { setTimeout: sleep } = require("node:timers/promises");

/** How often they look at a deployment; the CLIs do it every second or two, our fakes are faster. */
const pollMilliseconds = 40;

/** @param {string} name @returns {string} */
function required(name) {
  const value = process.env[name];
  if (value === undefined || value === "") throw new Error(`${name}: found nothing: expected a value`);
  return value;
}

/**
 * One request, with JSON both ways.
 *
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {object} [body] sent by POST; without one the request is a GET
 * @returns {Promise<{ status: number, document: any }>} the document is the platform's, as its API describes it
 */
async function ask(url, headers, body) {
  const type = { "content-type": "application/json" };
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(url, { ...init, headers: { ...headers, ...type } });
  return { status: answer.status, document: await answer.json() };
}

/**
 * Looks at a deployment until its state says how it ended.
 *
 * @param {string} id
 * @param {() => Promise<string>} read
 * @param {{ readonly live: string, readonly passing: readonly string[] }} states
 * @param {(state: string) => void} [onState] gets each state once
 * @throws Error when it did not become live
 */
async function follow(id, read, { live, passing }, onState = () => undefined) {
  for (let seen = ""; ; await sleep(pollMilliseconds)) {
    const state = await read();
    if (state !== seen) onState(state);
    seen = state;
    if (state === live) return;
    if (!passing.includes(state)) throw new Error(`deployment ${id} ended as ${state}`);
  }
}

/**
 * Exit 0 when the work succeeds, 1 with one line on stderr when it does not.
 *
 * @param {string} name
 * @param {() => Promise<void>} work
 */
function runAs(name, work) {
  work().catch((error) => {
    console.error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  });
}

module.exports = { ask, follow, required, runAs };
