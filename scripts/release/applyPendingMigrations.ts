/** The release step `migrations`: applies what the gate judged and nothing else, each file with its row in the ledger. */
import type { ClientBase } from "pg";
import { Refusal } from "../contract/failure";
import { withConnection } from "../database/connect";
import type { DatabaseTarget } from "../database/target";
import { applyMigrations } from "../migrations/apply";
import { pendingMigrations } from "../migrations/pending";
import type { Migration } from "../migrations/sources";
import type { Receipt } from "../record/receipt";
import type { MigrationsSettings } from "../settings";
import { runDeployCommand } from "./deployCommand";

export interface PendingApplication extends MigrationsSettings {
  /** What the receipt names. */
  readonly judged: Receipt["migrations"];
  readonly signal: AbortSignal;
  readonly onLine: (line: string) => void;
}

/**
 * @returns one line for the release's record.
 * @throws Refusal, before the first statement, when a pending file is not as the gate judged it.
 */
export async function applyPendingMigrations(target: DatabaseTarget, options: PendingApplication): Promise<string> {
  const { command, lockTimeoutSeconds, statementTimeoutSeconds, lockRetries, signal, onLine } = options;
  if (command !== undefined) return applyByCommand(target, command, options);
  return withConnection(
    target,
    async (client) => {
      const { applied } = await applyMigrations(client, await judgedPending(client, options), {
        ...{ lockTimeoutSeconds, statementTimeoutSeconds, lockRetries, signal },
        onRetry: onLine,
        onApplied: (name) => onLine(`applied ${name}`),
      });
      return applied.length === 0 ? "no pending migration" : `applied ${applied.join(", ")}`;
    },
    // The user's SQL runs as the user's tools would run it, not in our pinned session.
    "plain",
  );
}

/** The tool applies them and keeps its ledger; that ledger then says whether it did. */
async function applyByCommand(target: DatabaseTarget, command: string, options: PendingApplication): Promise<string> {
  const { signal, onLine } = options;
  const before = await withConnection(target, (client) => judgedPending(client, options));
  if (before.length === 0) return "no pending migration";
  await runDeployCommand({ command, timeoutSeconds: commandSeconds }, { signal, onLine });
  const left = await withConnection(target, (client) => judgedPending(client, options));
  if (left.length === 0) return `applied ${before.map(({ file }) => file).join(", ")}`;
  throw new Refusal(`${command}: succeeded, but its ledger lacks ${left.map(({ file }) => file).join(", ")}`, {
    hint: "does it apply the folder of migrations.path to the database of DATABASE_URL?",
  });
}

/** The longest that a migration is thought to take: what the lease is extended by. */
const commandSeconds = 4 * 3600;

/**
 * What is pending, in order; reads only. A checkout or an editor may change the folder while the gate runs, which can
 * take hours.
 *
 * @throws Refusal when a file is not as the gate judged it.
 */
export async function judgedPending(
  client: ClientBase,
  { judged, ...configured }: Pick<PendingApplication, "path" | "tool" | "judged">,
): Promise<readonly Migration[]> {
  const { pending } = await pendingMigrations(client, configured);
  const known = new Map(judged.map(({ file, sha256 }) => [file, sha256]));
  const unjudged = pending.filter(({ file, sha256 }) => known.get(file) !== sha256);
  const first = unjudged[0];
  if (first === undefined) return pending;
  const what = known.has(first.file) ? "was changed after the gate judged it" : "was added after the gate";
  throw new Refusal(`${first.file} ${what}: nothing was applied`, {
    hint: "run the gate again, on the files that are to be released",
    details: unjudged.map(({ file }) => file),
  });
}
