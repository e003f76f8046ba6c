/**
 * Where setup keeps what it fetched for every clone on this machine: Node.js, PostgreSQL, SeaweedFS.
 * Plain JavaScript: setup needs it before any dependency is installed.
 */
"use strict";

const { homedir } = require("node:os");
const { join, resolve } = require("node:path");

/**
 * `DBPROTECT_CACHE`, else /var/cache/dbprotect for root (the server's user could not enter root's home) and for
 * whoever has no home, else `dbprotect` below `XDG_CACHE_HOME` or ~/.cache.
 *
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string} absolute path; the folder need not exist yet
 */
function cacheFolder(env = process.env) {
  if (env["DBPROTECT_CACHE"]) return resolve(env["DBPROTECT_CACHE"]);
  const shared = "/var/cache/dbprotect";
  if (process.getuid?.() === 0) return shared;
  const caches = env["XDG_CACHE_HOME"] || cachesOfHome();
  return caches === undefined ? shared : join(caches, "dbprotect");
}

/** @returns {string | undefined} nothing where HOME is not set and nobody knows the user: a container with a bare uid */
function cachesOfHome() {
  try {
    return join(homedir(), ".cache");
  } catch {
    return undefined;
  }
}

module.exports = { cacheFolder };
