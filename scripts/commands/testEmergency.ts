/** `test:emergency`: whether what was recovered works: the data checks, the health checks and the configured command. */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { targetFromEnvironment } from "../database/target";
import { runEmergencyTests } from "../incident/emergencyTests";
import { renderEmergencyTests } from "../report/emergency";
import { readOperationSettings } from "../settings";
import { addressesFromEnvironment } from "./gateContext";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { settings?: string; json?: boolean }) => {
      const tests = await runEmergencyTests({
        ...(process.env["BACKUP_STORE"] ? { store: storeFromEnvironment() } : {}),
        live: targetFromEnvironment("DATABASE_URL"),
        settings: readOperationSettings(options.settings),
        addresses: addressesFromEnvironment(),
        ...{ signal: interrupted, onProgress: progress },
      });
      printResult(options.json === true, tests, renderEmergencyTests(tests));
      process.exitCode = tests.verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}
