/** `replication:failover`: the replica becomes the database; first says what that means, and asks. */
import type { Command } from "commander";
import { type FailoverInput, failOver, planFailover } from "../replica/failover";
import { pairFromEnvironment } from "../replica/pair";
import { describeFailover, renderFailover } from "../report/replica";
import { readOperationSettings } from "../settings";
import { newRunId } from "./gateContext";
import { type PairOptions, addPairOptions } from "./pairOptions";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options extends PairOptions {
  readonly sourceLost?: boolean;
}

export function configure(command: Command): void {
  addPairOptions(command, {
    dryRun: "whether the replica is fit, and what would be done",
    wait: "how long the replica gets to catch up, and the comparison to end",
  })
    .option("--source-lost", "the source does not answer and is given up: what had not arrived is lost")
    .action(async (options: Options) => {
      const settings = readOperationSettings(options.settings);
      const input: FailoverInput = {
        ...{ pair: pairFromEnvironment(settings), store: storeFromEnvironment(), runId: newRunId() },
        ...{
          fencedRoles: settings.rollback.fencedRoles,
          sourceLost: options.sourceLost === true,
          seconds: options.wait,
        },
        ...{ signal: interrupted, onProgress: progress },
      };
      const plan = await planFailover(input);
      const words = describeFailover(plan, input.sourceLost);
      if (options.dryRun === true) {
        const { identity, going, lagBytes, lagSeconds, newestBeat, withoutLogin, wayBack } = plan;
        const connections = plan.connections?.changes.map(({ line }) => line) ?? null;
        return printResult(
          options.json === true,
          { identity, going, lagBytes, lagSeconds, newestBeat, withoutLogin, wayBack, connections },
          words,
        );
      }
      await confirm(words, options.yes === true);
      const result = await failOver(input, plan);
      printResult(options.json === true, result, renderFailover(result, settings.rollback.fencedRoles));
    });
}
