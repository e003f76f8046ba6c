/** `db:list`: every backup of each store, and what is known of it. */
import type { Command } from "commander";
import { Unavailable } from "../contract/failure";
import { renderBackups } from "../report/backupList";
import { type StoredBackup, readInventory } from "../retention/inventory";
import { storesOf } from "../store/replicatedStore";
import type { Store } from "../store/store";
import { interrupted, printResult } from "./session";
import { storeFromEnvironment } from "./store";

interface StoreList {
  readonly store: string;
  /** Why an additional store could not be listed; null: it was. */
  readonly problem: string | null;
  readonly backups: readonly StoredBackup[];
}

export function configure(command: Command): void {
  command.option("--json", "one JSON document on stdout").action(async (options: { json?: boolean }) => {
    const control = storeFromEnvironment();
    const lists = await Promise.all(storesOf(control).map((store, place) => listOne(store, control, place === 0)));
    const now = new Date();
    printResult(
      options.json === true,
      { stores: lists.map(({ backups, ...store }) => ({ ...store, backups: backups.map(documentOf) })) },
      lists.map(({ store, problem, backups }) => `${store}\n${problem ?? renderBackups(backups, now)}`).join("\n\n"),
    );
  });
}

/** Of several stores the first has to be there; one beside it that is not is a line. */
async function listOne(store: Store, control: Store, first: boolean): Promise<StoreList> {
  try {
    return { store: store.url, problem: null, backups: await readInventory(store, { control, signal: interrupted }) };
  } catch (error) {
    if (first || !(error instanceof Unavailable)) throw error;
    return { store: store.url, problem: error.message, backups: [] };
  }
}

function documentOf({ keys: _, ...backup }: StoredBackup): object {
  return backup;
}
