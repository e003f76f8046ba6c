/**
 * What lies below `backups/`, whole or not: the facts that a list shows and that retention decides by. Nothing found
 * there ends the reading: a manifest that cannot be read is a fact about its backup.
 */
import { encryptedSuffix } from "../backup/ageKeys";
import { listSuspects, storedManifestSchema } from "../backup/manifest";
import { Damage, messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";
import { readDocument } from "../store/documents";
import {
  type RetentionTier,
  backupTime,
  backupsPrefix,
  manifestKey,
  parseVerificationKey,
  retentionTiers,
  verificationsPrefix,
} from "../store/layout";
import type { Removability, Store } from "../store/store";
import { mapBounded } from "./mapBounded";

export interface StoredBackup {
  readonly tier: RetentionTier;
  readonly name: string;
  /** By the database's clock, as its name says. */
  readonly takenAt: Date;
  /** `incomplete`: no manifest, so it is no backup; `damaged`: the manifest cannot be read or is another backup's. */
  readonly state: "complete" | "incomplete" | "damaged";
  /** What is wrong with the manifest; null: nothing. */
  readonly problem: string | null;
  /** Of all its objects together. */
  readonly bytes: number;
  /** The manifest's key first, where there is one. */
  readonly keys: readonly string[];
  /** Rows at the snapshot; null where no manifest says so. */
  readonly rows: number | null;
  /** Size of the database then; null where no manifest says so. */
  readonly databaseBytes: number | null;
  /** Whether reading its rows needs an age identity. */
  readonly encrypted: boolean;
  /** The deepest verification that it passed; 0: none. */
  readonly depth: number;
  /** It may hold damage: taken after a release whose verification failed. */
  readonly suspect: boolean;
  /** Until when object lock keeps its manifest (or, without one, its first object); null: not locked. */
  readonly lockedUntil: Removability["lockedUntil"];
  /** Its removal was left to the bucket's lifecycle rule: as good as gone. */
  readonly expiring: boolean;
}

/** Manifests, and with them requests, under way at once. */
const readsInFlight = 8;

/**
 * All that lies below `backups/`, oldest first. What is no backup's file, by its key, is none of our business.
 *
 * @param options.control the store that holds marks and freezes. Default: `store`; of several stores the whole.
 */
export async function readInventory(
  store: Store,
  { control = store, signal }: { control?: Store; signal?: AbortSignal } = {},
): Promise<StoredBackup[]> {
  const [folders, depths, suspects] = await Promise.all([listFolders(store), readDepths(store), listSuspects(control)]);
  const backups = await mapBounded(folders, readsInFlight, async (folder): Promise<StoredBackup> => {
    signal?.throwIfAborted();
    const [manifest, removability] = await Promise.all([
      folder.hasManifest ? readManifestFacts(store, folder) : incomplete,
      store.removability(folder.keys[0]!),
    ]);
    const { hasManifest: _, ...identity } = folder;
    return {
      ...identity,
      encrypted: folder.keys.some((key) => key.endsWith(encryptedSuffix)),
      ...manifest,
      depth: depths.get(folder.name) ?? 0,
      suspect: suspects.has(folder.name),
      lockedUntil: removability?.lockedUntil ?? null,
      expiring: removability?.expiring ?? false,
    };
  });
  return backups.sort((a, b) => (a.name < b.name ? -1 : 1));
}

type Folder = Pick<StoredBackup, "tier" | "name" | "takenAt" | "bytes" | "keys"> & { readonly hasManifest: boolean };

async function listFolders(store: Store): Promise<Folder[]> {
  const folders = new Map<string, Folder>();
  for (const { key, bytes } of await store.list(backupsPrefix)) {
    const [, tierName, name = "", file] = key.split("/");
    const tier = retentionTiers.find((candidate) => candidate === tierName);
    const takenAt = backupTime(name);
    if (tier === undefined || takenAt === undefined || file === undefined) continue;
    const known = folders.get(`${tier}/${name}`);
    const isManifest = key === manifestKey(tier, name);
    const keys = known?.keys ?? [];
    folders.set(`${tier}/${name}`, {
      tier,
      name,
      takenAt,
      bytes: (known?.bytes ?? 0) + bytes,
      keys: isManifest ? [key, ...keys] : [...keys, key],
      hasManifest: isManifest || known?.hasManifest === true,
    });
  }
  return [...folders.values()];
}

type ManifestFacts = Pick<StoredBackup, "state" | "problem" | "rows" | "databaseBytes">;

const incomplete: ManifestFacts = { state: "incomplete", problem: null, rows: null, databaseBytes: null };

async function readManifestFacts(store: Store, { tier, name }: Folder): Promise<ManifestFacts> {
  try {
    const manifest = await readDocument(store, manifestKey(tier, name), storedManifestSchema);
    // Somebody removed it since it was listed.
    if (manifest === undefined) return incomplete;
    if (manifest.name !== name || manifest.tier !== tier)
      return { ...incomplete, state: "damaged", problem: `its manifest is that of ${manifest.tier}/${manifest.name}` };
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    return { state: "complete", problem: null, rows, databaseBytes: manifest.databaseBytes };
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    return { ...incomplete, state: "damaged", problem: redact(messageOf(error)) };
  }
}

/** By backup: the deepest verification; the keys say it, so that none has to be read. */
export async function readDepths(store: Store): Promise<ReadonlyMap<string, number>> {
  const depths = new Map<string, number>();
  for (const { key } of await store.list(verificationsPrefix)) {
    const found = parseVerificationKey(key);
    if (found !== undefined) depths.set(found.backup, Math.max(found.depth, depths.get(found.backup) ?? 0));
  }
  return depths;
}
