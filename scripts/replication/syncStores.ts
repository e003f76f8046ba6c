/**
 * Gives every store what another one has: backups, marks, accepted environments, verifications. A backup's manifest is
 * written last, and every byte is hashed on its way, so that nothing half-copied or damaged ever looks whole.
 */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { type Manifest, fileKey } from "../backup/manifest";
import { Damage, Unavailable } from "../contract/failure";
import { chunksOf } from "../store/chunks";
import { encodeDocument } from "../store/documents";
import {
  backupPrefix,
  manifestKey,
  parseVerificationKey,
  storeIdentityKey,
  verificationsPrefix,
} from "../store/layout";
import { AlreadyExists, type Store, readBytes } from "../store/store";
import type { StoreIdentity } from "../store/storeIdentity";
import { type Comparison, type Location, modelOf } from "./compareStores";
import { type NamedFile, filesOf, nameOf, sha256In } from "./copies";

/** A backup that `to` lacks, or of which it lacks files. */
export interface BackupTransfer {
  readonly from: Store;
  readonly to: Store;
  readonly manifest: Manifest;
  readonly manifestSha256: string;
  /** What has to be written; the manifest comes in addition, last. */
  readonly files: readonly NamedFile[];
  /** What lies there already, under a manifest's name, left by a run that was killed: checked before it counts. */
  readonly present: readonly NamedFile[];
}

export interface DocumentTransfer {
  readonly from: Store;
  readonly to: Store;
  readonly key: string;
}

export interface SyncPlan {
  /** Oldest first: what is broken off leaves the newest for the next run, and no gap between. */
  readonly backups: readonly BackupTransfer[];
  readonly documents: readonly DocumentTransfer[];
  /** What nobody has claimed yet. */
  readonly unclaimed: readonly { readonly store: Store; readonly identity: StoreIdentity }[];
}

