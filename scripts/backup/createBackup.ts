/**
 * Takes a backup: one exported snapshot for archives, counts and checksums; each archive streamed into the
 * store; the manifest last. Interrupted at any moment it leaves files without a manifest, which nobody
 * mistakes for a backup.
 */
import { Readable } from "node:stream";
import type { Client } from "pg";
import { Unavailable } from "../contract/failure";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, majorOf, readIdentity } from "../database/identity";
import { chooseJobs, readCapacity } from "../database/jobs";
import { allOrNone } from "../database/lanes";
import { findPostgres } from "../database/postgresPrograms";
import { type DatabaseSnapshot, openSnapshot } from "../database/snapshot";
import { displayName } from "../database/sqlText";
import { readScope } from "../database/supabasePreset";
import { listSequences } from "../database/tables";
import { type DatabaseTarget, describeTarget } from "../database/target";
import { computeFingerprint } from "../fingerprint/compute";
import { type Fingerprint, serializeFingerprint, totalsOf } from "../fingerprint/fingerprint";
import { type RetentionTier, manifestKey, retentionTiers, backupPrefix } from "../store/layout";
import { AlreadyExists, type Store } from "../store/store";
import { archiveName, readRecipients } from "./ageKeys";
import { type StoredStream, storeCompressed } from "./archiveStream";
import { oldestPgDump } from "./dumpFilters";
import { type Archive, type BackupReference, type Manifest, encodeManifest, fileKey } from "./manifest";
import { type SourceFacts, demandLockBudget, demandReadable, readSourceFacts } from "./source";
import { writeArchives } from "./writeArchives";

export interface BackupOptions {
  readonly target: DatabaseTarget;
  readonly store: Store;
  readonly tier: RetentionTier;
  readonly runId: string;
  /** Archives of rows that are written, and tables that are hashed, at the same time. Default: see `chooseJobs`. */
  readonly jobs?: number;
  /** Bytes of tables that an archive is to hold, about. Default: see `fairPiece`. */
  readonly pieceBytes?: number;
  /** Public keys of age that archives and fingerprint are encrypted to. Default: those of `BACKUP_AGE_RECIPIENT`. */
  readonly recipients?: readonly string[];
  readonly signal?: AbortSignal;
  /** Called once, before the first row is read: a scratch server can start meanwhile. */
  readonly onSource?: (source: BackupSource) => void;
  /** One line of progress at a time. */
  readonly onProgress?: (line: string) => void;
}

/** What a server that the backup can be restored into must be like. */
export interface BackupSource extends SourceFacts {
  readonly major: number;
}

export interface FinishedBackup {
  readonly reference: BackupReference;
  readonly manifest: Manifest;
  readonly fingerprint: Fingerprint;
}

/**
 * @throws Refusal when the role cannot read every row; UsageError when no client program is new enough or
 *   the lock budget is too small; Unavailable when another backup of this database is running, or somebody else writes
 *   what it writes.
 */
export async function createBackup(given: BackupOptions): Promise<FinishedBackup> {
  const options = { ...given, recipients: given.recipients ?? (await readRecipients()) };
  return withConnection(options.target, async (guard) => {
    await holdBackupLock(guard, options.target);
    // With the lock held nobody else writes archives: what is unfinished is of runs that were killed.
    await options.store.removeUnfinished();
    const identity = await readIdentity(guard, options.target);
    // Before the first table is locked.
    await demandLockBudget(guard);
    const snapshot = await openSnapshot(options.target);
    try {
      demandReadable(snapshot.tables, options.target.user);
      const { freeConnections } = await readCapacity(guard);
      const jobs = chooseJobs(options.jobs, freeConnections, sessionsOfJobs);
      return await writeBackup({ ...options, jobs }, identity, snapshot);
    } catch (error) {
      if (!(error instanceof AlreadyExists)) throw error;
      throw new Unavailable(`another writer, or a store that says what is not so: ${error.message}`, {
        cause: error,
        hint: "run again",
      });
    } finally {
      await snapshot.close();
    }
  });
}

