/** Whether the other stores hold a backup as the first one does: every object read back, its SHA-256 compared. */
import { type Manifest, fileKey } from "../backup/manifest";
import { Damage, UsageError } from "../contract/failure";
import { filesOf, sha256In } from "../replication/copies";
import { sha256Of } from "../store/documents";
import { manifestKey } from "../store/layout";
import { storesOf } from "../store/replicatedStore";
import { NotFound, type Store, readBytes } from "../store/store";

/**
 * Reads nothing from the first store but the manifest.
 *
 * @param options `elsewhere`: those that are read back; default: the others of `store`.
 * @returns a line for each other store.
 * @throws UsageError when there is none; Damage when one lacks an object or holds another; Unavailable.
 */
export async function readBackElsewhere(
  options: {
    readonly store: Store;
    readonly elsewhere?: readonly Store[];
    readonly signal?: AbortSignal;
    readonly onProgress?: (line: string) => void;
  },
  manifest: Manifest,
): Promise<string[]> {
  const [first, ...rest] = storesOf(options.store);
  const others = options.elsewhere ?? rest;
  if (first === undefined || others.length === 0)
    throw new UsageError("depth 5: found one store, expected a second one from which the backup is read back", {
      hint: "name several in BACKUP_STORE, with a space between them, or verify to depth 4",
    });
  const own = manifestKey(manifest.tier, manifest.name);
  const expected = new Map([[own, sha256Of(await readBytes(first, own))]]);
  for (const { file, sha256 } of filesOf(manifest)) expected.set(fileKey(manifest, file), sha256);
  const lines: string[] = [];
  for (const store of others) {
    for (const [key, sha256] of expected) {
      if ((await sha256There(store, key, options.signal)) === sha256) continue;
      throw new Damage(`${store.url}/${key} is damaged: its SHA-256 is not that of the object in ${first.url}`);
    }
    lines.push(`${store.url} holds the same ${expected.size} objects, read back`);
    options.onProgress?.(lines.at(-1)!);
  }
  return lines;
}

async function sha256There(store: Store, key: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    return await sha256In(store, key, signal);
  } catch (error) {
    if (!(error instanceof NotFound)) throw error;
    throw new Damage(`${store.url}/${key} is missing there, though the first store holds it`, { cause: error });
  }
}
