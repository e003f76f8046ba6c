/**
 * Which backup a gate may take instead of a new one (`gate.backup: reuse`). It must bring back what is live now: verified,
 * young, and taken after whatever was released last.
 */
import { type BackupReference, type Manifest, listBackups, listSuspects, readManifest } from "../backup/manifest";
import { clockTolerance, readClock } from "../database/clock";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, isSameDatabase } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import { newestEventTime } from "../record/releaseEvents";
import { readDepths } from "../retention/inventory";
import type { GateSettings } from "../settings";
import { backupTime } from "../store/layout";
import type { Store } from "../store/store";

export interface ReusableBackup {
  readonly reference: BackupReference;
  readonly manifest: Manifest;
  readonly ageSeconds: number;
}

/** Or why there is none, for people. */
export type Reusable = ReusableBackup | { readonly reference: undefined; readonly why: string };

/** @throws Damage when the backup's manifest cannot be read. */
export async function findReusableBackup(
  { store, target, settings }: { store: Store; target: DatabaseTarget; settings: GateSettings },
  identity: DatabaseIdentity,
): Promise<Reusable> {
  const none = (why: string): Reusable => ({ reference: undefined, why });
  const [backups, depths, suspects] = await Promise.all([listBackups(store), readDepths(store), listSuspects(store)]);
  const reference = backups.findLast(({ name }) => (depths.get(name) ?? 0) >= 4 && !suspects.has(name));
  const takenAt = reference === undefined ? undefined : backupTime(reference.name);
  if (reference === undefined || takenAt === undefined) return none("there is no verified one");
  const now = await withConnection(target, (client) => readClock(client));
  const ageSeconds = (now.getTime() - takenAt.getTime()) / 1000;
  if (ageSeconds > settings.reuseMinutes * 60)
    return none(
      `${reference.name} is ${Math.floor(ageSeconds / 60)} minutes old, at most ${settings.reuseMinutes} may be`,
    );
  const released = await newestEventTime(store);
  if (released !== undefined && takenAt.getTime() < released.getTime() + clockTolerance * 1000)
    return none(`${reference.name} is from before the end of the last release`);
  const manifest = await readManifest(store, reference);
  if (!isSameDatabase(manifest.database, identity)) return none(`${reference.name} is of another database`);
  return { reference, manifest, ageSeconds };
}
