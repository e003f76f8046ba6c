/** `replication:failback`: after a failover the former source follows the new database, without a copy. */
import type { Command } from "commander";
import { describeIdentity } from "../database/identity";
import { targetFromEnvironment } from "../database/target";
import { failBack, planFailback, turnedRound } from "../replica/failback";
import { pairFromEnvironment } from "../replica/pair";
import { readOperationSettings } from "../settings";
import { type PairOptions, addPairOptions } from "./pairOptions";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  addPairOptions(command, {
    dryRun: "whether there is a way back, and what would be done",
    wait: "how long the former source gets to catch up",
  }).action(async (options: PairOptions) => {
    const pair = pairFromEnvironment(readOperationSettings(options.settings));
    const hasRoute = (process.env["REPLICATION_REPLICA_URL"] ?? "") !== "";
    const back = turnedRound(pair, hasRoute ? targetFromEnvironment("REPLICATION_REPLICA_URL") : pair.replica);
    const store = storeFromEnvironment();
    const plan = await planFailback(back, store);
    const words = [
      `lets the former source ${describeIdentity(plan.identity.replica)}`,
      `follow the database    ${describeIdentity(plan.identity.source)}:`,
      `  ${plan.follows ? "it follows already; its address is set anew" : "subscribes without a copy, for both were equal at the failover"}; ${plan.behindBytes} bytes to catch up with`,
      "  its write fence stays up",
    ].join("\n");
    if (options.dryRun === true) return printResult(options.json === true, plan, words);
    await confirm(words, options.yes === true);
    const run = { seconds: options.wait, signal: interrupted, onProgress: progress };
    const result = await failBack(back, store, run);
    printResult(
      options.json === true,
      result,
      `the former source follows, in ${result.seconds.toFixed(1)} s\nnext, to go back: replication:failover with the two addresses exchanged (docs/replica.md)`,
    );
  });
}
