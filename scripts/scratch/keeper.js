/**
 * Keeps one server: a small detached process that starts it, and stops it and removes its folder when the
 * server's time is over. The time is over when our parent is gone (its end of our stdin closes, also after
 * kill -9), at the deadline, at SIGTERM, or when the server ends by itself. Plain JavaScript on built-ins
 * only, so that it starts in about 30 ms and costs little memory while it waits.
 *
 * Usage: node keeper.js <KeeperOrder as JSON>. What the programs print goes where our own output goes.
 */
"use strict";

const { spawn } = require("node:child_process");
const { rmSync } = require("node:fs");

/**
 * @typedef {object} KeeperOrder
 * @property {string} folder working folder of the programs; removed with all it holds at the end
 * @property {{ program: string, args: string[] }[]} run one after the other; the last is the server
 * @property {{ uid: number, gid: number } | null} user whom the programs run as; null: as ourselves
 * @property {Record<string, string>} env the programs' whole environment
 * @property {{ kind: "parent" } | { kind: "deadline", at: string }} lifetime `at` is an ISO date-time
 * @property {{ signal: NodeJS.Signals, seconds: number }[]} stop signals, each with the time it gets; then SIGKILL
 */

/** Longest single sleep, in milliseconds: a timer pauses while the machine sleeps, the clock does not. */
const longestNap = 30_000;

/** @param {KeeperOrder} order */
function keep(order) {
  /** @type {import("node:child_process").ChildProcess | undefined} */
  let child;
  let ending = false;

  const finish = () => {
    rmSync(order.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    process.exit(0);
  };

  const end = () => {
    if (ending) return;
    ending = true;
    if (child?.pid === undefined) return finish();
    let wait = 0;
    for (const { signal, seconds } of [...order.stop, { signal: /** @type {const} */ ("SIGKILL"), seconds: 0 }]) {
      setTimeout(() => child?.kill(signal), wait);
      wait += seconds * 1000;
    }
  };

  /** @param {number} index */
  const run = (index) => {
    const step = order.run[index];
    if (step === undefined) return finish(); // the server ended by itself
    child = spawn(step.program, step.args, {
      cwd: order.folder,
      env: order.env,
      stdio: ["ignore", "inherit", "inherit"],
      ...(order.user ?? {}),
    });
    child.once("error", (error) => {
      console.error(`${step.program}: ${error.message}`);
      finish();
    });
    child.once("exit", (code) => (ending || code !== 0 ? finish() : run(index + 1)));
  };

  for (const signal of /** @type {const} */ (["SIGTERM", "SIGINT", "SIGHUP"])) process.on(signal, end);
  if (order.lifetime.kind === "parent") {
    process.stdin.on("end", end).on("error", end).resume();
  } else {
    const at = Date.parse(order.lifetime.at);
    const nap = () => {
      const left = at - Date.now();
      if (left <= 0) end();
      else setTimeout(nap, Math.min(left, longestNap));
    };
    nap();
  }
  if (!ending) run(0);
}

keep(JSON.parse(process.argv[2] ?? ""));
