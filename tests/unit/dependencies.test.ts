/** Packages are pinned, run nothing when they are installed, and are under licences that somebody looked at. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { lockedPackages } from "../../docs/generate/dependencies";
import { dependencies, devDependencies } from "../../package.json";

const root = resolve(__dirname, "../..");

/** Each is explained in docs/dependencies.md. */
const withInstallScript = ["@pulumi/command", "@pulumi/docker-build", "esbuild", "protobufjs"];

const permissive = ["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BlueOak-1.0.0", "ISC", "MIT"];

/** What is not plainly permissive, package by package. */
const lookedAt: Readonly<Record<string, string>> = {
  "(Apache-2.0 OR MIT)": "either will do",
  "(BSD-3-Clause AND Apache-2.0)": "google-protobuf: both are permissive",
  "CC-BY-3.0": "spdx-exceptions: names of licences",
  "CC0-1.0": "spdx-license-ids: public domain",
  "MPL-2.0": "axe-core, in tests: used as it is",
  "PSF-2.0": "argparse, of mocha: permissive",
  "Python-2.0": "argparse: permissive",
  "SEE LICENSE IN LICENSE": "@logdna/tail-file, of Pulumi's automation API: MIT",
};

describe("dependencies", function () {
  this.timeout(120_000);

  it("are named by exact versions, and locked at these", () => {
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      assert.match(version, /^\d+\.\d+\.\d+$/, name);
      assert.equal(lockedPackages.get(`node_modules/${name}`)?.version, version, name);
    }
  });

  it("are told by their SHA-512 and come from no named host", () => {
    for (const [folder, { integrity, resolved }] of lockedPackages) {
      assert.match(integrity ?? "", /^sha512-/, folder);
      assert.equal(resolved, undefined, folder);
    }
  });

  it("have an install script only where somebody looked at it", () => {
    const found = [...lockedPackages].filter(([, { hasInstallScript }]) => hasInstallScript === true);
    assert.deepEqual(
      found.map(([folder]) => folder.replace(/^.*node_modules\//, "")),
      withInstallScript,
    );
    const page = readFileSync(resolve(root, "docs/dependencies.md"), "utf8");
    for (const name of withInstallScript) assert.ok(page.includes(`| \`${name}\``), name);
    assert.match(readFileSync(resolve(root, ".npmrc"), "utf8"), /^ignore-scripts=true$/m);
  });

  it("are under licences that somebody looked at", () => {
    for (const [folder, { license }] of lockedPackages)
      assert.ok(
        license !== undefined && (permissive.includes(license) || license in lookedAt),
        `${folder}: ${license}`,
      );
  });

  it("are all in the bill of materials", () => {
    const { stdout, status } = spawnSync("npm", ["run", "-s", "sbom"], { cwd: root, encoding: "utf8" });
    assert.equal(status, 0);
    const bom = JSON.parse(stdout) as { bomFormat: string; components: { purl: string }[] };
    assert.equal(bom.bomFormat, "CycloneDX");
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
      assert.ok(
        bom.components.some((component) => component.purl === purl),
        purl,
      );
    }
  });
});
