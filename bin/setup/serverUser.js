/**
 * The user under which our embedded servers run. PostgreSQL refuses to run as root, so that in containers
 * its programs and data must be usable by somebody else. Plain JavaScript: setup needs it before any
 * dependency is installed.
 */
"use strict";

const { readFileSync, realpathSync, statSync } = require("node:fs");
const { dirname } = require("node:path");

/** @typedef {{ name: string, uid: number, gid: number }} ServerUser */

/**
 * `undefined` when we are not root: servers then run as ourselves. As root: `postgres`, else `nobody`.
 *
 * @returns {ServerUser | undefined}
 */
function serverUser() {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const wanted of ["postgres", "nobody"]) {
    const fields = accounts.map((line) => line.split(":")).find(([name]) => name === wanted);
    // macOS writes the uid of `nobody` as -2.
    if (fields) return { name: wanted, uid: Number(fields[2]) >>> 0, gid: Number(fields[3]) >>> 0 };
  }
  return { name: "65534", uid: 65534, gid: 65534 };
}

/**
 * Whether the server's user may enter `folder`: each folder above it must let that user pass. Always true
 * when we are not root (the programs then run as ourselves and say so if they cannot).
 *
 * @param {string} folder absolute path of an existing folder
 * @returns {boolean}
 */
function serverUserCanEnter(folder) {
  const user = serverUser();
  if (user === undefined) return true;
  for (let path = realpathSync(folder); ; path = dirname(path)) {
    const { mode, uid, gid } = statSync(path);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (path === dirname(path)) return true;
  }
}

module.exports = { serverUser, serverUserCanEnter };
