/**
 * Moves the clock of a Node.js process that is started with `--require` of this file: from CAMPAIGN_CLOCK_AFTER milliseconds after its
 * start on, it is CAMPAIGN_CLOCK_SECONDS off. Timers go on as they do on a machine whose clock is set. Plain JavaScript.
 */
"use strict";

const RealDate = Date;
const offset = Number(process.env["CAMPAIGN_CLOCK_SECONDS"] ?? 0) * 1000;
const from = RealDate.now() + Number(process.env["CAMPAIGN_CLOCK_AFTER"] ?? 0);

/** @returns {number} */
function now() {
  const real = RealDate.now();
  return real < from ? real : real + offset;
}

globalThis.Date = new Proxy(RealDate, {
  construct: (target, values, newTarget) =>
    Reflect.construct(target, values.length === 0 ? [now()] : values, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
});