export interface SyncOptions {
  /** Whether what was written is read back before the manifest follows: no answer of a server proves what it keeps. Default true. */
  readonly readBack?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

/** Reads only. What is different or unreadable stays as it is: nothing in a store is ever replaced. */
export async function planSync(comparison: Comparison): Promise<SyncPlan> {
  const { locations } = comparison;
  const identity = locations.find((location) => location.identity !== undefined)?.identity;
  const lacking = comparison.differences.filter(({ kind }) => kind !== "different");
  const backups: BackupTransfer[] = [];
  const documents: DocumentTransfer[] = [];
  for (const { store: url, object } of lacking) {
    const to = locations.find(({ store }) => store.url === url)!;
    const from = locations.find((each) => each.documents.has(object));
    if (from !== undefined) documents.push({ from: from.store, to: to.store, key: object });
    else backups.push(...(await transfersOf(locations, to, object)));
  }
  return {
    backups,
    documents: [...documents, ...(await missingVerifications(locations, backups))],
    unclaimed:
      identity === undefined
        ? []
        : locations.filter((each) => each.identity === undefined).map(({ store }) => ({ store, identity })),
  };
}

/** None where no whole copy exists, or where what lies at `to` is damaged and cannot be made whole by adding to it. */
async function transfersOf(locations: readonly Location[], to: Location, name: string): Promise<BackupTransfer[]> {
  const model = modelOf(locations, name);
  const manifest = model?.copy.manifest;
  const own = to.copies.get(name);
  if (model === undefined || !manifest || (own !== undefined && own.manifestSha256 !== model.copy.manifestSha256))
    return [];
  const stored = new Set((await to.store.list(backupPrefix(manifest.tier, manifest.name))).map(({ key }) => key));
  const isThere = ({ file }: NamedFile): boolean => stored.has(fileKey(manifest, file));
  const files = filesOf(manifest).filter((file) => !isThere(file));
  // A manifest is there and so are all files, but one of them is not what it should be: nothing can be added.
  if (own !== undefined && files.length === 0) return [];
  const { manifestSha256 } = model.copy;
  return [
    { from: model.store, to: to.store, manifest, manifestSha256, files, present: filesOf(manifest).filter(isThere) },
  ];
}

/** A verification speaks of bytes: it holds for an equal copy too, and without it retention counts that as unverified. */
async function missingVerifications(
  locations: readonly Location[],
  coming: readonly BackupTransfer[],
): Promise<DocumentTransfer[]> {
  const listed = await Promise.all(
    locations.map(async ({ store, copies }) => {
      const keys = (await store.list(verificationsPrefix)).map(({ key }) => key);
      const whole = [...copies.values()].filter(({ problem }) => problem === null);
      return { store, keys, manifests: new Map(whole.map((copy) => [copy.backup.name, copy.manifestSha256])) };
    }),
  );
  return listed.flatMap((to) => {
    const known = new Set(to.keys);
    const arriving = coming.filter((transfer) => transfer.to === to.store);
    const held = new Map([
      ...to.manifests,
      ...arriving.map(({ manifest, manifestSha256 }): [string, string] => [manifest.name, manifestSha256]),
    ]);
    return listed.flatMap((from) =>
      from.keys.flatMap((key): DocumentTransfer[] => {
        const backup = parseVerificationKey(key)?.backup ?? "";
        const sha256 = from.manifests.get(backup);
        if (known.has(key) || sha256 === undefined || held.get(backup) !== sha256) return [];
        known.add(key);
        return [{ from: from.store, to: to.store, key }];
      }),
    );
  });
}

/** Bytes that will be written, manifests and documents aside. */
export function bytesOf({ backups }: SyncPlan): number {
  return backups.flatMap(({ files }) => files).reduce((sum, { bytes }) => sum + bytes, 0);
}

/**
 * Killed at any moment it leaves files without a manifest at most; the next run takes them up.
 *
 * @throws Damage, once everything else is copied, when a source no longer has its checksum, a target does not give back
 *   what it took, or a file that was left in it is another one; Unavailable when a store cannot be read or written. What was copied before stays.
 */
export async function syncStores(plan: SyncPlan, options: SyncOptions = {}): Promise<void> {
  for (const { store, identity } of plan.unclaimed)
    await createOnce(store, storeIdentityKey, encodeDocument(identity), options);
  const damaged = new Map<string, Damage>();
  for (const transfer of plan.backups) {
    try {
      await copyBackup(transfer, options);
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      damaged.set(transfer.manifest.name, error);
      options.onProgress?.(error.message);
    }
  }
  // After the backups: a verification must not speak of what is not there.
  for (const { from, to, key } of plan.documents) {
    options.signal?.throwIfAborted();
    if (damaged.has(parseVerificationKey(key)?.backup ?? "")) continue;
    await createOnce(to, key, await readBytes(from, key), options);
  }
  const [first] = damaged.values();
  if (damaged.size > 1) {
    const names = [...damaged.keys()].join(", ");
    throw new Damage(`${damaged.size} backups were not copied (${names}); the first: ${first!.message}`);
  }
  if (first !== undefined) throw first;
}

async function copyBackup({ from, to, manifest, files, present }: BackupTransfer, options: SyncOptions): Promise<void> {
  const { signal, onProgress, readBack = true } = options;
  const started = performance.now();
  for (const file of present) await demandSame(to, manifest, file, signal);
  for (const file of files) {
    signal?.throwIfAborted();
    const key = fileKey(manifest, file.file);
    try {
      await to.create(key, hashed(from, key, file, signal), signal);
    } catch (error) {
      if (!(error instanceof AlreadyExists)) throw error;
      // Somebody else copies the same: what counts is what lies there.
      await demandSame(to, manifest, file, signal);
      continue;
    }
    if (readBack && (await sha256In(to, key, signal)) !== file.sha256) throw notKept(to, key);
  }
  const key = manifestKey(manifest.tier, manifest.name);
  await createOnce(to, key, await readBytes(from, key), options);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const seconds = (performance.now() - started) / 1000;
  const how = readBack ? " and read back" : "";
  onProgress?.(`${nameOf(manifest)} to ${to.url}: ${(bytes / 1e6).toFixed(1)} MB${how} in ${seconds.toFixed(1)} s`);
}

/**
 * The object's bytes as they come; they end in an error when they were others than the manifest says. Opened at the
 * first read: a generator that nobody ever read has nothing to close.
 */
function hashed(store: Store, key: string, expected: NamedFile, signal: AbortSignal | undefined): Readable {
  return Readable.from(
    (async function* () {
      const hash = createHash("sha256");
      for await (const chunk of chunksOf(await store.read(key), signal)) {
        hash.update(chunk);
        yield chunk;
      }
      if (hash.digest("hex") !== expected.sha256)
        throw new Damage(`${store.url}/${key} does not have its checksum: not copied`);
    })(),
    { objectMode: false },
  );
}

async function demandSame(
  store: Store,
  manifest: Manifest,
  { file, sha256 }: NamedFile,
  signal: AbortSignal | undefined,
): Promise<void> {
  const key = fileKey(manifest, file);
  if ((await sha256In(store, key, signal)) === sha256) return;
  throw new Damage(
    `${store.url}/${key} is another file than the backup's: ${nameOf(manifest)} cannot be made whole there`,
    {
      hint: "nothing is ever replaced: remove that object, then synchronise again",
    },
  );
}

function notKept(store: Store, key: string): Damage {
  return new Damage(`${store.url} took ${key} and gives back other bytes: it keeps no backups`, {
    hint: "nothing was made visible there; remove that object, and find out what stands between you and that store",
  });
}

/** One that is there already has to be the same. */
async function createOnce(
  store: Store,
  key: string,
  body: Buffer,
  { signal, readBack = true }: SyncOptions,
): Promise<void> {
  try {
    await store.create(key, body, signal);
    if (readBack && !(await readBytes(store, key)).equals(body)) throw notKept(store, key);
  } catch (error) {
    if (!(error instanceof AlreadyExists)) throw error;
    if ((await readBytes(store, key)).equals(body)) return;
    throw new Unavailable(`${store.url}/${key} was written by somebody else meanwhile`, {
      hint: "run the same again",
    });
  }
}
