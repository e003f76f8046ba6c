/** `db:list`: every backup of each store, what is known of it, and how long its restore will take. */
import type { Command } from "commander";
import { Unavailable } from "../contract/failure";
import { type ListedBackup, renderBackups } from "../report/backupList";
import { readInventory } from "../retention/inventory";
import { readOperationSettings } from "../settings";
import { storesOf } from "../store/replicatedStore";
import type { Store } from "../store/store";
import { type ExpectedRto, expectRto, overTarget, readRestoreSamples } from "../verification/expectedRto";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface StoreList {
  readonly store: string;
  /** Why an additional store could not be listed; null: it was. */
  readonly problem: string | null;
  readonly backups: readonly ListedBackup[];
  /** That of the newest backup; null: nothing of this store was ever restored. */
  readonly expectedRto: ExpectedRto | null;
}

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { settings?: string; json?: boolean }) => {
      const { rtoMinutes } = readOperationSettings(options.settings);
      const control = storeFromEnvironment();
      const lists = withPlaces(
        await Promise.all(storesOf(control).map((store, place) => listOne(store, control, place === 0))),
      );
      const now = new Date();
      printResult(
        options.json === true,
        { stores: lists.map(({ backups, ...store }) => ({ ...store, backups: backups.map(documentOf) })) },
        lists
          .map(({ store, problem, backups }, place) => {
            const number = lists.length > 1 ? `${place + 1}  ` : "";
            return `${number}${store}\n${problem ?? renderBackups(backups, now)}`;
          })
          .join("\n\n"),
      );
      for (const { expectedRto } of lists) {
        const over = expectedRto === null ? undefined : overTarget(expectedRto, rtoMinutes);
        if (over !== undefined) progress(`WARNING: ${over}`);
      }
    });
}

/** Of several stores the first has to be there; one beside it that is not is a line. */
async function listOne(store: Store, control: Store, first: boolean): Promise<StoreList> {
  try {
    const stored = await readInventory(store, { control, signal: interrupted });
    const samples = await readRestoreSamples(store);
    const rtoOf = (bytes: number | null): ExpectedRto | undefined =>
      bytes === null ? undefined : expectRto(samples, bytes);
    const backups = stored.map((backup) => ({
      ...backup,
      expectedRtoSeconds: rtoOf(backup.databaseBytes)?.seconds ?? null,
      where: [1],
    }));
    const newest = backups.findLast(({ databaseBytes }) => databaseBytes !== null);
    return { store: store.url, problem: null, backups, expectedRto: rtoOf(newest?.databaseBytes ?? null) ?? null };
  } catch (error) {
    if (first || !(error instanceof Unavailable)) throw error;
    return { store: store.url, problem: error.message, backups: [], expectedRto: null };
  }
}

/** Says of each backup in which of the stores it lies complete, where there are several. */
function withPlaces(lists: readonly StoreList[]): readonly StoreList[] {
  if (lists.length === 1) return lists;
  const complete = lists.map(
    ({ backups }) =>
      new Set(backups.flatMap(({ state, tier, name }) => (state === "complete" ? `${tier}/${name}` : []))),
  );
  return lists.map((list) => ({
    ...list,
    backups: list.backups.map((backup) => ({
      ...backup,
      where: complete.flatMap((names, place) => (names.has(`${backup.tier}/${backup.name}`) ? place + 1 : [])),
    })),
  }));
}

function documentOf({ keys: _, ...backup }: ListedBackup): object {
  return backup;
}
