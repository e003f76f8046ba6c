/** `env:check`: required variables present, critical ones unchanged since the accepted snapshot. */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { checkEnvironment } from "../environment/checkEnvironment";
import { readOperationSettings } from "../settings";
import { interrupted, printResult } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { settings?: string; json?: boolean }) => {
      const { environment } = readOperationSettings(options.settings);
      const store = (process.env["BACKUP_STORE"] ?? "") === "" ? undefined : storeFromEnvironment();
      const check = await checkEnvironment({ store, settings: environment, signal: interrupted });
      printResult(options.json === true, check, [...check.lines, "", check.verdict.toUpperCase()].join("\n"));
      process.exitCode = check.verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}
