/** Which migrations of a folder the database has not seen yet, told by its ledger. */
import type { ClientBase } from "pg";
import type { MigrationsSettings } from "../settings";
import { appliedVersions } from "./ledger";
import { type Migration, readMigrations } from "./sources";
import { readToolFolder } from "./toolFolders";
import { appliedByTool } from "./toolLedgers";

export interface PendingMigrations {
  /** Not in the ledger, in the order in which they are applied. */
  readonly pending: readonly Migration[];
  /** Those of `pending` that are older than the newest applied one: written later, or merged late. */
  readonly outOfOrder: readonly Migration[];
  /** Versions of the ledger that have no file: the folder is not the one that this database was built from. */
  readonly unknownApplied: readonly string[];
  /** `.sql` files whose names the tool does not know: never applied. */
  readonly skipped: readonly string[];
}

/**
 * Compares the folder with the tool's ledger; reads only.
 *
 * @throws UsageError as `readMigrations` and `readToolFolder` do.
 */
export async function pendingMigrations(
  client: ClientBase,
  { path, tool }: Pick<MigrationsSettings, "path" | "tool">,
): Promise<PendingMigrations> {
  const { migrations, skipped } = tool === "supabase" ? await readMigrations(path) : await readToolFolder(tool, path);
  const applied = tool === "supabase" ? await appliedVersions(client) : await appliedByTool(client, tool, migrations);
  const known = new Set(migrations.map((migration) => migration.version));
  const pending = migrations.filter((migration) => !applied.includes(migration.version));
  const newest = applied.at(-1) ?? "";
  const last = migrations.findLastIndex(({ version }) => applied.includes(version));
  const isLate = (migration: Migration): boolean =>
    tool === "supabase" ? migration.version < newest : migrations.indexOf(migration) < last;
  return {
    pending,
    outOfOrder: pending.filter(isLate),
    // A repeatable file that changed is the same file.
    unknownApplied: applied.filter((version) => !known.has(version) && !version.includes("#")),
    skipped,
  };
}
