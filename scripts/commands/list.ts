/** `db:list`: every backup of the store, and what is known of it. */
import type { Command } from "commander";
import { renderBackups } from "../report/backupList";
import { readInventory } from "../retention/inventory";
import { interrupted, printResult } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command.option("--json", "one JSON document on stdout").action(async (options: { json?: boolean }) => {
    const store = storeFromEnvironment();
    const backups = await readInventory(store, interrupted);
    printResult(
      options.json === true,
      { store: store.url, backups: backups.map(({ keys: _, ...backup }) => backup) },
      `${store.url}\n${renderBackups(backups, new Date())}`,
    );
  });
}
