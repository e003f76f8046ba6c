/** Which migrations of a folder the database has not seen yet, told by its ledger. */
import type { ClientBase } from "pg";
import { appliedVersions } from "./ledger";
import { type Migration, readMigrations } from "./sources";

export interface PendingMigrations {
  /** Not in the ledger, in the order in which they are applied. */
  readonly pending: readonly Migration[];
  /** Those of `pending` that are older than the newest applied one: written later, or merged late. */
  readonly outOfOrder: readonly Migration[];
  /** Versions of the ledger that have no file: the folder is not the one that this database was built from. */
  readonly unknownApplied: readonly string[];
  /** `.sql` files whose names are not `<version>_<name>.sql`: never applied. */
  readonly skipped: readonly string[];
}

/**
 * Compares `folder` with the ledger; reads only.
 *
 * @throws UsageError as `readMigrations` does.
 */
export async function pendingMigrations(client: ClientBase, folder: string): Promise<PendingMigrations> {
  const { migrations, skipped } = await readMigrations(folder);
  const applied = await appliedVersions(client);
  const known = new Set(migrations.map((migration) => migration.version));
  const pending = migrations.filter((migration) => !applied.includes(migration.version));
  const newest = applied.at(-1) ?? "";
  return {
    pending,
    outOfOrder: pending.filter((migration) => migration.version < newest),
    unknownApplied: applied.filter((version) => !known.has(version)),
    skipped,
  };
}
