/** `migrations:apply`: the release step `migrations` by hand: what the gate judged, after asking. */
import type { Command } from "commander";
import { addressesFromEnvironment } from "./gateContext";
import { withConnection } from "../database/connect";
import { targetFromEnvironment } from "../database/target";
import { admittedRelease, demandReceipt } from "../release/admission";
import { judgedPending } from "../release/applyPendingMigrations";
import { runReleaseStep } from "../release/releaseStep";
import { openPlatforms } from "../release/rollbackTargets";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--yes", "do not ask, apply")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { yes?: boolean; json?: boolean }) => {
      const store = storeFromEnvironment();
      const target = targetFromEnvironment("DATABASE_URL");
      const request = await admittedRelease(store);
      const { receipt } = await demandReceipt(store, target, request);
      const { migrations: configured } = receipt.settings;
      const pending =
        configured === undefined
          ? []
          : await withConnection(target, (client) =>
              judgedPending(client, { ...configured, judged: receipt.migrations }),
            );
      if (pending.length > 0) {
        const lines = pending.map(({ file, sha256 }) => `  ${file}  ${sha256}`);
        const what = `applies ${pending.length} file(s) to ${receipt.database.database}, as receipt ${receipt.runId} judged them:`;
        await confirm([what, ...lines].join("\n"), options.yes === true);
      }
      const clients = openPlatforms(process.env, interrupted);
      const step = "migrations" as const;
      const result = await runReleaseStep({
        ...{ step, ...request, store, target, clients, signal: interrupted, onLine: progress },
        addresses: addressesFromEnvironment(),
      });
      printResult(options.json === true, { step, ...result }, `${step}: ${result.outcome}: ${result.detail}`);
    });
}
