/** Installs the project's npm packages from the lockfile, only when something changed. Plain JavaScript. */
"use strict";

const { createHash } = require("node:crypto");
const { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { dirname, join } = require("node:path");
const { npm } = require("./npm.js");
const { nodeLink, projectFolder } = require("./projectNode.js");
const { run, SetupFailure } = require("./run.js");

const stampFile = join(projectFolder, "node_modules", ".dbprotect-stamp");

/** Milliseconds after which another setup's lock counts as left over. */
const lockAbandonedAfter = 30 * 60_000;

/**
 * What the installed packages depend on: the lockfile, the Node.js major and the platform.
 *
 * @param {string} nodeVersion
 * @returns {string}
 */
function stampFor(nodeVersion) {
  const lockfile = readFileSync(join(projectFolder, "package-lock.json"));
  const digest = createHash("sha256").update(lockfile).digest("hex");
  return `${digest} node ${nodeVersion.split(".")[0]} ${process.platform}-${process.arch}\n`;
}

/**
 * @param {string} nodeVersion
 * @returns {boolean}
 */
function packagesAreInstalled(nodeVersion) {
  return readIfThere(stampFile) === stampFor(nodeVersion);
}

/**
 * Install scripts never run: none of our packages needs its own, and some want the internet.
 *
 * @param {{ path: string, version: string }} node the Node.js that runs npm
 */
function installPackages(node) {
  rmSync(stampFile, { force: true });
  const installed = npm(node.path, ["ci", "--ignore-scripts"], projectFolder);
  if (!installed.ok) throw new SetupFailure(`npm ci failed: ${installed.reason}`, "npm ci --ignore-scripts");
  mkdirSync(dirname(stampFile), { recursive: true }); // npm makes none for a lockfile without packages
  writeFileSync(stampFile, stampFor(node.version));
}

/**
 * Makes `node` in node_modules/.bin a link, so that npm scripts find it first.
 *
 * @param {string} node absolute path of the fetched Node.js
 */
function linkNode(node) {
  if (run(nodeLink, ["-e", ""], { seconds: 20 }).ok) return;
  const link = `${nodeLink}.${process.pid}`;
  mkdirSync(dirname(nodeLink), { recursive: true });
  symlinkSync(node, link);
  renameSync(link, nodeLink); // in one step: a second setup may do the same
}

/**
 * Runs `work` while no other setup of this clone does: two `npm ci` at once would destroy each other's work.
 *
 * @template T
 * @param {(waited: boolean) => T} work `waited`: another setup was running and may have done it
 * @returns {T}
 */
function alone(work) {
  const clone = createHash("sha256").update(projectFolder).digest("hex").slice(0, 16);
  const lock = join(tmpdir(), `dbprotect-setup-${clone}-${process.getuid?.() ?? 0}.lock`);
  let waited = false;
  for (const since = Date.now(); ;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (!(error instanceof Error) || /** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
    }
    const owner = Number(readIfThere(lock));
    if (owner > 0 && !isAlive(owner)) {
      rmSync(lock, { force: true });
    } else if (Date.now() - since > lockAbandonedAfter) {
      throw new SetupFailure(
        `another setup of this clone is still running (process ${owner})`,
        `end it, or: rm ${lock}`,
      );
    } else {
      if (!waited) console.error(`setup: waiting for another setup of this clone (process ${owner})`);
      waited = true;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
  }
  try {
    return work(waited);
  } finally {
    rmSync(lock, { force: true });
  }
}

/**
 * @param {number} pid
 * @returns {boolean}
 */
function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * @param {string} path
 * @returns {string}
 */
function readIfThere(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

module.exports = { alone, installPackages, linkNode, packagesAreInstalled };
