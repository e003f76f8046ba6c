/** `deploy:watch`: status, logs and health of what is released, against how it was before; by hand, or as a release's last part. */
import { type Command, Option } from "commander";
import { positiveNumber } from "../commandLine";
import { exitCode } from "../contract/failure";
import { targetFromEnvironment } from "../database/target";
import { railwayFromEnvironment } from "../platforms/railway";
import { vercelFromEnvironment } from "../platforms/vercel";
import { releaseVersionFromEnvironment } from "../release/admission";
import { watchByHand } from "../release/manualWatch";
import { watchRelease } from "../release/releaseWatch";
import { openPlatforms } from "../release/rollbackTargets";
import { renderWatch } from "../report/watch";
import { readOperationSettings } from "../settings";
import { addressesFromEnvironment, stackFromEnvironment } from "./gateContext";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly release?: boolean;
  readonly minutes?: number;
  readonly receipt?: string;
  readonly settings?: string;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .addOption(
      new Option("--release", "as the part of a release before its verification").conflicts([
        "minutes",
        "receipt",
        "settings",
      ]),
    )
    .option("--minutes <number>", "how long; default: watch.soakMinutes", positiveNumber(1440))
    .option("--receipt <run id>", "compare with before this release; default: the newest open one, else the newest")
    .option(
      "--settings <file>",
      "where there is no receipt: settings as JSON; default: DBPROTECT_SETTINGS, else all defaults",
    )
    .option("--json", "one JSON document on stdout: verdict, findings, endpoints, deployments")
    .action((options: Options) => (options.release === true ? asRelease(options) : byHand(options)));
}

async function asRelease({ json }: Options): Promise<void> {
  const result = await watchRelease({
    ...common(),
    releaseVersion: releaseVersionFromEnvironment(),
    stack: stackFromEnvironment(),
    target: targetFromEnvironment("DATABASE_URL"),
  });
  const text = result.report === null ? `watch: ${result.outcome}` : renderWatch(result.report);
  printResult(json === true, result, text);
}

async function byHand(options: Options): Promise<void> {
  const result = await watchByHand({
    ...common(),
    receiptRunId: options.receipt,
    minutes: options.minutes,
    settings: readOperationSettings(options.settings),
    configured: [
      ...(railwayFromEnvironment() === undefined ? [] : (["railway"] as const)),
      ...(vercelFromEnvironment() === undefined ? [] : (["vercel"] as const)),
    ],
  });
  printResult(options.json === true, result, renderWatch(result));
  process.exitCode = result.verdict === "pass" ? exitCode.pass : exitCode.refused;
}

function common() {
  return {
    store: storeFromEnvironment(),
    addresses: addressesFromEnvironment(),
    clients: openPlatforms(process.env, interrupted),
    signal: interrupted,
    onLine: progress,
  };
}
