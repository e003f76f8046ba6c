/** `store:compare`: whether several stores hold the same backups; each difference is named. */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { compareStores } from "../replication/compareStores";
import { comparisonDocument, renderComparison } from "../report/storeComparison";
import { interrupted, printResult } from "./session";
import { storesAt } from "./store";

export function configure(command: Command): void {
  command
    .argument("[stores...]", "addresses; default: those of BACKUP_STORE")
    .option("--quick", "read manifests and lengths only: finds what is missing, not what decays")
    .option("--json", "one JSON document on stdout")
    .action(async (addresses: string[], options: { quick?: boolean; json?: boolean }) => {
      const look = options.quick === true ? "sizes" : "contents";
      const comparison = await compareStores(storesAt(addresses), { look, signal: interrupted });
      printResult(options.json === true, comparisonDocument(comparison), renderComparison(comparison));
      if (comparison.unreachable.length > 0) process.exitCode = exitCode.unreachable;
      else if (comparison.differences.length > 0) process.exitCode = exitCode.refused;
    });
}
