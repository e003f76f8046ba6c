/** `db:verify:rollback`: after a rollback: nothing of the receipt's snapshot, its recovery point, is missing. */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { targetFromEnvironment } from "../database/target";
import { verifyRestored } from "../incident/verifyRestored";
import { addressesOf, chooseReceipt } from "../release/postDeploy";
import { renderRestored } from "../report/restoredVerification";
import { demandSameDatabase, judgedStatements } from "../verification/verifyReceipt";
import { channelsFor, tellMitigated } from "./communication";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--receipt <run id>", "of the release that was rolled back; default: the newest open one, else the newest")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { receipt?: string; json?: boolean }) => {
      const store = storeFromEnvironment();
      const channels = channelsFor(store);
      const live = targetFromEnvironment("DATABASE_URL");
      const trusted = await chooseReceipt({
        store,
        ...(options.receipt === undefined ? {} : { runId: options.receipt }),
      });
      const { receipt } = trusted;
      await demandSameDatabase({ receipt, live });
      const { lsn, utc } = receipt.recoveryPoint;
      progress(
        `recovery point of ${receipt.releaseVersion || "the release"}: ${utc}, ${lsn} (receipt ${receipt.runId})`,
      );
      const addresses = {
        appUrl: process.env["APP_URL"] || undefined,
        frontendUrl: process.env["FRONTEND_URL"] || undefined,
      };
      const result = await verifyRestored({
        ...{ store, live, copyOf: receipt, judged: judgedStatements(receipt), settings: receipt.settings },
        addresses: addressesOf({ addresses }, receipt),
        signal: interrupted,
        onProgress: progress,
      });
      printResult(
        options.json === true,
        { receipt: receipt.runId, recoveryPoint: receipt.recoveryPoint, ...result },
        renderRestored(result, "the database after the rollback"),
      );
      if (result.verdict === "pass") await tellMitigated(channels, "db:verify:rollback");
      process.exitCode = result.verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}
