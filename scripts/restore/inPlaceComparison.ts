/** Compares what a transaction has made of a database with the backup, in the session of that transaction. */
import type { Queryable } from "../database/queryable";
import type { BackupScope } from "../database/supabasePreset";
import { listSequences } from "../database/tables";
import { readCatalog } from "../fingerprint/catalog";
import { type CatalogChange, catalogChanges, describeChange, differencesOf } from "../fingerprint/compare";
import { hashTable } from "../fingerprint/compute";
import type { CatalogItem, Fingerprint, TableFingerprint } from "../fingerprint/fingerprint";
import { readLargeObjects } from "../fingerprint/largeObjects";
import { type PlatformObjects, isPlatforms, readPlatformObjects } from "./ownObjects";

/** The definitions as they were before anything was dropped. */
export interface DefinitionsBefore {
  /** Also those that no backup holds, for the platform manages them. */
  readonly everything: readonly CatalogItem[];
  readonly inBackups: readonly CatalogItem[];
  readonly platform: PlatformObjects;
}

/** Leaves nothing out. */
export const everythingThere: BackupScope = { preset: "none", leftOut: [] };

export async function readDefinitions(session: Queryable): Promise<DefinitionsBefore> {
  return {
    everything: await readCatalog(session, everythingThere),
    inBackups: await readCatalog(session),
    platform: await readPlatformObjects(session),
  };
}

export interface InPlaceComparison {
  /** Why it may not be committed; empty: it may. */
  readonly differences: readonly string[];
  /** What differs from the backup, is the platform's, and was like that before. */
  readonly notes: readonly string[];
}

/** The session's settings are the pinned ones. */
export async function compareInPlace(
  session: Queryable,
  fingerprint: Fingerprint,
  before: DefinitionsBefore,
  options: {
    /** Items of the backup's catalog that the role may not make: excused where they were missing before. */
    readonly refused: readonly CatalogItem[];
    readonly signal?: AbortSignal | undefined;
  },
): Promise<InPlaceComparison> {
  const tables: TableFingerprint[] = [];
  for (const table of fingerprint.tables) {
    options.signal?.throwIfAborted();
    // The columns of the backup: the platform may have added others to its tables since.
    tables.push(await hashTable(session, table));
  }
  const catalog = await readCatalog(session);
  const everything = await readCatalog(session, everythingThere);
  const changes = catalogChanges(fingerprint.catalog, catalog);
  const isRefused = ({ kind, name }: CatalogChange): boolean =>
    options.refused.some((item) => item.kind === kind && item.name === name);
  const excused = changes.filter(
    (change) => (isPlatforms(change, before.platform) || isRefused(change)) && isAsBefore(change, before, everything),
  );
  const now = { tables, sequences: await listSequences(session), largeObjects: await readLargeObjects(session) };
  return {
    differences: [
      ...differencesOf({ ...fingerprint, catalog: [] }, { ...now, catalog: [] }),
      ...changes.filter((change) => !excused.includes(change)).map(describeChange),
      ...takenAlong(before, everything),
    ],
    notes: excused
      .filter((change) => !isRefused(change))
      .map((change) => `the platform's, left as it was: ${describeChange(change)}`),
  };
}

function isAsBefore(change: CatalogChange, before: DefinitionsBefore, now: readonly CatalogItem[]): boolean {
  const digestIn = (items: readonly CatalogItem[]): string | undefined =>
    items.find(({ kind, name }) => kind === change.kind && name === change.name)?.digest;
  return digestIn(before.everything) === digestIn(now);
}

/** What is in no backup and depended on something that was dropped: it went with that, and nothing brings it back. */
function takenAlong(before: DefinitionsBefore, now: readonly CatalogItem[]): string[] {
  return lostOf(outsideBackups(before), now).map((item) => `${item} is in no backup: ${again}`);
}

const again = "drop it, restore, and make it again";

function outsideBackups(before: DefinitionsBefore): readonly CatalogItem[] {
  const inBackups = new Set(before.inBackups.map(({ kind, name }) => `${kind} ${name}`));
  return before.everything.filter(({ kind, name }) => !inBackups.has(`${kind} ${name}`));
}

/** Each as the beginning of a sentence. */
function lostOf(items: readonly CatalogItem[], now: readonly CatalogItem[]): string[] {
  return catalogChanges(items, now)
    .filter(({ change }) => change !== "added")
    .map(({ kind, name }) => `${kind} ${name} depends on what would be replaced and`);
}

/**
 * What is the platform's and went, or was changed, although a dump without a fingerprint was to replace only what is the
 * role's own: why it may not be committed.
 */
export async function platformLosses(session: Queryable, before: DefinitionsBefore): Promise<string[]> {
  const outside = new Set(outsideBackups(before));
  const platforms = before.everything.filter((item) => outside.has(item) || isPlatforms(item, before.platform));
  const lost = lostOf(platforms, await readCatalog(session, everythingThere));
  return lost.map((item) => `${item} is the platform's, and not in the file: ${again}`);
}

/** Definitions of which nothing is left, each with its kind, once a name; not what belonged to a table that is gone. */
export function goneDefinitions(before: readonly CatalogItem[], now: readonly CatalogItem[]): string[] {
  const gone = catalogChanges(before, now).filter(({ change }) => change === "removed");
  const holders = gone.flatMap(({ kind, name }) => (kind === "relation" || kind === "schema" ? [`${name}.`] : []));
  const told = new Map<string, string>();
  for (const { kind, name } of gone)
    if (kind !== "comment" && !told.has(name) && !holders.some((holder) => name.startsWith(holder)))
      told.set(name, `${kind} ${name}`);
  return [...told.values()];
}
