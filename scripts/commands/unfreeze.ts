/** `deploy:unfreeze`: lifts a freeze, with person and reason; one of a failed verification only when nothing is missing or the loss is accepted. */
import type { Command } from "commander";
import { readFreezes } from "../control/freeze";
import { describeTarget, targetFromEnvironment } from "../database/target";
import { unfreeze } from "../release/unfreeze";
import { openStore } from "../store/openStore";
import { confirm, interrupted, printResult, progress } from "./session";

export function configure(command: Command): void {
  command
    .requiredOption("--person <name>", "who lifts it")
    .requiredOption("--reason <text>", "why")
    .option("--accept-missing", "accept the rows that the verification names as lost")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(
      async (options: { person: string; reason: string; acceptMissing?: boolean; yes?: boolean; json?: boolean }) => {
        const store = openStore(undefined);
        const target = targetFromEnvironment("DATABASE_URL");
        const standing = await readFreezes(store);
        const what = standing.map(({ at, reason }) => `  ${at}: ${reason}`).join("\n");
        if (standing.length > 0) {
          const loss = options.acceptMissing === true ? " and accepts rows that are still missing as lost" : "";
          await confirm(
            `lifts ${standing.length} freeze(s) of ${store.url} (${describeTarget(target)})${loss}:\n${what}`,
            options.yes === true,
          );
        }
        const result = await unfreeze({
          store,
          target,
          person: options.person,
          reason: options.reason,
          acceptMissing: options.acceptMissing === true,
          signal: interrupted,
          onProgress: progress,
        });
        printResult(
          options.json === true,
          result,
          result.lifted.length === 0
            ? `${store.url} is not frozen`
            : `lifted ${result.lifted.length} freeze(s) of ${store.url}`,
        );
      },
    );
}
