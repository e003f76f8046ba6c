/** The release step `migrations`: applies what is pending, each file with its row in the ledger. */
import { withConnection } from "../database/connect";
import type { DatabaseTarget } from "../database/target";
import { applyMigrations } from "../migrations/apply";
import { pendingMigrations } from "../migrations/pending";
import type { MigrationsSettings } from "../settings";

/** @returns one line for the release's record. */
export async function applyPendingMigrations(
  target: DatabaseTarget,
  settings: MigrationsSettings,
  onLine: (line: string) => void,
): Promise<string> {
  return withConnection(
    target,
    async (client) => {
      const { pending } = await pendingMigrations(client, settings.path);
      const { applied } = await applyMigrations(client, pending, {
        ...settings,
        onApplied: (name) => onLine(`applied ${name}`),
      });
      return applied.length === 0 ? "no pending migration" : `applied ${applied.join(", ")}`;
    },
    // The user's SQL runs as the user's tools would run it, not in our pinned session.
    "plain",
  );
}
