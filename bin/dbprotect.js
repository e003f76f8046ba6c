#!/usr/bin/env node
/**
 * The command line's entry: continues under the project's own Node.js where PATH's is too old, then runs the
 * program. Works from any folder. Plain JavaScript: nothing may be installed yet.
 */
"use strict";

const { enableCompileCache } = require("node:module");
const { join } = require("node:path");
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

if (!continuesUnderProjectNode(__filename)) {
  // Compiled code is kept between runs: every release step is a process of its own.
  enableCompileCache?.(join(projectFolder, "node_modules", ".cache", "node"));
  // Plain JavaScript that nearly every command needs, before the TypeScript loader: that need not look at it.
  for (const name of ["commander", "zod", "pg"]) require(name);
  require("tsx/cjs/api").register();
  require("../scripts/cli");
}
