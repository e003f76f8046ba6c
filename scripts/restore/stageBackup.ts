/**
 * Brings a backup's archives near and checks all of them, before the first statement of a restore that cannot be
 * undone half-way: SHA-256, decryption, zstd's checksums. Nothing is decrypted on disk.
 */
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Manifest, fileKey } from "../backup/manifest";
import { startProgress } from "../backup/progress";
import { UsageError } from "../contract/failure";
import { FileStore } from "../store/fileStore";
import type { Store } from "../store/store";
import { readWhole } from "./readArchive";
import { isRestored } from "./restoreArchives";

export interface StagedBackup {
  /** Where the archives are to be read from. */
  readonly store: Store;
  /** For whatever else has to lie on disk; gone with `close`. */
  readonly folder: string;
  close(): Promise<void>;
}

/**
 * A store that is a folder is read where it is.
 *
 * @throws Damage when an archive differs from the manifest; UsageError when the disk cannot hold the archives.
 */
export async function stageBackup(
  store: Store,
  manifest: Manifest,
  options: { signal?: AbortSignal; onProgress?: (line: string) => void } = {},
): Promise<StagedBackup> {
  const { signal, onProgress } = options;
  const archives = manifest.archives.filter(isRestored);
  const bytes = archives.reduce((sum, archive) => sum + archive.bytes, 0);
  const folder = await mkdtemp(join(tmpdir(), "dbprotect-restore-"));
  const close = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const progress = startProgress("archives checked", bytes, onProgress);
  try {
    const near = store instanceof FileStore ? store : new FileStore(join(folder, "store"));
    if (near !== store) await demandRoom(folder, bytes);
    for (const archive of archives) {
      signal?.throwIfAborted();
      const key = fileKey(manifest, archive.file);
      if (near !== store) await near.create(key, await store.read(key), signal);
      await readWhole({ store: near, backup: manifest, archive, ...(signal === undefined ? {} : { signal }) });
      progress.add(archive.bytes);
    }
    onProgress?.(`${archives.length} archives checked: ${(bytes / 1e6).toFixed(1)} MB`);
    return { store: near, folder, close };
  } catch (error) {
    await close();
    throw error;
  } finally {
    progress.end();
  }
}

/** @throws UsageError when the disk of `folder` cannot hold so many bytes of archives or of a dump. */
export async function demandRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize > bytes) return;
  throw new UsageError(
    `${pathToFileURL(folder).href} has ${(bavail * bsize) / 1e6} MB free: what is restored needs ${bytes / 1e6} MB`,
    { hint: "point TMPDIR at a larger disk" },
  );
}
