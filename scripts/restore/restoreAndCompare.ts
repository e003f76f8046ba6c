/** Restores a backup into an empty database and says how the copy differs from the fingerprint that the backup recorded. */
import type { Fingerprint, TableFingerprint } from "../fingerprint/fingerprint";
import { compareCopy } from "./compareCopy";
import { type RestoreOptions, restoreBackup } from "./restoreBackup";
import { findRestoredRows } from "./restoredRows";

/**
 * @returns lines that name each difference; none: the copy equals the snapshot that was dumped.
 * @throws what `restoreBackup` throws.
 */
export async function restoreAndCompare(
  options: Omit<RestoreOptions, "meanwhile">,
  original: Fingerprint,
): Promise<string[]> {
  let early: readonly TableFingerprint[] = [];
  await restoreBackup({
    ...options,
    meanwhile: async (how) => {
      // What cannot be read yet is read in the end; then its failure counts.
      early = await findRestoredRows(original, options.target, how).catch(() => []);
    },
  });
  return compareCopy(original, options.target, { ...options, early });
}
