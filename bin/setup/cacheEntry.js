/** Puts things into the cache whole or not at all, also with two setups at once or after a kill. Plain JavaScript. */
"use strict";

const { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } = require("node:fs");
const { dirname, join } = require("node:path");
const { cacheFolder } = require("./cacheFolder.js");
const { SetupFailure } = require("./run.js");

/** Milliseconds after which an unfinished folder belongs to a run that was killed. */
const abandonedAfter = 3600_000;

/**
 * Makes `<cache>/<name>`: `fill` works in an empty folder beside it and returns the folder below it that
 * becomes the entry. All of it is made readable for the server's user.
 *
 * @param {string} name
 * @param {(folder: string) => string} fill
 * @returns {string} the entry's absolute path
 */
function makeCacheEntry(name, fill) {
  const cache = cacheFolder();
  const entry = join(cache, name);
  const folder = workFolder(cache);
  try {
    const filled = fill(folder);
    openToAll(filled);
    try {
      renameSync(filled, entry);
    } catch (error) {
      // Another setup was faster, and its entry is as good.
      if (!existsSync(entry)) throw error;
    }
    return entry;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} cache
 * @returns {string}
 */
function workFolder(cache) {
  try {
    const missing = firstMissing(cache);
    mkdirSync(cache, { recursive: true });
    if (missing !== undefined) openFolders(missing, cache);
    for (const name of readdirSync(cache).filter((entry) => entry.startsWith(".partial-"))) {
      const path = join(cache, name);
      if (Date.now() - statSync(path).mtimeMs > abandonedAfter) rmSync(path, { recursive: true, force: true });
    }
    return mkdtempSync(join(cache, ".partial-"));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SetupFailure(
      `the cache folder ${cache} cannot be written: ${reason}`,
      "set DBPROTECT_CACHE to a folder that can",
    );
  }
}

/**
 * @param {string} path
 * @returns {string | undefined} the topmost folder of `path` that does not exist yet
 */
function firstMissing(path) {
  if (existsSync(path)) return undefined;
  return firstMissing(dirname(path)) ?? path;
}

/**
 * Folders that we made, from `top` down to `bottom`: a strict umask would keep the server's user out.
 *
 * @param {string} top
 * @param {string} bottom
 */
function openFolders(top, bottom) {
  for (let path = bottom; ; path = dirname(path)) {
    chmodSync(path, 0o755);
    if (path === top) return;
  }
}

/**
 * @param {number} mode of a file
 * @returns {number} readable for all, and a program for all if it is one for its owner
 */
function readable(mode) {
  return mode | 0o444 | (mode & 0o100 ? 0o111 : 0);
}

/** @param {string} path */
function openToAll(path) {
  chmodSync(path, statSync(path).mode | 0o555);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    if (entry.isDirectory()) openToAll(below);
    else if (entry.isFile()) chmodSync(below, readable(statSync(below).mode));
  }
}

module.exports = { makeCacheEntry };
