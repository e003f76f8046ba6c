/** `replication:verify`: whether the replica holds what the source holds, while both go on. */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { isFenced, readMaintenance } from "../control/maintenance";
import { pairFromEnvironment } from "../replica/pair";
import { verifyReplica } from "../replica/verify";
import { renderVerification } from "../report/replica";
import { readOperationSettings } from "../settings";
import { parseDuration } from "./duration";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--wait <duration>", "how long rows that move are read again", parseDuration, 60)
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { wait: number; settings?: string; json?: boolean }) => {
      const pair = pairFromEnvironment(readOperationSettings(options.settings));
      const hasStore = (process.env["BACKUP_STORE"] ?? "") !== "";
      const fence = hasStore ? await readMaintenance(storeFromEnvironment()) : undefined;
      const found = await verifyReplica(pair, {
        ...{ exact: isFenced(fence) && fence.state === "on", seconds: options.wait },
        ...{ signal: interrupted, onProgress: progress },
      });
      printResult(options.json === true, found, renderVerification(found));
      if (found.verdict !== "equal") process.exitCode = exitCode.refused;
    });
}
