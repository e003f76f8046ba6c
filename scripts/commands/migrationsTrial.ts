/** `migrations:trial`: the pending migrations, judged and then run on a restored copy of a backup. */
import type { Command } from "commander";
import { resolveBackup } from "../backup/manifest";
import { UsageError, exitCode } from "../contract/failure";
import { targetFromEnvironment } from "../database/target";
import { tryOnBackup } from "../migrations/tryOnBackup";
import { renderVerdicts } from "../report/migrations";
import { readOperationSettings } from "../settings";
import { newRunId } from "./gateContext";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--backup <name>", "the backup to try them on", "latest")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { backup: string; settings?: string; json?: boolean }) => {
      const { migrations: settings, verification } = readOperationSettings(options.settings);
      if (settings === undefined) {
        throw new UsageError("migrations.path: found nothing: expected the folder of the migrations", {
          hint: "set migrations.path in the settings",
        });
      }
      const store = storeFromEnvironment();
      const backup = await resolveBackup(store, options.backup);
      const verdicts = await tryOnBackup({
        ...{ store, backup, settings, runId: newRunId(), signal: interrupted, onProgress: progress },
        live: targetFromEnvironment("DATABASE_URL"),
        until: new Date(Date.now() + verification.scratchHours * 3_600_000),
      });
      printResult(options.json === true, { backup, ...verdicts }, renderVerdicts(verdicts));
      process.exitCode = verdicts.verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}
