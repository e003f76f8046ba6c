/**
 * Which backup an emergency restore takes: the newest verified one at or before the last known good state. A newer one
 * may hold the damage, so it is taken by name only.
 */
import { type BackupReference, type Manifest, listBackups, listSuspects, readManifest } from "../backup/manifest";
import { Damage, Refusal } from "../contract/failure";
import { listReceipts, readTrustedReceipt } from "../record/receipt";
import { readEvents } from "../record/releaseEvents";
import { readDepths } from "../retention/inventory";
import { backupTime } from "../store/layout";
import type { Store } from "../store/store";
import { type ExpectedRto, readExpectedRto } from "../verification/expectedRto";

/** The moment at which a verification after a release last passed. */
export interface KnownGood {
  readonly runId: string;
  readonly releaseVersion: string;
  readonly at: Date;
}

export interface EmergencyPlan {
  readonly manifest: Manifest;
  readonly depth: number;
  /** Null: no release of this store was ever verified. */
  readonly knownGood: KnownGood | null;
  /** Verified backups that are newer than the chosen one, oldest first: to be had by name. */
  readonly newer: readonly BackupReference[];
  /** Undefined: nothing of this store was ever restored. */
  readonly expectedRto: ExpectedRto | undefined;
}

/** A receipt that is no longer what the gate wrote proves nothing, and must not stand in the way of an older one. */
export async function findKnownGood(store: Store, onProgress?: (line: string) => void): Promise<KnownGood | undefined> {
  let found: KnownGood | undefined;
  for (const runId of (await listReceipts(store)).reverse()) {
    const verified = (await readEvents(store, runId)).findLast(({ event }) => event === "verified");
    if (verified === undefined) continue;
    const at = new Date(verified.at);
    if (found !== undefined && found.at >= at) continue;
    try {
      const { receipt } = await readTrustedReceipt(store, runId);
      found = { runId, releaseVersion: receipt.releaseVersion, at };
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      onProgress?.(`passed over: ${error.message}`);
    }
  }
  return found;
}

/**
 * @param wanted a backup's name; default: chosen.
 * @throws Refusal when no verified backup is old enough, or the one that was named is not verified.
 */
export async function planEmergency(
  store: Store,
  wanted?: BackupReference,
  onProgress?: (line: string) => void,
): Promise<EmergencyPlan> {
  const [backups, depths, suspects] = await Promise.all([listBackups(store), readDepths(store), listSuspects(store)]);
  const knownGood = (await findKnownGood(store, onProgress)) ?? null;
  const verified = backups.filter(({ name }) => (depths.get(name) ?? 0) >= 4 && !suspects.has(name));
  const chosen = wanted ?? choose(verified, knownGood);
  if (chosen === undefined && backups.length === 0)
    throw new Refusal(`${store.url} holds no backup: there is nothing to restore`, {
      hint: "is BACKUP_STORE the store that backups are written to? a dump of pg_dump: npm run db:restore -- ./<file>",
    });
  if (chosen === undefined) throw nothingToTake(store, verified, knownGood);
  const depth = depths.get(chosen.name) ?? 0;
  if (depth < 4)
    throw new Refusal(`${chosen.name} was never verified by a restore (depth ${depth})`, {
      hint: `verify it first: npm run db:verify -- ${chosen.name}; or restore it beside the live database: npm run db:restore -- ${chosen.name}`,
    });
  const manifest = await readManifest(store, chosen);
  return {
    manifest,
    depth,
    knownGood,
    newer: verified.filter(({ name }) => name > chosen.name),
    expectedRto: await readExpectedRto(store, manifest.databaseBytes),
  };
}

/**
 * A name tells the second in which a backup was taken: all of it must lie before, for what was taken right after the
 * verification may hold the damage. The times are of hosts whose clocks may differ a little: the database's, and that of
 * the host that verified.
 */
function choose(verified: readonly BackupReference[], knownGood: KnownGood | null): BackupReference | undefined {
  if (knownGood === null) return undefined;
  const latest = knownGood.at.getTime() - 1000;
  return verified.findLast(({ name }) => (backupTime(name)?.getTime() ?? Infinity) <= latest);
}

function nothingToTake(store: Store, verified: readonly BackupReference[], knownGood: KnownGood | null): Refusal {
  const newest = verified.at(-1);
  const why =
    knownGood === null
      ? `no release was ever verified in ${store.url}: there is no last known good state to go back to`
      : `${store.url} holds no verified backup from before ${knownGood.at.toISOString()}, the last known good state`;
  return new Refusal(why, {
    details: verified.slice(-10).map(({ tier, name }) => `verified: ${name} (${tier})`),
    hint:
      newest === undefined
        ? "no backup here was verified by a restore: see npm run db:list, and verify one with npm run db:verify"
        : `to take one all the same, name it: npm run db:emergency-restore -- ${newest.name}`,
  });
}
