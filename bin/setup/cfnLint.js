/** Where cfn-lint is, which judges what the components register: what setup fetched. Plain JavaScript for setup. */
"use strict";

const { existsSync } = require("node:fs");
const { join } = require("node:path");
const { cacheFolder } = require("./cacheFolder.js");
const { run } = require("./run.js");

/** The cfn-lint that setup fetches; cfnLint.requirements.txt has it and what it needs, with their hashes. */
const cfnLintVersion = "1.58.0";

/** @returns {string} `3.11`: some of its packages are compiled for one version; empty without Python */
function pythonVersion() {
  const asked = run("python3", ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"], { seconds: 20 });
  return asked.output.trim();
}

/** @returns {string} name of its folder in the cache */
function cfnLintEntry() {
  return `cfn-lint-${cfnLintVersion}-python-${pythonVersion()}`;
}

/** @returns {string | undefined} absolute path of the folder that is to be in PYTHONPATH for `cfnlint.runner` */
function findCfnLint() {
  const folder = join(cacheFolder(), cfnLintEntry());
  return existsSync(folder) ? folder : undefined;
}

module.exports = { cfnLintEntry, cfnLintVersion, findCfnLint };
