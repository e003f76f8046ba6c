/**
 * Where setup keeps what it fetched for every clone on this machine: Node.js, PostgreSQL, SeaweedFS.
 * Plain JavaScript: setup needs it before any dependency is installed.
 */
"use strict";

const { homedir } = require("node:os");
const { join, resolve } = require("node:path");

/**
 * `DBPROTECT_CACHE`, else /var/cache/dbprotect for root (the server's user could not enter root's home),
 * else `dbprotect` below `XDG_CACHE_HOME` or ~/.cache.
 *
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string} absolute path; the folder need not exist yet
 */
function cacheFolder(env = process.env) {
  if (env["DBPROTECT_CACHE"]) return resolve(env["DBPROTECT_CACHE"]);
  if (process.getuid?.() === 0) return "/var/cache/dbprotect";
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "dbprotect");
}

module.exports = { cacheFolder };
