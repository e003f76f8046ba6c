/** Whether another location holds a backup as this one does: every object read back there, or verified there before. */
import { type Manifest, fileKey } from "../backup/manifest";
import { Damage, UsageError } from "../contract/failure";
import { filesOf, sha256In } from "../replication/copies";
import { readDocument } from "../store/documents";
import { manifestKey, parseVerificationKey, verificationsPrefix } from "../store/layout";
import { storesOf } from "../store/replicatedStore";
import { NotFound, type Store } from "../store/store";
import { verificationResultSchema } from "./verificationResult";

/** Where else a backup lies, or lay. */
export interface ElsewhereOptions {
  readonly store: Store;
  /** Those that are read back; default: the others of `store`. */
  readonly elsewhere?: readonly Store[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

/**
 * Another location that can be asked is read back whole. With none, as for a task that has rights on one location alone,
 * a verification of another one counts that was copied to here, or written to both: it read every byte there, of a backup
 * whose manifest, and with it the SHA-256 of every object, is the one here. The line says that this was then.
 *
 * @returns a line for each other location.
 * @throws UsageError when neither is there; Damage when a store lacks an object or holds another; Unavailable.
 */
export async function proveElsewhere(
  options: ElsewhereOptions,
  manifest: Manifest,
  manifestSha256: string,
): Promise<string[]> {
  const others = options.elsewhere ?? storesOf(options.store).slice(1);
  if (others.length > 0) return readBackElsewhere(options, others, manifest, manifestSha256);
  const recorded = await recordedElsewhere(options.store, manifest.name, manifestSha256);
  if (recorded.length > 0) return [...recorded];
  throw new UsageError(
    `depth 5: found one store, and no verification of ${manifest.name} in another: expected a second one from which it is read back`,
    { hint: "name several in BACKUP_STORE, with a space between them, or verify to depth 4" },
  );
}

/**
 * What verifications that lie in this store say of other locations that held the same bytes.
 *
 * @returns a line for each location, of its newest one.
 */
export async function recordedElsewhere(
  store: Store,
  backup: string,
  manifestSha256: string,
): Promise<readonly string[]> {
  const keys = (await store.list(`${verificationsPrefix}${backup}/`)).map(({ key }) => key);
  // Below depth 3 not every byte was read.
  const deep = keys.filter((key) => (parseVerificationKey(key)?.depth ?? 0) >= 3);
  const found = await Promise.all(deep.map((key) => readDocument(store, key, verificationResultSchema)));
  const own = storesOf(store).map(({ url }) => url);
  const lines = new Map<string, string>();
  for (const verification of found) {
    const where = verification?.store ?? null;
    if (where === null || own.includes(where) || verification?.manifestSha256 !== manifestSha256) continue;
    lines.set(where, `${where} held the same bytes at ${verification.at}, as its verification says; not read now`);
  }
  return [...lines.values()];
}

async function readBackElsewhere(
  options: ElsewhereOptions,
  others: readonly Store[],
  manifest: Manifest,
  manifestSha256: string,
): Promise<string[]> {
  const first = storesOf(options.store)[0] ?? options.store;
  const expected = new Map([[manifestKey(manifest.tier, manifest.name), manifestSha256]]);
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
