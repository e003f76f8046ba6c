#!/usr/bin/env node
/**
 * The command line's entry: continues under the project's own Node.js where PATH's is too old, then runs the
 * program. Works from any folder. Plain JavaScript: nothing may be installed yet.
 */
"use strict";

const { existsSync } = require("node:fs");
const { enableCompileCache } = require("node:module");
const { join } = require("node:path");
const { continuesUnderProjectNode, projectFolder } = require("./setup/projectNode.js");

if (!existsSync(join(projectFolder, "node_modules", "tsx"))) {
  console.error("dbprotect: its packages are not installed; run: npm run setup");
  process.exit(2);
}
if (!continuesUnderProjectNode(__filename)) {
  // Compiled code is kept between runs: every release step is a process of its own.
  enableCompileCache?.(join(projectFolder, "node_modules", ".cache", "node"));
  require("tsx/cjs/api").register();
  require("../scripts/cli");
}
