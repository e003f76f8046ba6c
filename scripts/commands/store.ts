/** The store of this run, as the environment names it. */
import { openStore } from "../store/openStore";
import { storesOf } from "../store/replicatedStore";
import type { Store } from "../store/store";
import { readStoreIdentity } from "../store/storeIdentity";
import { progress } from "./session";

/**
 * What goes wrong without stopping anything is said on stderr at once.
 *
 * @param onLine takes those lines; default: stderr.
 * @throws UsageError when BACKUP_STORE names no store.
 */
export function storeFromEnvironment(onLine: (line: string) => void = progress): Store {
  return openStore(undefined, process.env, { onWarning: (line) => onLine(`warning: ${line}`) });
}

/**
 * A freeze or an incident in a store that no gate reads stops nobody, and looks as if it did. Said, not refused: what an
 * emergency needs is done.
 */
export async function warnOfUnusedStore(store: Store): Promise<void> {
  const isUsed = await readStoreIdentity(store).then(
    (identity) => identity !== undefined,
    () => true,
  );
  if (!isUsed) progress(`warning: no gate and no backup ever used ${store.url}: check BACKUP_STORE`);
}

/** The stores that `addresses` name, or, without any, those of BACKUP_STORE. @throws UsageError when one is none. */
export function storesAt(addresses: readonly string[]): readonly Store[] {
  return storesOf(addresses.length === 0 ? storeFromEnvironment() : storeAt(addresses.join(" ")));
}

/** The store at an address that was given instead. @throws UsageError when it names none. */
export function storeAt(address: string): Store {
  return openStore(address, process.env, { onWarning: (line) => progress(`warning: ${line}`) });
}
