/** `replication:sync`: what the source defines besides is carried over to the live replica. */
import type { Command } from "commander";
import { pairFromEnvironment } from "../replica/pair";
import { demandAdditive, planSync, syncReplica } from "../replica/sync";
import { describeSync, renderSync } from "../report/replica";
import { readOperationSettings } from "../settings";
import { type PairOptions, addPairOptions } from "./pairOptions";
import { confirm, interrupted, printResult, progress } from "./session";

export function configure(command: Command): void {
  addPairOptions(command, {
    dryRun: "what would be made; exit 1 for what is no addition",
    wait: "how long the replica gets to catch up, and the comparison to end",
  }).action(async (options: PairOptions) => {
    const pair = pairFromEnvironment(readOperationSettings(options.settings));
    const plan = await planSync(pair, { signal: interrupted });
    if (options.dryRun === true) {
      const { identity, words, published, refused } = plan;
      printResult(options.json === true, { identity, words, published, refused }, describeSync(plan));
      return demandAdditive(plan);
    }
    demandAdditive(plan);
    await confirm(describeSync(plan), options.yes === true);
    const run = { seconds: options.wait, signal: interrupted, onProgress: progress };
    const result = await syncReplica(pair, run);
    printResult(options.json === true, result, renderSync(result));
  });
}
