/** Whether several stores hold the same backups: told by manifests and checksums, each difference named. */
import { Unavailable, UsageError } from "../contract/failure";
import { manifestKey } from "../store/layout";
import type { Store } from "../store/store";
import { type StoreIdentity, readStoreIdentity } from "../store/storeIdentity";
import { type BackupCopy, type Look, readCopies, readDocuments } from "./copies";

/** Everything that was read of one store. */
export interface Location {
  readonly store: Store;
  /** Undefined: nobody has claimed it yet. */
  readonly identity: StoreIdentity | undefined;
  readonly copies: ReadonlyMap<string, BackupCopy>;
  /** SHA-256 by key of suspect marks and accepted environments. */
  readonly documents: ReadonlyMap<string, string>;
}

export interface Difference {
  /** Of the store that lacks it, or has something else. */
  readonly store: string;
  /** `<tier>/<name>` of a backup, or a document's key. */
  readonly object: string;
  /** `different`: whole, and not what the first store that has it whole holds. */
  readonly kind: "missing" | "different" | "unreadable";
  readonly detail: string;
}

export interface Comparison {
  readonly look: Look;
  readonly locations: readonly Location[];
  readonly unreachable: readonly { readonly store: string; readonly problem: string }[];
  /** Backups that lie, the same and whole, in every store that was reached. */
  readonly equal: number;
  readonly differences: readonly Difference[];
}

export interface CompareOptions {
  /** Default `contents`. */
  readonly look?: Look;
  readonly signal?: AbortSignal;
}

/**
 * Reads only. A backup that expires by its tag in every store that has it counts as gone.
 *
 * @param stores two or more.
 * @throws UsageError for fewer, for stores of different databases, and where none of them is a store yet.
 */
export async function compareStores(stores: readonly Store[], options: CompareOptions = {}): Promise<Comparison> {
  const { look = "contents", signal } = options;
  if (stores.length < 2)
    throw new UsageError(`found ${stores.length} store: expected two or more to compare`, {
      hint: "name them as arguments, or several in BACKUP_STORE",
    });
  const read = await Promise.all(stores.map((store) => readLocation(store, look, signal)));
  const locations = read.filter((found): found is Location => !(found instanceof Unavailable));
  demandOneDatabase(locations);
  demandAnyStore(read);
  const unreachable = read.flatMap((found, place) =>
    found instanceof Unavailable ? [{ store: stores[place]!.url, problem: found.message }] : [],
  );
  const backups = await compareBackups(locations);
  return { look, locations, unreachable, ...backups, differences: [...backups.differences, ...documentsOf(locations)] };
}

async function readLocation(
  store: Store,
  look: Look,
  signal: AbortSignal | undefined,
): Promise<Location | Unavailable> {
  try {
    const identity = await readStoreIdentity(store);
    const [copies, documents] = await Promise.all([readCopies(store, look, signal), readDocuments(store, signal)]);
    return { store, identity, copies, documents };
  } catch (error) {
    if (error instanceof Unavailable) return error;
    throw error;
  }
}

function demandOneDatabase(locations: readonly Location[]): void {
  const [first, ...others] = locations.filter(({ identity }) => identity !== undefined);
  const databaseOf = ({ identity }: Location): string =>
    `${identity?.database.name ?? ""} (system identifier ${identity?.database.systemIdentifier ?? ""})`;
  const foreign = others.find((other) => first !== undefined && databaseOf(other) !== databaseOf(first));
  if (first === undefined || foreign === undefined) return;
  throw new UsageError(
    `store ${foreign.store.url} belongs to database ${databaseOf(foreign)}, and ${first.store.url} to ${databaseOf(first)}: expected copies of one`,
  );
}

/** Of addresses that were misspelt, nothing equals nothing. */
function demandAnyStore(read: readonly (Location | Unavailable)[]): void {
  const holds = ({ identity, copies }: Location): boolean => identity !== undefined || copies.size > 0;
  if (read.some((found) => found instanceof Unavailable || holds(found))) return;
  const urls = read.flatMap((found) => (found instanceof Unavailable ? [] : [found.store.url]));
  throw new UsageError(`found no store.json in ${urls.join(" and ")}: expected stores that hold backups`, {
    hint: "check the addresses; the first backup makes a store",
  });
}

async function compareBackups(
  locations: readonly Location[],
): Promise<{ equal: number; differences: readonly Difference[] }> {
  const names = [...new Set(locations.flatMap(({ copies }) => [...copies.keys()]))].sort(byBackupName);
  const differences: Difference[] = [];
  let equal = 0;
  for (const name of names) {
    const holders = locations.flatMap(({ store, copies }) => ({ store, copy: copies.get(name) }));
    const lacking = holders.some(({ copy }) => copy === undefined);
    if (lacking && (await expiresEverywhere(holders))) continue;
    const model = modelOf(locations, name);
    const found = holders.flatMap(({ store, copy }): Difference[] => {
      const fault = faultOf(copy, model);
      return fault === undefined ? [] : [{ store: store.url, object: name, ...fault }];
    });
    if (found.length === 0) equal += 1;
    differences.push(...found);
  }
  return { equal, differences };
}

/** The copy that the others are measured by, and from which a missing one is made: the first that is whole. */
export function modelOf(
  locations: readonly Location[],
  name: string,
): { readonly store: Store; readonly copy: BackupCopy } | undefined {
  for (const { store, copies } of locations) {
    const copy = copies.get(name);
    if (copy?.problem === null) return { store, copy };
  }
  return undefined;
}

function faultOf(
  copy: BackupCopy | undefined,
  model: ReturnType<typeof modelOf>,
): Pick<Difference, "kind" | "detail"> | undefined {
  if (copy === undefined)
    return { kind: "missing", detail: model === undefined ? "no other copy is whole" : `${model.store.url} has it` };
  if (copy.problem !== null) return { kind: "unreadable", detail: copy.problem };
  if (model === undefined || copy.manifestSha256 === model.copy.manifestSha256) return undefined;
  return { kind: "different", detail: `its manifest is not that in ${model.store.url}` };
}

async function expiresEverywhere(
  holders: readonly { readonly store: Store; readonly copy: BackupCopy | undefined }[],
): Promise<boolean> {
  for (const { store, copy } of holders) {
    if (copy === undefined) continue;
    const { tier, name } = copy.backup;
    if ((await store.removability(manifestKey(tier, name)))?.expiring === false) return false;
  }
  return true;
}

function documentsOf(locations: readonly Location[]): Difference[] {
  const keys = [...new Set(locations.flatMap(({ documents }) => [...documents.keys()]))].sort();
  return keys.flatMap((object) => {
    const first = locations.find(({ documents }) => documents.has(object));
    return locations.flatMap(({ store, documents }): Difference[] => {
      const found = documents.get(object);
      if (found === first?.documents.get(object)) return [];
      const where = first?.store.url ?? "";
      return found === undefined
        ? [{ store: store.url, object, kind: "missing", detail: `${where} has it` }]
        : [{ store: store.url, object, kind: "different", detail: `it is not that in ${where}` }];
    });
  });
}

function byBackupName(a: string, b: string): number {
  const [left = "", right = ""] = [a.split("/")[1], b.split("/")[1]];
  return left < right ? -1 : left > right ? 1 : a < b ? -1 : 1;
}
