/** `replication:setup`: the live replica is set up, or a setup that was cut off is gone on with. */
import type { Command } from "commander";
import { pairFromEnvironment } from "../replica/pair";
import { demandNoHalt, lostSlot, planSetup, setUpReplica } from "../replica/setUp";
import { describeFindings, describeSetup } from "../report/replica";
import { readOperationSettings } from "../settings";
import { confirm, interrupted, printResult, progress } from "./session";

interface Options {
  readonly settings?: string;
  readonly check?: boolean;
  readonly resync?: boolean;
  readonly wait: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .option("--check", "only look: what stands in the way (exit 1), and what would be done")
    .option("--resync", "empty the replica's tables and copy everything anew")
    .option("--no-wait", "do not wait until every row has arrived")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      const pair = pairFromEnvironment(readOperationSettings(options.settings));
      const resync = options.resync === true;
      const plan = await planSetup(pair, resync);
      if (options.check === true) {
        const { identity, findings, steps } = plan;
        const text = `${describeSetup(plan)}\n${describeFindings(findings)}`;
        printResult(options.json === true, { identity, findings, steps }, text);
        return demandNoHalt(findings);
      }
      demandNoHalt(plan.findings);
      if (plan.lost && !resync) throw lostSlot(pair, plan.slotGone);
      await confirm(describeSetup(plan), options.yes === true);
      const run = { resync, wait: options.wait, signal: interrupted, onProgress: progress };
      const result = await setUpReplica(pair, run);
      const { tables, ready, seconds } = result;
      printResult(
        options.json === true,
        result,
        ready
          ? `the replica follows: ${tables} table(s) copied, sequences set, in ${seconds.toFixed(1)} s`
          : `the replica is being filled: ${tables} table(s); see: npm run replication:status`,
      );
    });
}