/** Two runs at once would only slow each other down; the second one is told so instead. */
async function holdBackupLock(client: Client, target: DatabaseTarget): Promise<void> {
  const { rows } = await client.query<{ held: boolean }>(
    "SELECT pg_try_advisory_lock(hashtext('dbprotect'), hashtext('backup')) AS held",
  );
  if (rows[0]?.held !== true) {
    throw new Unavailable(`another backup of ${describeTarget(target)} is running`, { hint: "wait for it to end" });
  }
}

/** Each job has a session that reads rows and one that hashes them; another one reads definitions. */
const sessionsOfJobs = { each: 2, once: 1 };

/** With what was left to the environment and the server. */
type CompleteOptions = BackupOptions & Required<Pick<BackupOptions, "recipients" | "jobs">>;

async function writeBackup(
  options: CompleteOptions,
  identity: DatabaseIdentity,
  snapshot: DatabaseSnapshot,
): Promise<FinishedBackup> {
  const startedAt = new Date().toISOString();
  const { jobs } = options;
  const scope = await readScope(snapshot.leader);
  const programs = findPostgres({ atLeast: oldestPgDump(majorOf(identity.serverVersion), scope), use: "client" });
  const reference = { tier: options.tier, name: await freeName(options.store, snapshot.takenAt) };
  const facts = await readSourceFacts(snapshot.leader);
  // Before pg_dump reads them: no snapshot holds them still, and a copy that is behind would be called damaged.
  const sequences = await listSequences(snapshot.leader);
  options.onSource?.({ ...facts, major: Math.max(majorOf(identity.serverVersion), programs.major) });
  const source = { snapshot, scope, reference, binDir: programs.binDir, encoding: facts.encoding };
  const [archives, fingerprint] = await allOrNone<[Archive[], Fingerprint]>(
    [
      (signal) => writeArchives({ ...options, ...source, jobs, signal }),
      (signal) => computeFingerprint(snapshot, { jobs, sequences, signal }),
    ],
    options.signal,
  );
  options.signal?.throwIfAborted();
  const stored = await storeFingerprint(options, reference, fingerprint);
  const writes = new Map(snapshot.tables.map((table) => [displayName(table), table.writes]));
  const manifest: Manifest = {
    schemaVersion: 1,
    ...reference,
    runId: options.runId,
    database: identity,
    ...facts,
    clientVersion: programs.version,
    snapshot: {
      id: snapshot.id,
      visibility: snapshot.visibility,
      lsn: snapshot.lsn,
      takenAt: snapshot.takenAt.toISOString(),
    },
    tables: fingerprint.tables.map((table) => ({
      schema: table.schema,
      name: table.name,
      rows: table.rows,
      checksum: options.recipients.length === 0 ? totalsOf(table).content : null,
      coverage: table.coverage,
      writes: writes.get(displayName(table)) ?? null,
    })),
    encryption: options.recipients.length === 0 ? null : { format: "age", recipients: [...options.recipients] },
    archives,
    fingerprint: { file: archiveName(fingerprintFile, options.recipients), bytes: stored.bytes, sha256: stored.sha256 },
    startedAt,
    finishedAt: new Date().toISOString(),
  };
  await options.store.create(manifestKey(reference.tier, reference.name), encodeManifest(manifest), options.signal);
  return { reference, manifest, fingerprint };
}

const fingerprintFile = "fingerprint.ndjson.zst";

async function storeFingerprint(
  options: CompleteOptions,
  reference: BackupReference,
  fingerprint: Fingerprint,
): Promise<StoredStream> {
  return storeCompressed(
    options.store,
    fileKey(reference, archiveName(fingerprintFile, options.recipients)),
    Readable.from([Buffer.from(serializeFingerprint(fingerprint))]),
    { recipients: options.recipients, ...(options.signal === undefined ? {} : { signal: options.signal }) },
  );
}

/**
 * `backup_YYYYMMDD_HHMMSS` by the database's clock. Two backups in one second would share a name, so the
 * later one takes the next free second.
 */
async function freeName(store: Store, takenAt: Date): Promise<string> {
  for (let time = takenAt.getTime(); ; time += 1000) {
    const text = new Date(time).toISOString();
    const name = `backup_${text.slice(0, 10).replaceAll("-", "")}_${text.slice(11, 19).replaceAll(":", "")}`;
    const taken = await Promise.all(retentionTiers.map((tier) => store.list(backupPrefix(tier, name))));
    if (taken.every((objects) => objects.length === 0)) return name;
  }
}
