/**
 * Stands where the operational program stands and writes down how it was called, so that a test can see which
 * commands the Pulumi program ran, in which order, with which environment. `recorder.json` in the project's
 * folder says which of them fail. Plain JavaScript: it is copied into a project of its own.
 */
"use strict";

const { appendFileSync, existsSync, readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");

const folder = join(__dirname, "..");
const words = process.argv.slice(2).join(" ");
const answersFile = join(folder, "recorder.json");

/** @type {{ exitCodes?: Record<string, number>, hangs?: string, digest?: string, baseline?: string | null }} */
const answers = existsSync(answersFile) ? JSON.parse(readFileSync(answersFile, "utf8")) : {};
const exitCode = answers.exitCodes?.[words] ?? 0;

const watched = /^(DBPROTECT_.*|BACKUP_.*|DATABASE_URL|APP_URL|FRONTEND_URL|AWS_REGION|PULUMI_COMMAND_.*)$/;
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => watched.test(name)));
appendFileSync(join(folder, "calls.ndjson"), `${JSON.stringify({ words, env })}\n`);

if (words === answers.hangs) {
  // Works on until it is told to stop, in the way of every command, and cleans up then.
  require("tsx/cjs/api").register();
  const { interrupted, listenForSignals } = require(join(folder, "scripts", "commands", "session"));
  listenForSignals();
  const working = setInterval(() => undefined, 1000);
  interrupted.addEventListener("abort", () => {
    clearInterval(working);
    writeFileSync(join(folder, "cleaned-up"), words);
    process.exitCode = 130;
  });
  writeFileSync(join(folder, "hanging"), String(process.pid));
} else if (words === "gate preview" && exitCode === 99) {
  // Prints nothing at all, and says that all is well.
} else if (words === "gate preview") {
  const halted = exitCode !== 0;
  const store = process.env["BACKUP_STORE"] ?? "";
  print({
    verdict: halted ? "halt" : "pass",
    exitCode,
    message: halted ? "a freeze is set" : null,
    hint: halted ? "lift it with deploy:unfreeze" : null,
    skipped: store === "" ? ["lease", "environment"] : [],
    steps: [],
  });
} else if (words === "platform:check --preview") {
  const halted = exitCode !== 0;
  print({
    verdict: halted ? "halt" : "pass",
    message: halted ? "backup: no completed backup" : null,
    hint: halted ? "change it at the platform" : null,
    warnings: ["WARNING retention: plan free keeps no backup"],
  });
} else if (words.startsWith("env:snapshot")) {
  if (exitCode > 1) {
    print({ verdict: "error", exitCode, message: "the store is unreachable", hint: "check BACKUP_STORE" });
  } else {
    print({
      verdict: exitCode === 0 ? "pass" : "halt",
      message: exitCode === 0 ? null : "SUPABASE_URL (process): changed",
      baseline: answers.baseline === undefined ? "baseline-1" : answers.baseline,
      accepted: words.endsWith("--accept") ? "baseline-1" : null,
      variables: [
        {
          name: "SUPABASE_URL",
          source: "process",
          target: "local",
          kind: "plain",
          critical: true,
          digest: answers.digest ?? "digest-1",
          // Must never reach the state, whoever adds it to the report one day.
          value: "value-of-supabase-url",
        },
      ],
    });
  }
  process.exitCode = exitCode;
} else {
  process.stderr.write(`working on ${words}\n`);
  process.stdout.write(words === "gate run --print receipt" ? "receipt-sha256\n" : `${words}: done\n`);
  process.exitCode = exitCode;
}

/** @param {unknown} document */
function print(document) {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}
