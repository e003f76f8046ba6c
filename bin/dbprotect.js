#!/usr/bin/env node
/**
 * The command line's entry: continues under the project's own Node.js where PATH's is too old, then runs the
 * program. Works from any folder. Plain JavaScript: nothing may be installed yet.
 */
"use strict";

const { enableCompileCache } = require("node:module");
const { join } = require("node:path");
const { setFlagsFromString } = require("node:v8");
const { loadBundle } = require("./loadBundle.js");
const { programBundle } = require("./programBundle.js");
const { continuesUnderProjectNode, projectFolder } = require("./setup/projectNode.js");

if (!canResolve("tsx/cjs/api")) {
  console.error("dbprotect: its packages are not installed; run: npm run setup");
  process.exit(2);
}
/** @param {string} name @returns {boolean} also where a package manager put it above this project */
function canResolve(name) {
  try {
    return require.resolve(name) !== "";
  } catch {
    return false;
  }
}

async function main() {
  // V8 would compile PostgreSQL's parser again, optimised, after the first few statements (default 13000000): 0.5 to 1 s
  // of CPU, which not even a migration of 700 kB earns back.
  setFlagsFromString("--wasm-tiering-budget=2000000000");
  // Compiled code is kept between runs: every release step is a process of its own. This is for what is no bundle.
  enableCompileCache?.(join(projectFolder, "node_modules", ".cache", "node"));
  /** @type {string | undefined} */
  let bundle;
  try {
    bundle = await programBundle();
  } catch {
    // A package folder that cannot be written, or a source that does not compile: file by file works, or says where.
    require("tsx/cjs/api").register();
    require("../scripts/cli");
  }
  if (bundle !== undefined) loadBundle(bundle, commandAsked(process.argv.slice(2)));
}

/** The words before the first option, as part of a file's name. @param {string[]} words @returns {string} */
function commandAsked(words) {
  const option = words.findIndex((word) => word.startsWith("-"));
  const asked = words.includes("--help") ? [] : words.slice(0, option === -1 ? 2 : Math.min(option, 2));
  return (
    asked
      .join("-")
      .replace(/[^a-z]/g, "-")
      .slice(0, 40) || "help"
  );
}

if (!continuesUnderProjectNode(__filename)) void main();
