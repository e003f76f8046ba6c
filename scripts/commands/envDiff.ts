/** `env:diff`: what differs between two snapshots of the environment, or a snapshot and now; never a value. */
import type { Command } from "commander";
import { describeDifference, diffSnapshots } from "../environment/diffSnapshots";
import { snapshotAccess } from "../environment/openSnapshot";
import { readOperationSettings } from "../settings";
import { interrupted, printResult } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .argument("<from>", "a snapshot's name, or latest")
    .argument("[to]", "a snapshot's name, latest, or now", "now")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (from: string, to: string, options: { settings?: string; json?: boolean }) => {
      const { environment } = readOperationSettings(options.settings);
      const access = await snapshotAccess(storeFromEnvironment(), process.env, interrupted);
      const diff = await diffSnapshots({ access, settings: environment, from, to, signal: interrupted });
      const lines = diff.differences.map(describeDifference);
      const head = `${diff.from} -> ${diff.to}: ${lines.length === 0 ? "no difference" : `${lines.length} differ`}`;
      printResult(options.json === true, diff, [head, ...lines].join("\n"));
    });
}
