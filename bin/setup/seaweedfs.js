/** Where the S3 server of the tests is: `weed` on PATH, else what setup fetched. Plain JavaScript for setup. */
"use strict";

const { existsSync } = require("node:fs");
const { delimiter, join } = require("node:path");
const { cacheFolder } = require("./cacheFolder.js");

/** The SeaweedFS that setup fetches. */
const seaweedfsVersion = "4.48";

/**
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string | undefined} absolute path of the program
 */
function findSeaweedfs(env = process.env) {
  const folders = [
    ...(env["PATH"] ?? "").split(delimiter),
    join(cacheFolder(env), `seaweedfs-${seaweedfsVersion}`, "bin"),
  ];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, "weed"))
    .find((path) => existsSync(path));
}

module.exports = { findSeaweedfs, seaweedfsVersion };
