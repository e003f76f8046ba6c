/** Gets cfn-lint and what it needs from PyPI into a folder of their own, each file by its hash. Plain JavaScript. */
"use strict";

const { join } = require("node:path");
const { cfnLintEntry, cfnLintVersion } = require("./cfnLint.js");
const { makeCacheEntry } = require("./cacheEntry.js");
const { run, SetupFailure } = require("./run.js");

/** Puts it where `findCfnLint()` looks. */
function fetchCfnLint() {
  makeCacheEntry(cfnLintEntry(), (folder) => {
    const target = join(folder, "packages");
    const installed = run("python3", [
      ...["-m", "pip", "install", "--target", target, "--require-hashes", "--only-binary=:all:"],
      ...["--disable-pip-version-check", "--root-user-action=ignore", "--quiet"],
      ...["--requirement", join(__dirname, "cfnLint.requirements.txt")],
    ]);
    if (!installed.ok)
      throw new SetupFailure(
        `cannot get cfn-lint ${cfnLintVersion} from PyPI: ${installed.reason}`,
        "install Python 3.10 or newer with pip, and run this again",
      );
    return target;
  });
}

module.exports = { fetchCfnLint };
