/** `db:verify`: verifies a backup that was taken earlier, or on a host that could not read it. */
import type { Command } from "commander";
import { resolveBackup } from "../backup/manifest";
import { readOperationSettings } from "../settings";
import type { Depth } from "../verification/verificationResult";
import { verifyBackup } from "../verification/verifyBackup";
import { parseDepth } from "./depth";
import { newRunId } from "./gateContext";
import { interrupted, printResult, progress } from "./session";
import { storeAt, storeFromEnvironment } from "./store";

const meanings: Readonly<Record<Depth, string>> = {
  1: "not restored",
  2: "not restored",
  3: "not restored",
  4: "verified: restored and equal to its snapshot",
  5: "verified: restored and equal to its snapshot, its data checked, and read back from every other store",
};

export function configure(command: Command): void {
  command
    .argument("<backup>", "a backup's name, or latest")
    .option("--depth <depth>", "how deep, 1 to 5: 1 to 4 as of db:backup; 4 and 5 restore it", parseDepth, 4)
    .option(
      "--store <address>",
      "read the copy in this store, and record the verification there; default: the first of BACKUP_STORE that has it",
    )
    .option(
      "--settings <file>",
      "settings as JSON, of which depth 5 asks for checks; default: DBPROTECT_SETTINGS, else all defaults",
    )
    .option("--json", "one JSON document on stdout")
    .action(async (wanted: string, options: { depth: Depth; store?: string; settings?: string; json?: boolean }) => {
      const store = options.store === undefined ? storeFromEnvironment() : storeAt(options.store);
      const backup = await resolveBackup(store, wanted);
      const { depth } = options;
      const run = { store, runId: newRunId(), signal: interrupted, onProgress: progress };
      const dataChecks = depth === 5 ? { checks: readOperationSettings(options.settings).checks } : undefined;
      const { result } = await verifyBackup({ ...run, backup, depth, ...(dataChecks && { dataChecks }) });
      printResult(
        options.json === true,
        { backup, store: store.url, verification: result },
        [
          ...(depth === 5 ? result.notes : []),
          `${backup.name} (${backup.tier}) in ${store.url}: ${result.rows} rows of ${result.tables} tables, depth ${depth} (${meanings[depth]})`,
        ].join("\n"),
      );
    });
}
