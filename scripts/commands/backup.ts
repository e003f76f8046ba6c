/** `db:backup` and `db:backup:pre-deploy`: take a backup, then verify it to a depth. */
import { type Command, Option } from "commander";
import { demandIdentity, readRecipients } from "../backup/ageKeys";
import { withConnection } from "../database/connect";
import { readClock } from "../database/clock";
import { readIdentity } from "../database/identity";
import { type DatabaseTarget, targetFromEnvironment } from "../database/target";
import { backupMetrics, tellMetrics } from "../monitoring/runMetrics";
import { chooseScheduledTier } from "../retention/scheduledTier";
import type { RetentionTier } from "../store/layout";
import type { Store } from "../store/store";
import { claimStore } from "../store/storeIdentity";
import { takeVerifiedBackup } from "../verification/takeVerifiedBackup";
import type { Depth } from "../verification/verificationResult";
import { parseDepthOfBackup } from "./depth";
import { newRunId } from "./gateContext";
import { parseJobs } from "./jobs";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface BackupCommandOptions {
  readonly tier: "manual" | "predeploy" | "scheduled";
  readonly depth: Depth;
  readonly jobs?: number;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .addOption(
      new Option("--tier <tier>", "what retention promises it")
        .choices(["manual", "predeploy", "scheduled"])
        .default("manual"),
    )
    .option("--depth <depth>", "how deep to verify it, 1 to 4; only 4 restores it", parseDepthOfBackup, 4)
    .option(
      "--jobs <number>",
      "archives of rows that are written, and restored, at the same time, 1 to 64; default: by cores and connections",
      parseJobs,
    )
    .option("--json", "one JSON document on stdout")
    .action(async (options: BackupCommandOptions) => {
      const target = targetFromEnvironment("DATABASE_URL");
      if (options.depth > 1)
        await demandIdentity(await readRecipients(), `at depth ${options.depth} the encrypted backup is read back`);
      const store = storeFromEnvironment();
      const identity = await withConnection(target, (client) => readIdentity(client, target));
      await claimStore(store, { systemIdentifier: identity.systemIdentifier, name: identity.database });
      const run = { store, runId: newRunId(), signal: interrupted, onProgress: progress };
      const tier = options.tier === "scheduled" ? await tierOfSchedule(store, target) : options.tier;
      const { depth, jobs } = options;
      const { reference, manifest, verification } = await takeVerifiedBackup({
        ...{ ...run, target, tier, depth },
        ...(jobs === undefined ? {} : { jobs }),
      }).catch(async (error: unknown) => {
        await tellMetrics(backupMetrics(undefined), progress, interrupted);
        throw error;
      });
      for (const { what, why } of manifest.notRestored) progress(`not in a restore: ${what}: ${why}`);
      const bytes = manifest.archives.reduce((sum, archive) => sum + archive.bytes, 0);
      const how = verification.depth === 4 ? "verified: restored and equal to the snapshot" : "not restored";
      printResult(
        options.json === true,
        {
          backup: reference,
          store: store.url,
          bytes,
          notRestored: manifest.notRestored,
          verification,
          warnings: store.warnings,
        },
        `${reference.name} (${reference.tier}) in ${store.url}: ${verification.rows} rows of ${verification.tables} tables in ${(bytes / 1e6).toFixed(1)} MB, depth ${verification.depth} (${how})`,
      );
      await tellMetrics(backupMetrics({ ...verification, bytes }), progress, interrupted);
    });
}

/** By the database's clock, which also names the backups. */
async function tierOfSchedule(store: Store, target: DatabaseTarget): Promise<RetentionTier> {
  const now = await withConnection(target, (client) => readClock(client));
  return chooseScheduledTier(store, now);
}
