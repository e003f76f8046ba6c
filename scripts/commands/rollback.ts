/** `deploy:rollback`: Railway and Vercel go back to what was live before a release, each proven. */
import { type Command, Option } from "commander";
import { planRollback, rollBack } from "../release/rollback";
import { addressesOf } from "../release/postDeploy";
import { type Platform, deploymentsByPlatform, openPlatforms, platforms } from "../release/rollbackTargets";
import { describePlan, renderRollback } from "../report/rollback";
import { readOperationSettings } from "../settings";
import { channelsFor, telling } from "./communication";
import { newRunId } from "./gateContext";
import { configuredPlatforms } from "./incidentContext";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly toDeployment?: readonly string[];
  readonly only?: Platform;
  readonly receipt?: string;
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .option(
      "--to-deployment <ids...>",
      "go back to these: an id of Railway's, one of Vercel's (dpl_…), or both; default: those that the receipt recorded",
    )
    .addOption(new Option("--only <platform>", "leave the other one as it is; default: both").choices(platforms))
    .option("--receipt <run id>", "the release to undo; default: the newest one of this stack")
    .option(
      "--settings <file>",
      "where there is no receipt: settings as JSON; default: DBPROTECT_SETTINGS, else all defaults",
    )
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      const store = storeFromEnvironment();
      const channels = channelsFor(store, options.settings);
      const clients = openPlatforms(process.env, interrupted);
      const stack = process.env["DBPROTECT_STACK"] || undefined;
      const plan = await planRollback({
        ...{ store, clients, stack, receiptRunId: options.receipt, only: options.only },
        to: deploymentsByPlatform(options.toDeployment ?? []),
        settings: readOperationSettings(options.settings),
        configured: configuredPlatforms(),
      });
      await confirm(describePlan(plan), options.yes === true);
      const addresses = {
        appUrl: process.env["APP_URL"] || undefined,
        frontendUrl: process.env["FRONTEND_URL"] || undefined,
      };
      const result = await telling(
        channels,
        { way: "deploy:rollback" },
        () =>
          rollBack(plan, {
            ...{ store, clients, runId: newRunId(), signal: interrupted, onProgress: progress },
            addresses: plan.release === undefined ? addresses : addressesOf({ addresses }, plan.release.receipt),
          }),
        ({ verdict }) => verdict === "rolled back",
      );
      printResult(options.json === true, result, renderRollback(result));
      process.exitCode = result.exitCode;
    });
}
