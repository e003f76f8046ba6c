/**
 * Restores a backup, or a dump that is none, over the live database: a safety backup first, then the restore, whose result
 * takes the live database's place only once it was compared with the backup, or its rows counted. Killed at any moment, the old database is there and serves.
 */
import type { Manifest } from "../backup/manifest";
import { messageOf } from "../contract/failure";
import { isExpired } from "../control/leaseDocument";
import { describeHolder, readLease } from "../control/lease";
import type { DatabaseIdentity } from "../database/identity";
import { withConnection } from "../database/connect";
import { type DatabaseTarget, withDatabase } from "../database/target";
import type { StatementSession } from "../database/writeGrants";
import { readCatalog } from "../fingerprint/catalog";
import { type RestoreFacts, type RestoreMode, recordRestore } from "../record/restoreEvents";
import type { DumpSummary } from "../restore/foreign/dumpScript";
import type { ProvenDump } from "../restore/foreign/fillFromDump";
import type { RecognisedDump } from "../restore/foreign/recognise";
import { countedMark, describeGone, nameFor, restoreDump, restoreDumpInPlace } from "../restore/foreign/restoreDump";
import { goneDefinitions } from "../restore/inPlaceComparison";
import { besideName, provenMark, restoreBeside } from "../restore/restoreBeside";
import { restoreInPlace } from "../restore/restoreInPlace";
import { asideName, swapDatabases } from "../restore/swapDatabases";
import type { Tolerated } from "../restore/toleratedErrors";
import type { Store } from "../store/store";
import { type KeptFence, isFenceRecorded, keepFence } from "./keepFence";
import { committed, sessionOf } from "./maintenance";
import { secureLive } from "./safetyBackup";

