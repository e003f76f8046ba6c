/** Both verdicts on the pending migrations, without a gate: the static one, and a trial on a stored backup. */
import { type BackupReference, readManifest } from "../backup/manifest";
import { UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { describeIdentity, isSameDatabase, readIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import type { Trial } from "../record/trial";
import { readFingerprint } from "../restore/compareCopy";
import { closeScratch } from "../scratch/scratchServer";
import type { MigrationsSettings } from "../settings";
import type { Store } from "../store/store";
import { verifyBackup } from "../verification/verifyBackup";
import { type Judgement, liveCatalog } from "./judge";
import { pendingMigrations } from "./pending";
import { judgeTwice } from "./secondOpinion";
import { tryMigrations } from "./trial";

export interface TryOnBackupOptions {
  readonly store: Store;
  readonly backup: BackupReference;
  readonly live: DatabaseTarget;
  readonly settings: MigrationsSettings;
  readonly runId: string;
  /** When the scratch server ends, should this process be killed. */
  readonly until: Date;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

export interface Verdicts {
  /** `refused` when either judge says so. Overrides of the stack's config are the gate's. */
  readonly verdict: "pass" | "refused";
  readonly pending: readonly string[];
  readonly judgement: Judgement;
  /** Null: nothing is pending, so nothing was restored. */
  readonly trial: Trial | null;
}

/**
 * Restores the backup and compares it (which verifies it), tries the pending migrations on a copy of that, and ends the
 * scratch server.
 *
 * @throws UsageError when the backup is of another database; what `verifyBackup` and `tryMigrations` throw.
 */
export async function tryOnBackup(options: TryOnBackupOptions): Promise<Verdicts> {
  const { store, backup, live, settings, runId, signal, onProgress } = options;
  const manifest = await readManifest(store, backup);
  const { pending, judgement } = await withConnection(live, async (client) => {
    const identity = await readIdentity(client, live);
    if (!isSameDatabase(manifest.database, identity)) {
      throw new UsageError(
        `${live.source}: found ${describeIdentity(identity)}: expected the database that ${backup.name} is of`,
      );
    }
    const { pending } = await pendingMigrations(client, settings);
    return { pending, judgement: await judgeTwice(pending, await liveCatalog(client)) };
  });
  const files = pending.map(({ file }) => file);
  if (pending.length === 0) return { verdict: judgement.verdict, pending: files, judgement, trial: null };
  const { scratch } = await verifyBackup({
    ...{ store, backup, depth: 4, runId, keepScratchUntil: options.until, signal, onProgress },
  });
  if (scratch === undefined) throw new Error("a backup verified at depth 4 leaves its restored copy");
  try {
    onProgress(`trying ${pending.length} file(s) on a copy of ${backup.name}`);
    const trial = await tryMigrations({
      ...{ scratch: scratch.place, manifest, live, pending, judged: judgement.findings, signal },
      fingerprint: await readFingerprint(store, manifest),
      lockTimeoutSeconds: settings.lockTimeoutSeconds,
    });
    const passes = judgement.verdict === "pass" && trial.findings.length === 0;
    return { verdict: passes ? "pass" : "refused", pending: files, judgement, trial };
  } finally {
    await closeScratch(scratch.place);
  }
}
