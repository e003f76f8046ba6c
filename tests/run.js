/**
 * All that must hold before a change is taken, cheapest first: lint, format, types, then the tests. The last
 * line is `N passed, N failed, N skipped`; each static check counts as one. Plain JavaScript, so that it can
 * continue under the project's Node.js.
 *
 * Usage: node tests/run.js [test files or globs]
 */
"use strict";

const { spawn } = require("node:child_process");
const { chmodSync, mkdtempSync, rmSync } = require("node:fs");
const { availableParallelism, tmpdir } = require("node:os");
const { join } = require("node:path");
const { continuesUnderProjectNode, projectFolder } = require("../bin/setup/projectNode.js");

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

const modules = join(projectFolder, "node_modules");

const checks = [
  { name: "lint", program: join(modules, "eslint", "bin", "eslint.js"), args: [".", "--max-warnings", "0"] },
  {
    name: "format",
    program: join(modules, "prettier", "bin", "prettier.cjs"),
    args: ["--check", "--log-level", "warn", "."],
  },
  { name: "types", program: join(modules, "typescript", "bin", "tsc"), args: ["--noEmit", "-p", "."] },
];

/**
 * @param {{ name: string, program: string, args: string[] }} check
 * @returns {Promise<boolean>} whether it passed; what it says is printed at its end, so that checks can overlap
 */
function passes({ name, program, args }) {
  const start = Date.now();
  const child = spawn(process.execPath, [program, ...args], { cwd: projectFolder, stdio: ["ignore", "pipe", "pipe"] });
  /** @type {Buffer[]} */
  const output = [];
  child.stdout.on("data", (chunk) => output.push(chunk));
  child.stderr.on("data", (chunk) => output.push(chunk));
  return new Promise((resolve) => {
    child.once("close", (code) => {
      process.stdout.write(Buffer.concat(output));
      console.log(`${name}: ${code === 0 ? "ok" : "FAILED"} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
      resolve(code === 0);
    });
  });
}

/** Half of what a test takes is waiting for other processes; more at once than cores would make deadlines tight. */
const lanes = Math.max(2, Math.min(4, availableParallelism()));

/**
 * @param {string[]} files
 * @returns {Promise<Counts>}
 */
function test(files) {
  const args = ["--parallel", "--jobs", String(lanes), "--reporter", join(__dirname, "countingReporter.js"), ...files];
  // What tests leave behind, thousands of small folders, goes with theirs. Short, for the sockets of servers lie below it.
  const folder = mkdtempSync(join(tmpdir(), "dbpt-"));
  chmodSync(folder, 0o1777); // like its parent: servers, and some tests, run as another user
  const mocha = spawn(process.execPath, [join(modules, "mocha", "bin", "mocha.js"), ...args], {
    cwd: projectFolder,
    env: { ...process.env, TMPDIR: folder },
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  });
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) process.on(signal, () => mocha.kill(signal));
  /** @type {Counts} */
  let counts = { passed: 0, failed: 0, skipped: 0 };
  mocha.on("message", (message) => (counts = /** @type {Counts} */ (message)));
  return new Promise((resolve) => {
    mocha.once("close", (code) => {
      // No count, or one without a failure, does not make a broken run a good one.
      const { passed, failed, skipped } = counts;
      removeFolder(folder);
      resolve({ passed, failed: code === 0 ? failed : Math.max(failed, 1), skipped });
    });
  });
}

/**
 * A server that outlives its test for a moment may still write there.
 *
 * @param {string} folder
 */
function removeFolder(folder) {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  } catch (error) {
    console.error(`${folder} is left: ${error}`);
  }
}

/** @param {string[]} files */
async function main(files) {
  const results = await Promise.all(checks.map(passes));
  const counts = { passed: results.filter(Boolean).length, failed: results.filter((ok) => !ok).length, skipped: 0 };
  if (counts.failed === 0) {
    const tested = await test(files.length > 0 ? files : ["tests/**/*.test.ts"]);
    counts.passed += tested.passed;
    counts.failed += tested.failed;
    counts.skipped += tested.skipped;
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

if (!continuesUnderProjectNode(__filename)) void main(process.argv.slice(2));
