/** `store:sync`: gives every store the backups that another one has, after showing what that is. */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { compareStores } from "../replication/compareStores";
import { planSync, syncStores } from "../replication/syncStores";
import { comparisonDocument, renderComparison, renderSyncPlan, syncDocument } from "../report/storeComparison";
import { confirm, interrupted, printResult, progress } from "./session";
import { storesAt } from "./store";

export function configure(command: Command): void {
  command
    .argument("[stores...]", "addresses; default: those of BACKUP_STORE")
    .option("--quick", "do not read back what was written: saves reading as many bytes again from the new place")
    .option("--yes", "do not ask, copy")
    .option("--json", "one JSON document on stdout")
    .action(async (addresses: string[], options: { quick?: boolean; yes?: boolean; json?: boolean }) => {
      const { quick = false, yes = false, json = false } = options;
      const stores = storesAt(addresses);
      const look = { look: "sizes", signal: interrupted } as const;
      const plan = await planSync(await compareStores(stores, look));
      if (plan.backups.length + plan.documents.length + plan.unclaimed.length > 0) {
        await confirm(renderSyncPlan(plan), yes);
        await syncStores(plan, { readBack: !quick, signal: interrupted, onProgress: progress });
      }
      const after = await compareStores(stores, look);
      printResult(
        json,
        { copied: syncDocument(plan), comparison: comparisonDocument(after) },
        `copied ${plan.backups.length} backups and ${plan.documents.length} documents\n${renderComparison(after)}`,
      );
      if (after.unreachable.length > 0) process.exitCode = exitCode.unreachable;
      else if (after.differences.length > 0) process.exitCode = exitCode.refused;
    });
}
