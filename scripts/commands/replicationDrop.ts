/** `replication:drop`: takes the live replica down, slot included; the replica's rows stay. */
import { type Command, Option } from "commander";
import { exitCode } from "../contract/failure";
import { describeTarget } from "../database/target";
import { type DropSide, dropReplica } from "../replica/drop";
import { pairFromEnvironment, quotedName } from "../replica/pair";
import { readOperationSettings } from "../settings";
import { confirm, interrupted, printResult, progress } from "./session";

interface Options {
  readonly side: DropSide;
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .addOption(
      new Option("--side <side>", "one side alone, where the other cannot be reached")
        .choices(["both", "source", "replica"])
        .default("both"),
    )
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      const pair = pairFromEnvironment(readOperationSettings(options.settings));
      const name = quotedName(pair);
      const atReplica = `subscription ${name} on ${describeTarget(pair.replica)} (its rows stay)`;
      const atSource = `slot and publication ${name} on ${describeTarget(pair.source)}`;
      const what = { both: `${atReplica}, then ${atSource}`, source: atSource, replica: atReplica }[options.side];
      await confirm(`drops ${what}`, options.yes === true);
      const dropped = await dropReplica(pair, options.side, { signal: interrupted, onProgress: progress });
      const slots = dropped.slotsDropped.map((slot) => `slot ${slot}`);
      const gone = [...(dropped.subscriptionDropped ? ["the subscription"] : []), ...slots];
      printResult(
        options.json === true,
        dropped,
        [
          `dropped: ${gone.length === 0 ? "nothing was there" : gone.join(", ")}`,
          ...dropped.left.map((line) => `STILL THERE ${line}`),
        ].join("\n"),
      );
      // A slot that stays holds the source's log: that is no success.
      if (options.side === "replica") process.exitCode = exitCode.refused;
    });
}
