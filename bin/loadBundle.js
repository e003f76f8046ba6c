/**
 * Runs a bundle with the code that V8 compiled of it in an earlier run, kept beside it. Node.js's own compile cache
 * holds what is compiled before anything runs; most of a program's functions are compiled when they are first called.
 * Plain JavaScript.
 */
"use strict";

const { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { dirname, join } = require("node:path");
const { cachedDataVersionTag } = require("node:v8");
const { Script, constants } = require("node:vm");
const { crc32 } = require("node:zlib");

/** CRC-32 of what follows it. */
const checksumBytes = 4;

const prefix = "(function (exports, require, module, __filename, __dirname) { ";

/**
 * @param {string} bundle absolute path of a CommonJS file in ASCII, whose folder belongs to this very content
 * @param {string} use what of it runs, as a file may be called: each use keeps the functions that it calls
 */
function loadBundle(bundle, use) {
  const kept = join(dirname(bundle), `${use}-${cachedDataVersionTag().toString(16)}.code`);
  const cachedData = readKept(kept);
  const script = new Script(`${prefix}${readFileSync(bundle, "latin1")}\n})`, {
    filename: bundle,
    columnOffset: -prefix.length,
    ...(cachedData === undefined ? {} : { cachedData }),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  if (cachedData === undefined || script.cachedDataRejected === true) {
    process.on("exit", (code) => {
      // Who refused its arguments or was interrupted has called little of it.
      if (code === 0 || code === 1) keep(kept, script);
    });
  }
  const module = { exports: {} };
  const own = script.runInThisContext();
  own.call(module.exports, module.exports, createRequire(bundle), module, bundle, dirname(bundle));
}

/**
 * V8 looks at version, flags and length alone: what a failing disk or a power cut made of the rest, it would run.
 *
 * @param {string} path
 * @returns {Buffer | undefined}
 */
function readKept(path) {
  try {
    const file = readFileSync(path);
    const code = file.subarray(checksumBytes);
    return file.readUInt32LE(0) === crc32(code) ? code : undefined;
  } catch {
    return undefined; // none yet
  }
}

/**
 * Whole or not at all; without it the next run only takes longer.
 *
 * @param {string} path
 * @param {Script} script
 */
function keep(path, script) {
  let folder;
  try {
    folder = mkdtempSync(`${path}-`);
    const code = script.createCachedData();
    const checksum = Buffer.alloc(checksumBytes);
    checksum.writeUInt32LE(crc32(code));
    writeFileSync(join(folder, "code"), Buffer.concat([checksum, code]));
    renameSync(join(folder, "code"), path);
  } catch {
    // The folder cannot be written, or the bundle is of older sources and gone.
  }
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}

module.exports = { loadBundle };
