/**
 * Packs the command line for where no sources are: one file of JavaScript, the files that it finds beside itself, and
 * the few packages that cannot be bundled, of the lockfile's versions. What the container holds. Plain JavaScript.
 *
 * Usage: node bin/pack.js <folder>   (the folder must not exist yet)
 */
"use strict";

const { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } = require("node:fs");
const { builtinModules } = require("node:module");
const { dirname, join, relative, resolve, sep } = require("node:path");
const { bundleProgram, ownPlaces } = require("./programBundle.js");
const { projectFolder } = require("./setup/projectNode.js");

/** The rehearsal runs the sources themselves: packed, the command says so. @type {import("esbuild").Plugin} */
const withoutRehearsal = {
  name: "without rehearsal",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]scripts[\\/]commands[\\/]rehearse\.ts$/ }, ({ path }) => ({
      contents: 'export { configure } from "./notPacked";',
      loader: "ts",
      resolveDir: dirname(path),
    }));
  },
};

/**
 * @param {string} folder absolute
 * @returns {Promise<void>}
 */
async function pack(folder) {
  mkdirSync(folder, { recursive: true });
  const { metafile } = await bundleProgram({
    outfile: join(folder, "cli.js"),
    metafile: true,
    // Beside the file, wherever that will be.
    banner: { js: "#!/usr/bin/env node\nconst packedFolder = module.path;" },
    legalComments: "external",
    plugins: [
      withoutRehearsal,
      ownPlaces((path) => `packedFolder + ${JSON.stringify(`/${relative(projectFolder, path).split(sep).join("/")}`)}`),
    ],
  });
  chmodSync(join(folder, "cli.js"), 0o755);
  const packages = packagesOf(metafile);
  for (const name of packages) copyPackage(name, join(folder, "node_modules"));
  copyFilesBesideSources(folder);
  for (const part of ["checks", "LICENSE"]) cpSync(join(projectFolder, part), join(folder, part), { recursive: true });
  const { name, version, license, engines, dependencies } = readJson(join(projectFolder, "package.json"));
  const kept = Object.entries(dependencies).filter(([each]) => packages.includes(each));
  const manifest = { name, version, license, private: true, engines, bin: { dbprotect: "cli.js" } };
  writeFileSync(
    join(folder, "package.json"),
    `${JSON.stringify({ ...manifest, dependencies: Object.fromEntries(kept) }, null, 2)}\n`,
  );
}

/**
 * @param {import("esbuild").Metafile | undefined} metafile
 * @returns {string[]} those that the bundle asks for and that are installed: `pg` would also take one that is not
 */
function packagesOf(metafile) {
  const imports = Object.values(metafile?.outputs ?? {}).flatMap((output) => output.imports);
  const asked = imports.filter(({ external }) => external === true).map(({ path }) => path);
  const names = asked
    .filter((path) => !path.startsWith("node:") && !builtinModules.includes(path))
    .map((path) =>
      path
        .split("/")
        .slice(0, path.startsWith("@") ? 2 : 1)
        .join("/"),
    );
  return [...new Set(names)].filter((name) => existsSync(installed(name))).sort();
}

/** @param {string} name @returns {string} */
function installed(name) {
  return join(projectFolder, "node_modules", ...name.split("/"));
}

/**
 * With what it needs itself.
 *
 * @param {string} name
 * @param {string} target the folder of all packages
 */
function copyPackage(name, target) {
  const copy = join(target, ...name.split("/"));
  if (existsSync(copy)) return;
  cpSync(installed(name), copy, { recursive: true, dereference: true });
  const { dependencies = {}, optionalDependencies = {} } = readJson(join(installed(name), "package.json"));
  // Of those for one platform each, npm installed this one's.
  const optional = Object.keys(optionalDependencies).filter((each) => existsSync(installed(each)));
  for (const needed of [...Object.keys(dependencies), ...optional])
    if (!existsSync(join(copy, "node_modules", ...needed.split("/")))) copyPackage(needed, target);
}

/** Templates, SQL, the keeper of servers: all that is no TypeScript. @param {string} folder */
function copyFilesBesideSources(folder) {
  for (const file of readdirSync(join(projectFolder, "scripts"), { recursive: true, withFileTypes: true })) {
    const path = join(file.parentPath, file.name);
    const own = relative(projectFolder, path);
    if (!file.isFile() || file.name.endsWith(".ts") || own.startsWith(join("scripts", "rehearsal"))) continue;
    cpSync(path, join(folder, own), { recursive: true });
  }
}

/** @param {string} path @returns {any} */
function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

if (require.main === module) {
  const [folder, ...more] = process.argv.slice(2);
  if (folder === undefined || more.length > 0 || existsSync(folder)) {
    console.error("usage: node bin/pack.js <folder>, which must not exist yet");
    process.exitCode = 2;
  } else void pack(resolve(folder));
}

module.exports = { pack };
