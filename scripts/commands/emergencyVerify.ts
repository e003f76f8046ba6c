/** `db:emergency-verify`: after a restore over the live database: nothing of the backup is missing, the application answers. */
import type { Command } from "commander";
import { resolveBackup } from "../backup/manifest";
import { UsageError, exitCode } from "../contract/failure";
import { withConnection } from "../database/connect";
import { isSameDatabase, readIdentity } from "../database/identity";
import { type DatabaseTarget, targetFromEnvironment } from "../database/target";
import { verifyRestored } from "../incident/verifyRestored";
import { listRestores } from "../record/restoreEvents";
import { renderRestored } from "../report/restoredVerification";
import { readOperationSettings } from "../settings";
import type { Store } from "../store/store";
import type { CopiedBackup } from "../verification/scratchCopy";
import { channelsFor, tellMitigated } from "./communication";
import { newRunId } from "./gateContext";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .option("--backup <name>", "compare with this backup; default: the one that was restored last")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { backup?: string; settings?: string; json?: boolean }) => {
      const settings = readOperationSettings(options.settings);
      const store = storeFromEnvironment();
      const channels = channelsFor(store, options.settings);
      const live = targetFromEnvironment("DATABASE_URL");
      const result = await verifyRestored({
        ...{ store, live, settings },
        copyOf: await restoredBackup(store, live, options.backup),
        addresses: {
          appUrl: process.env["APP_URL"] || undefined,
          frontendUrl: process.env["FRONTEND_URL"] || undefined,
        },
        signal: interrupted,
        onProgress: progress,
      });
      printResult(options.json === true, result, renderRestored(result, "the restored database"));
      if (result.verdict === "pass") await tellMitigated(channels, "db:emergency-verify");
      process.exitCode = result.verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}

async function restoredBackup(store: Store, live: DatabaseTarget, named: string | undefined): Promise<CopiedBackup> {
  const runId = newRunId();
  if (named !== undefined) return { runId, backup: await resolveBackup(store, named), scratch: null };
  const identity = await withConnection(live, (client) => readIdentity(client, live));
  const last = (await listRestores(store)).findLast(({ database }) => isSameDatabase(database, identity));
  if (last !== undefined && last.backup !== null) return { runId, backup: last.backup, scratch: null };
  const found =
    last === undefined
      ? `${store.url} records no restore over ${identity.database}`
      : `${identity.database} was last restored from ${last.file ?? "a file"}, which has no fingerprint to compare with`;
  throw new UsageError(found, {
    hint: "name the backup to compare with: --backup <name>",
  });
}
