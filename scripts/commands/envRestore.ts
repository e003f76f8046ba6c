/** `env:restore`: chosen variables of Railway and Vercel as a snapshot holds them; shows the plan and asks. */
import type { Command } from "commander";
import { snapshotAccess } from "../environment/openSnapshot";
import { planRestore, restoreVariables } from "../environment/restoreVariables";
import { confirm, interrupted, printResult } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .argument("<snapshot>", "a snapshot's name, or latest")
    .argument("<names...>", "names of variables, or patterns with *")
    .option("--yes", "do not ask, write")
    .option("--json", "one JSON document on stdout")
    .action(async (snapshot: string, names: string[], options: { yes?: boolean; json?: boolean }) => {
      const access = await snapshotAccess(storeFromEnvironment(), process.env, interrupted);
      const input = { access, snapshot, names, signal: interrupted };
      const plan = await planRestore(input);
      const changes = plan.changes.map(({ line }) => line);
      const lines = [...changes, ...plan.same, ...plan.left.map((line) => `stays: ${line}`)];
      const head = `${plan.snapshot}: ${changes.length} variable(s) to set back`;
      if (changes.length > 0) {
        await confirm([head, ...lines.map((line) => `  ${line}`)].join("\n"), options.yes === true);
        await restoreVariables(input, plan);
      }
      const document = { snapshot: plan.snapshot, restored: changes, same: plan.same, left: plan.left };
      const end = changes.length === 0 ? "nothing to set back" : "set back and read again; the next deployment has it";
      printResult(options.json === true, document, [head, ...lines, end].join("\n"));
    });
}
