/**
 * The one search for PostgreSQL's programs, shared by setup and the operational program. A machine often
 * holds several majors, so the search picks by major and never takes the first it meets. Plain JavaScript:
 * setup needs it before any dependency is installed.
 */
"use strict";

const { execFileSync } = require("node:child_process");
const { existsSync, readdirSync, realpathSync } = require("node:fs");
const { basename, delimiter, dirname, join } = require("node:path");
const { cacheFolder } = require("./cacheFolder.js");
const { serverUserCanEnter } = require("./serverUser.js");

/** The major that setup provides and that servers run when nothing else is asked for. */
const preferredMajor = 17;

/** The programs that each kind of work needs, all from one folder so that their versions agree. */
const programsFor = {
  client: ["pg_dump", "pg_restore", "pg_dumpall", "psql"],
  server: ["postgres", "initdb", "pg_dump", "pg_restore", "pg_dumpall", "psql"],
};

/**
 * @typedef {object} PostgresPrograms
 * @property {string} binDir absolute folder that holds all the programs
 * @property {number} major e.g. 17
 * @property {string} version e.g. "17.10"
 */

/**
 * Every complete set on this machine, each folder once, in the order PG_BIN, PATH, the usual folders of
 * distributions and installers, our cache.
 *
 * @param {"client" | "server"} use
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {PostgresPrograms[]}
 */
function searchPostgres(use, env = process.env) {
  const folders = [env["PG_BIN"] ?? "", ...foldersOnPath(env["PATH"] ?? ""), ...usualFolders(), ...cachedFolders(env)];
  const found = new Map();
  for (const folder of folders) {
    if (folder === "" || found.has(folder)) continue;
    const programs = programsIn(folder, use);
    if (programs) found.set(folder, programs);
  }
  return [...found.values()];
}

/**
 * The complete set in exactly this folder.
 *
 * @param {string} folder
 * @param {"client" | "server"} use
 * @returns {PostgresPrograms | undefined} undefined if a program is missing or does not run
 */
function programsIn(folder, use) {
  if (!programsFor[use].every((name) => existsSync(join(folder, name)))) return undefined;
  const dump = join(folder, "pg_dump");
  // Debian's /usr/bin holds a wrapper that picks a version by the local clusters, not by what we ask for.
  if (basename(realpathSync(dump)) === "pg_wrapper") return undefined;
  if (use === "server" && !serverUserCanEnter(folder)) return undefined;
  let output;
  try {
    output = execFileSync(dump, ["--version"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 10_000,
    });
  } catch {
    return undefined;
  }
  // "pg_dump (PostgreSQL) 17.10", "… 15.18 (Debian 15.18-0+deb12u1)", "… 18beta1"
  const version = /\(PostgreSQL\) (\d+)(\S*)/.exec(output);
  return version ? { binDir: folder, major: Number(version[1]), version: `${version[1]}${version[2]}` } : undefined;
}

/**
 * The folders on PATH, and those that the programs in them are links to: often only some are linked.
 *
 * @param {string} path
 * @returns {string[]}
 */
function foldersOnPath(path) {
  return path.split(delimiter).flatMap((folder) => {
    const linked = ["pg_dump", "postgres"]
      .map((name) => join(folder, name))
      .filter((program) => folder !== "" && existsSync(program))
      .map((program) => dirname(realpathSync(program)));
    return linked.length === 0 ? [] : [folder, ...linked];
  });
}

/** @returns {string[]} Debian, Red Hat (PGDG), Alpine, Homebrew on both Macs, source installs, Postgres.app */
function usualFolders() {
  return [
    ...versionedFolders("/usr/lib/postgresql", /^\d+$/, "bin"),
    ...versionedFolders("/usr", /^pgsql-\d+$/, "bin"),
    ...versionedFolders("/usr/libexec", /^postgresql\d+$/, ""),
    ...versionedFolders("/opt/homebrew/opt", /^postgresql(@\d+)?$/, "bin"),
    ...versionedFolders("/usr/local/opt", /^postgresql(@\d+)?$/, "bin"),
    "/usr/local/pgsql/bin",
    ...versionedFolders("/Applications/Postgres.app/Contents/Versions", /^\d+$/, "bin"),
  ];
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {string[]} what setup put into the cache
 */
function cachedFolders(env) {
  return versionedFolders(cacheFolder(env), /^postgres-\d+(\.\d+)*$/, "bin");
}

/**
 * @param {string} parent
 * @param {RegExp} name
 * @param {string} below
 * @returns {string[]}
 */
function versionedFolders(parent, name, below) {
  try {
    return readdirSync(parent)
      .filter((entry) => name.test(entry))
      .map((entry) => join(parent, entry, below));
  } catch {
    return []; // not this kind of machine, or not ours to read
  }
}

module.exports = { preferredMajor, programsFor, programsIn, searchPostgres };
