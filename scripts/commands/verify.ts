/** `db:verify`: verifies a backup that was taken earlier, or on a host that could not read it. */
import type { Command } from "commander";
import { resolveBackup } from "../backup/manifest";
import { type Depth, verifyBackup } from "../verification/verifyBackup";
import { parseDepth } from "./depth";
import { newRunId } from "./gateContext";
import { interrupted, printResult, progress } from "./session";
import { storeAt, storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .argument("<backup>", "a backup's name, or latest")
    .option("--depth <depth>", "how deep, 1 to 4; only 4 restores it", parseDepth, 4)
    .option("--store <address>", "the store whose copy is read; default: BACKUP_STORE, the first that has it")
    .option("--json", "one JSON document on stdout")
    .action(async (wanted: string, options: { depth: Depth; store?: string; json?: boolean }) => {
      const store = options.store === undefined ? storeFromEnvironment() : storeAt(options.store);
      const backup = await resolveBackup(store, wanted);
      const { depth } = options;
      const run = { store, runId: newRunId(), signal: interrupted, onProgress: progress };
      const { result } = await verifyBackup({ ...run, backup, depth });
      const how = depth === 4 ? "verified: restored and equal to its snapshot" : "not restored";
      printResult(
        options.json === true,
        { backup, store: store.url, verification: result },
        `${backup.name} (${backup.tier}) in ${store.url}: ${result.rows} rows of ${result.tables} tables, depth ${depth} (${how})`,
      );
    });
}