interface OverLive {
  readonly store: Store;
  readonly live: DatabaseTarget;
  /** As it was shown to whoever confirmed. */
  readonly identity: DatabaseIdentity;
  readonly mode: RestoreMode;
  readonly runId: string;
  /** A backup of the live database that is to be enough, by name; null: it was made just now and is empty. Default: one is taken. */
  readonly safetyBackup?: string | null;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

export interface LiveRestore extends OverLive {
  readonly manifest: Manifest;
}

export interface LiveDumpRestore extends OverLive {
  readonly dump: RecognisedDump;
  /** What `inspectDump` returned. */
  readonly summary: DumpSummary;
  /** What the file is called where its place on disk is a temporary one. */
  readonly file: string;
}

/** How the live database was replaced. */
interface Replaced {
  readonly mode: RestoreMode;
  /** From the first byte read to the proven database in its place. */
  readonly seconds: number;
  readonly safetyBackup: string | null;
  /** What the former live database is called now; null: it was not renamed. */
  readonly aside: string | null;
}

export interface RestoredLive extends Replaced {
  readonly tables: number;
  readonly rows: number;
  /** What the server refused and the restore went on after; each is in the list of toleratedErrors.ts. */
  readonly tolerated: readonly Tolerated[];
  /** What differs, for people. */
  readonly notes: readonly string[];
}

export type RestoredDumpLive = Replaced & ProvenDump & { readonly notes: readonly string[] };

/** @throws what `secureLive`, `restoreBeside`, `swapDatabases` and `restoreInPlace` throw: nothing has changed then. */
export async function restoreLive(options: LiveRestore): Promise<RestoredLive> {
  const { live, manifest } = options;
  return replaceLive(
    options,
    { backup: { tier: manifest.tier, name: manifest.name }, databaseBytes: manifest.databaseBytes },
    manifest.database,
    {
      inPlace: (beforeCommit) => restoreInPlace({ ...options, beforeCommit }),
      beside: async (place) => {
        const { tables, rows, notes } = await restoreBeside({
          ...{ ...options, database: besideName(live.database, manifest.name) },
          place: (restored) => place(restored, `equal to ${manifest.name}`, provenMark(manifest)),
        });
        return { tables, rows, tolerated: [], notes };
      },
    },
  );
}

/**
 * The same for a dump that is no backup of ours: nothing is compared but the numbers of rows.
 *
 * @throws what `secureLive`, `restoreDump`, `swapDatabases` and `restoreDumpInPlace` throw: nothing has changed then.
 */
export async function restoreDumpLive(options: LiveDumpRestore): Promise<RestoredDumpLive> {
  const { live, dump, file } = options;
  return replaceLive(options, { backup: null, file, databaseBytes: 0 }, undefined, {
    inPlace: (beforeCommit) => restoreDumpInPlace({ ...options, beforeCommit }),
    beside: async (place) => {
      const gone: string[] = [];
      const { database: _, ...restored } = await restoreDump({
        ...{ ...options, database: nameFor(live.database, file) },
        place: async (unverified) => {
          gone.push(...(await goneBy(live, unverified)));
          await place(unverified, `as many rows as in ${file}`, countedMark(dump));
        },
      });
      return { ...restored, notes: [...restored.notes, ...gone] };
    },
  });
}

async function goneBy(live: DatabaseTarget, restored: string): Promise<string[]> {
  const [was, is] = [
    await withConnection(live, (client) => readCatalog(client)),
    await withConnection(withDatabase(live, restored), (client) => readCatalog(client)),
  ];
  return goneDefinitions(was, is).map(describeGone);
}

/** The two ways to replace what is live; what each throws has changed nothing. */
interface Ways<T> {
  readonly inPlace: (beforeCommit: (session: StatementSession) => Promise<void>) => Promise<T>;
  /** The copy never bears a name of its own: what a killed run leaves is dropped by the next one. */
  readonly beside: (place: (restored: string, proven: string, comment: string) => Promise<void>) => Promise<T>;
}

async function replaceLive<T extends { readonly notes: readonly string[] }>(
  options: OverLive,
  what: Pick<RestoreFacts, "backup" | "file" | "databaseBytes">,
  source: DatabaseIdentity | undefined,
  ways: Ways<T>,
): Promise<T & Replaced> {
  const { store, live, identity, mode, runId, onProgress } = options;
  await warnOfLease(options);
  const safetyBackup = await secured(options, source);
  const aside = mode === "swap" ? asideName(live.database, new Date()) : null;
  const event = { ...{ runId, mode, database: identity, safetyBackup, aside }, ...what };
  await recordRestore(store, { ...event, event: "restore-started", seconds: null });
  const started = performance.now();
  const restored = await (aside === null ? underFence(options, ways) : bySwap(options, ways, aside));
  const seconds = (performance.now() - started) / 1000;
  try {
    await recordRestore(store, { ...event, event: "restored", seconds });
  } catch (error) {
    // The database is restored, whether or not that can be written down.
    onProgress?.(`warning: restored, but that could not be recorded in ${store.url}: ${messageOf(error)}`);
  }
  return { mode, ...restored, seconds, safetyBackup, aside };
}

async function secured(options: OverLive, source: DatabaseIdentity | undefined): Promise<string | null> {
  const { store, live, identity, runId, signal, onProgress, safetyBackup } = options;
  if (safetyBackup === null) return null;
  return secureLive({
    ...{ store, live, identity, runId },
    ...(source === undefined ? {} : { source }),
    ...(safetyBackup === undefined ? {} : { named: safetyBackup }),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  });
}

async function underFence<T>(options: OverLive, { inPlace }: Ways<T>): Promise<T> {
  await warnOfWriters(options);
  let fence: KeptFence | undefined;
  try {
    return await inPlace(async (session) => {
      fence = await keepFence(options);
      await fence?.raiseIn(session);
    });
  } finally {
    await fence?.end();
  }
}

async function bySwap<T extends { readonly notes: readonly string[] }>(
  options: OverLive,
  { beside }: Ways<T>,
  aside: string,
): Promise<T> {
  const { live, signal, onProgress } = options;
  const swapped: string[] = [];
  const restored = await beside(async (copy, proven, comment) => {
    onProgress?.(`${proven}: about to take the place of ${live.database}`);
    const fence = await keepFence(options);
    try {
      if (fence !== undefined)
        await withConnection(withDatabase(live, copy), (client) =>
          committed(client, () => fence.raiseIn(sessionOf(client))),
        );
      swapped.push(
        ...(await swapDatabases({
          ...{ live, restored: copy, aside, comment },
          ...(signal === undefined ? {} : { signal }),
          ...(onProgress === undefined ? {} : { onProgress }),
        })),
      );
    } finally {
      await fence?.end();
    }
  });
  return { ...restored, notes: [...restored.notes, ...swapped] };
}

/** A swap leaves the former database beside it; what is replaced in place is only where the safety backup was in time. */
async function warnOfWriters(options: OverLive): Promise<void> {
  if (await isFenceRecorded(options)) return;
  options.onProgress?.(
    "warning: no write fence stands: what is written after the safety backup, until this is committed, is in neither; npm run deploy:maintenance -- on keeps people from writing",
  );
}

async function warnOfLease({ store, onProgress }: OverLive): Promise<void> {
  const lease = await readLease(store);
  if (lease === undefined || lease.phase === "released" || isExpired(lease, new Date())) return;
  onProgress?.(`warning: a release is under way: the lease is held by ${describeHolder(lease)}`);
}
