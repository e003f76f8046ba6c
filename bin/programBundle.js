/**
 * The command line's TypeScript as one JavaScript file, made when a source changed and kept below node_modules:
 * every release step is a process of its own, and loading a thousand modules one by one takes most of a short
 * one's time. Plain JavaScript.
 */
"use strict";

const { createHash } = require("node:crypto");
const {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} = require("node:fs");
const { dirname, join, relative, sep } = require("node:path");
const { projectFolder } = require("./setup/projectNode.js");

const cacheFolder = join(projectFolder, "node_modules", ".cache", "dbprotect");
const entryPoint = join(projectFolder, "scripts", "cli.ts");

/** Hours after which the bundle of older sources is removed: a process that found it may not have loaded it yet. */
const keepHours = 1;

/** Packages that find files of their own beside them (wasm, native programs, protocol definitions). */
const unbundled = ["@pulumi/*", "libpg-query", "pg-native", "squawk-cli", "tsx"];

/**
 * The bundle of the sources as they are now; made first when there is none.
 *
 * @returns {Promise<string>} absolute path of a CommonJS file that runs the command line when it is loaded
 * @throws when a source doesn't compile, or the folder below node_modules cannot be written
 */
async function programBundle() {
  const name = `cli-${sourceDigest()}`;
  const bundle = join(cacheFolder, name, "cli.js");
  if (!existsSync(bundle)) await build(name);
  return bundle;
}

/** Names, sizes and times of all that goes in: reading every file would take longer than it saves. */
function sourceDigest() {
  const files = ["scripts", join("bin", "setup")].flatMap((folder) => filesBelow(join(projectFolder, folder)));
  const others = ["package.json", "package-lock.json"].map((path) => join(projectFolder, path));
  const lines = [...files, ...others, __filename].map((path) => {
    const { size, mtimeMs } = statSync(path);
    return `${path}\0${size}\0${mtimeMs}`;
  });
  return createHash("sha256").update(lines.sort().join("\n")).digest("hex").slice(0, 16);
}

/** @param {string} folder @returns {string[]} takes half the time of `recursive`. */
function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

/** @param {string} name */
async function build(name) {
  mkdirSync(cacheFolder, { recursive: true });
  const folder = mkdtempSync(join(cacheFolder, "building-"));
  try {
    await bundleProgram({ outfile: join(folder, "cli.js"), plugins: [ownPlaces((path) => JSON.stringify(path))] });
    chmodSync(folder, 0o755); // whoever may run the program may read it
    // A folder of that name is another process's build of the same sources.
    if (!existsSync(join(cacheFolder, name))) renameSync(folder, join(cacheFolder, name));
  } catch (error) {
    if (!existsSync(join(cacheFolder, name, "cli.js"))) throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  removeOld(name);
}

/**
 * The command line and the packages it needs, but for `unbundled`, in one CommonJS file with a source map beside it.
 *
 * @param {import("esbuild").BuildOptions & { outfile: string }} options what differs
 */
async function bundleProgram(options) {
  // Loaded only when something has to be built.
  const { build: bundleWithEsbuild } = require("esbuild");
  const { plugins = [], ...others } = options;
  return bundleWithEsbuild({
    entryPoints: [entryPoint],
    bundle: true,
    platform: "node",
    target: "node22",
    format: "cjs",
    external: unbundled,
    // Every command reads all of it first. Identifiers stay as they are.
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: "external",
    sourcesContent: false,
    logLevel: "silent",
    plugins: [oneLanguage, ...plugins],
    ...others,
  });
}

/**
 * Zod loads its messages in fifty languages, of which it uses English unless it is told to.
 *
 * @type {import("esbuild").Plugin}
 */
const oneLanguage = {
  name: "one language",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({ contents: "export {};" }));
  },
};

/**
 * A source finds the files beside it, also when it runs from the bundle.
 *
 * @param {(path: string) => string} expression JavaScript for an absolute path of a source or its folder
 * @returns {import("esbuild").Plugin}
 */
function ownPlaces(expression) {
  return {
    name: "own places",
    setup({ onLoad }) {
      onLoad({ filter: /\.[tj]s$/ }, ({ path }) => {
        const own = relative(projectFolder, path);
        if (!/^(scripts|bin)$/.test(own.split(sep)[0] ?? "")) return undefined;
        const places = `const __filename = ${expression(path)}, __dirname = ${expression(dirname(path))};`;
        // On the first line, so that the lines of a stack stay those of the source.
        return { contents: `${places}${readFileSync(path, "utf8")}`, loader: path.endsWith(".ts") ? "ts" : "js" };
      });
    },
  };
}

/** @param {string} current */
function removeOld(current) {
  for (const name of readdirSync(cacheFolder)) {
    const folder = join(cacheFolder, name);
    // What another process builds at the same moment is gone as soon as it has its name.
    const found = statSync(folder, { throwIfNoEntry: false });
    if (name === current || found === undefined || Date.now() - found.mtimeMs < keepHours * 3_600_000) continue;
    rmSync(folder, { recursive: true, force: true });
  }
}

module.exports = { bundleProgram, ownPlaces, programBundle };
