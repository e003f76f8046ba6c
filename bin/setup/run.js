/** Runs the programs that setup needs, and tells a failure in one line. Plain JavaScript. */
"use strict";

const { spawnSync } = require("node:child_process");

/** What setup cannot get: printed in one line with what to do about it; exit code 2. */
class SetupFailure extends Error {
  /**
   * @param {string} message
   * @param {string} hint the command that gets it
   */
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {import("node:child_process").SpawnSyncOptions & { seconds?: number }} [options]
 * @returns {{ ok: boolean, output: string, reason: string }} `reason` is the last line that says something,
 *   empty if it went well
 */
function run(program, args, { seconds = 600, ...options } = {}) {
  const result = spawnSync(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: seconds * 1000,
    killSignal: "SIGKILL",
    maxBuffer: 64 * 1024 * 1024,
    ...options,
  });
  const output = String(result.stdout ?? "");
  if (result.status === 0) return { ok: true, output, reason: "" };
  if (result.error) {
    const code = /** @type {NodeJS.ErrnoException} */ (result.error).code;
    const reason = code === "ETIMEDOUT" ? `no answer within ${seconds} s` : `${program}: ${result.error.message}`;
    return { ok: false, output, reason };
  }
  const lines = `${output}\n${String(result.stderr ?? "")}`.split("\n").map((line) => line.trim());
  const said = lines.filter((line) => line !== "" && !/^(npm )?(warn|notice)|A complete log of this run/i.test(line));
  const telling = said.findLast?.((line) => /error/i.test(line)) ?? said[said.length - 1];
  return { ok: false, output, reason: telling ?? `${program} ended with ${result.signal ?? result.status}` };
}

module.exports = { run, SetupFailure };
