/** Mocha's own report, and the counts told to the process that ran it (run.js), which has the last word. */
"use strict";

const { reporters } = require("mocha");

class CountingReporter extends reporters.Spec {
  /**
   * @param {Mocha.Runner} runner
   * @param {Mocha.MochaOptions} options
   */
  constructor(runner, options) {
    super(runner, options);
    runner.once("end", () => {
      const { passes, failures, pending } = this.stats;
      process.send?.({ passed: passes, failed: failures, skipped: pending });
    });
  }
}

module.exports = CountingReporter;
