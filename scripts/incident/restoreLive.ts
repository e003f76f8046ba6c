/**
 * Restores a backup over the live database: a safety backup first, then the restore, whose result takes the live
 * database's place only once it was compared with the backup. Killed at any moment, the old database is there and serves.
 */
import type { Manifest } from "../backup/manifest";
import { messageOf } from "../contract/failure";
import { isExpired } from "../control/leaseDocument";
import { describeHolder, readLease } from "../control/lease";
import type { DatabaseIdentity } from "../database/identity";
import { withConnection } from "../database/connect";
import { type DatabaseTarget, withDatabase } from "../database/target";
import { type RestoreMode, recordRestore } from "../record/restoreEvents";
import { besideName, provenMark, restoreBeside } from "../restore/restoreBeside";
import { restoreInPlace } from "../restore/restoreInPlace";
import { asideName, swapDatabases } from "../restore/swapDatabases";
import type { Tolerated } from "../restore/toleratedErrors";
import type { Store } from "../store/store";
import { type KeptFence, keepFence } from "./keepFence";
import { committed, sessionOf } from "./maintenance";
import { secureLive } from "./safetyBackup";

export interface LiveRestore {
  readonly store: Store;
  readonly manifest: Manifest;
  readonly live: DatabaseTarget;
  /** As it was shown to whoever confirmed. */
  readonly identity: DatabaseIdentity;
  readonly mode: RestoreMode;
  readonly runId: string;
  /** A backup of the live database that is to be enough, by name. Default: one is taken. */
  readonly safetyBackup?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

export interface RestoredLive {
  readonly mode: RestoreMode;
  readonly tables: number;
  readonly rows: number;
  /** From the first byte read to the proven database in its place. */
  readonly seconds: number;
  readonly safetyBackup: string | null;
  /** What the former live database is called now; null: it was not renamed. */
  readonly aside: string | null;
  /** What the server refused and the restore went on after; each is in the list of toleratedErrors.ts. */
  readonly tolerated: readonly Tolerated[];
  /** What differs, for people. */
  readonly notes: readonly string[];
}

/** @throws what `secureLive`, `restoreBeside`, `swapDatabases` and `restoreInPlace` throw: nothing has changed then. */
export async function restoreLive(options: LiveRestore): Promise<RestoredLive> {
  const { store, manifest, live, identity, mode, runId, onProgress } = options;
  await warnOfLease(options);
  const safetyBackup = await secureLive({
    ...{ store, live, identity, source: manifest.database, runId },
    ...(options.safetyBackup === undefined ? {} : { named: options.safetyBackup }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  const aside = mode === "swap" ? asideName(live.database, new Date()) : null;
  const event = {
    ...{ runId, mode, backup: { tier: manifest.tier, name: manifest.name }, database: identity },
    ...{ databaseBytes: manifest.databaseBytes, safetyBackup, aside },
  };
  await recordRestore(store, { ...event, event: "restore-started", seconds: null });
  const started = performance.now();
  const { notes, ...sums } = await (aside === null ? restoreUnderFence(options) : restoreBySwap(options, aside));
  const seconds = (performance.now() - started) / 1000;
  try {
    await recordRestore(store, { ...event, event: "restored", seconds });
  } catch (error) {
    // The database is restored, whether or not that can be written down.
    onProgress?.(`warning: restored, but that could not be recorded in ${store.url}: ${messageOf(error)}`);
  }
  return { mode, ...sums, seconds, safetyBackup, aside, notes };
}

type Restored = Pick<RestoredLive, "tables" | "rows" | "tolerated" | "notes">;

async function restoreUnderFence(options: LiveRestore): Promise<Restored> {
  let fence: KeptFence | undefined;
  try {
    return await restoreInPlace({
      ...options,
      beforeCommit: async (session) => {
        fence = await keepFence(options);
        await fence?.raiseIn(session);
      },
    });
  } finally {
    await fence?.end();
  }
}

/** The copy never bears a name of its own: what a killed run leaves is dropped by the next one. */
async function restoreBySwap(options: LiveRestore, aside: string): Promise<Restored> {
  const { live, manifest } = options;
  const swapped: string[] = [];
  const { tables, rows, notes } = await restoreBeside({
    ...options,
    database: besideName(live.database, manifest.name),
    place: async (restored) => {
      options.onProgress?.(`equal to ${manifest.name}: about to take the place of ${live.database}`);
      const fence = await keepFence(options);
      try {
        if (fence !== undefined)
          await withConnection(withDatabase(live, restored), (client) =>
            committed(client, () => fence.raiseIn(sessionOf(client))),
          );
        swapped.push(
          ...(await swapDatabases({
            ...{ live, restored, aside, comment: provenMark(manifest) },
            ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
          })),
        );
      } finally {
        await fence?.end();
      }
    },
  });
  return { tables, rows, tolerated: [], notes: [...notes, ...swapped] };
}

async function warnOfLease({ store, onProgress }: LiveRestore): Promise<void> {
  const lease = await readLease(store);
  if (lease === undefined || lease.phase === "released" || isExpired(lease, new Date())) return;
  onProgress?.(`warning: a release is under way: the lease is held by ${describeHolder(lease)}`);
}
