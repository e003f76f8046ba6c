/** `replication:status`: how far the live replica is behind, and what is wrong with it. */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { pairFromEnvironment } from "../replica/pair";
import { readStatus } from "../replica/status";
import { renderStatus } from "../report/replica";
import { readOperationSettings } from "../settings";
import { printResult } from "./session";

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { settings?: string; json?: boolean }) => {
      const status = await readStatus(pairFromEnvironment(readOperationSettings(options.settings)));
      printResult(options.json === true, status, renderStatus(status));
      if (status.findings.length > 0) process.exitCode = exitCode.refused;
    });
}
