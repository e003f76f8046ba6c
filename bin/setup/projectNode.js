/**
 * The Node.js that this project runs on. Where the system's is too old, setup fetches one through npm into
 * the cache; this file knows when that is needed, where it lies, and how to continue under it. Plain
 * JavaScript that an old Node.js can run.
 */
"use strict";

const { spawn } = require("node:child_process");
const { existsSync } = require("node:fs");
const { constants } = require("node:os");
const { delimiter, dirname, join } = require("node:path");
const { cacheFolder } = require("./cacheFolder.js");

/** The first release whose `require` loads ES modules without a flag; several of our packages are only that. */
const oldestNode = { major: 22, minor: 15 };

/** The release that setup fetches; its packages and their hashes are in fetchNode.js. */
const fetchedNodeVersion = "24.21.0";

const projectFolder = dirname(dirname(__dirname));

/** The link that puts the fetched Node.js first in the PATH of every npm script. */
const nodeLink = join(projectFolder, "node_modules", ".bin", "node");

/**
 * @param {string} [version] e.g. "20.20.2"; defaults to the running one
 * @returns {boolean}
 */
function isNodeNewEnough(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > oldestNode.major || (major === oldestNode.major && minor >= oldestNode.minor);
}

/** @returns {string} where the fetched Node.js is, or will be */
function fetchedNode() {
  return join(cacheFolder(), `node-${fetchedNodeVersion}`, "bin", "node");
}

/**
 * Continues `script` under the project's Node.js if the running one is too old: arguments, stdio, signals and
 * exit code pass through, and the process ends with the script.
 *
 * @param {string} script absolute path of the script that calls this
 * @returns {boolean} false if the running Node.js will do: go on here
 */
function continuesUnderProjectNode(script) {
  if (isNodeNewEnough()) return false;
  const node = [nodeLink, fetchedNode()].find((path) => existsSync(path));
  if (node === undefined) {
    const { major, minor } = oldestNode;
    console.error(`this needs Node.js ${major}.${minor} or newer, found ${process.versions.node}; run: npm run setup`);
    process.exit(2);
  }
  const env = { ...process.env, PATH: [dirname(node), process.env["PATH"]].join(delimiter) };
  const child = spawn(node, [...process.execArgv, script, ...process.argv.slice(2)], { stdio: "inherit", env });
  // From a terminal the child gets SIGINT twice: its own handler must not mind.
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.on(signal, () => child.kill(signal));
  }
  if (process.env["DBPROTECT_ENDS_WITH_PARENT"] === "yes") {
    // The script's parent is this process, which lives on when its own is killed.
    const parent = process.ppid;
    setInterval(() => process.ppid !== parent && child.kill("SIGTERM"), 500).unref();
  }
  child.once("error", (error) => {
    console.error(`${node}: ${error.message}; run: npm run setup`);
    process.exit(2);
  });
  child.once("exit", (code, signal) => process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  return true;
}

module.exports = {
  continuesUnderProjectNode,
  fetchedNode,
  fetchedNodeVersion,
  isNodeNewEnough,
  nodeLink,
  projectFolder,
};
