/**
 * Restores a backup beside the live database: into a new database on the same server, which bears its final name
 * only once it was compared with the backup's fingerprint.
 */
import { Refusal } from "../contract/failure";
import type { DatabaseTarget } from "../database/target";
import type { Manifest } from "../backup/manifest";
import type { Store } from "../store/store";
import { type NewDatabase, makeBeside } from "./besideDatabase";
import { readFingerprint } from "./compareCopy";
import { withSuffix } from "./databaseNames";
import { restoreAndCompare } from "./restoreAndCompare";

export interface RestoreBesideOptions extends Omit<NewDatabase, "like" | "mark"> {
  readonly store: Store;
  readonly manifest: Manifest;
  readonly signal?: AbortSignal;
}

export interface RestoredBeside {
  readonly database: string;
  readonly tables: number;
  readonly rows: number;
  readonly notes: readonly string[];
}

/** `crm_restored_20261122_170212`. */
export function besideName(live: string, backupName: string): string {
  return withSuffix(live, `_restored_${backupName.replace(/^backup_/, "")}`);
}

/** The comment of a proven copy. */
export function provenMark({ name }: Pick<Manifest, "name">): string {
  return `dbprotect: restored from ${name} and equal to it`;
}

/**
 * Roles that the server lacks are created, and stay.
 *
 * @throws Refusal when the copy differs; what `restoreBackup` and `makeBeside` throw.
 */
export async function restoreBeside(options: RestoreBesideOptions): Promise<RestoredBeside> {
  const { manifest } = options;
  const { filled, notes } = await makeBeside({ ...options, like: manifest, mark: provenMark(manifest) }, (target) =>
    fillAndProve(options, target),
  );
  return { database: options.database, ...filled, notes };
}

async function fillAndProve(
  options: RestoreBesideOptions,
  target: DatabaseTarget,
): Promise<{ tables: number; rows: number }> {
  const fingerprint = await readFingerprint(options.store, options.manifest);
  const differences = await restoreAndCompare({ ...options, target }, fingerprint);
  options.signal?.throwIfAborted();
  if (differences.length > 0) {
    throw new Refusal(`the restored copy of ${options.manifest.name} differs from the backup: ${differences[0]}`, {
      details: differences,
    });
  }
  return {
    tables: fingerprint.tables.length,
    rows: fingerprint.tables.reduce((sum, table) => sum + table.rows, 0),
  };
}
