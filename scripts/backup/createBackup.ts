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
import { findPostgres } from "../database/postgresPrograms";
import { startProgram } from "../database/program";
import { type DatabaseSnapshot, openSnapshot } from "../database/snapshot";
import { type BackupScope, readScope } from "../database/supabasePreset";
import { type DatabaseTarget, describeTarget } from "../database/target";
import { computeFingerprint } from "../fingerprint/compute";
import { type Fingerprint, serializeFingerprint, totalsOf } from "../fingerprint/fingerprint";
import { encodeDocument } from "../store/documents";
import { type RetentionTier, manifestKey, retentionTiers, backupPrefix } from "../store/layout";
import type { Store } from "../store/store";
import { encryptedSuffix, readRecipients } from "./ageKeys";
import { type StoredStream, storeCompressed } from "./archiveStream";
import { dumpFilters, oldestPgDump } from "./dumpFilters";
import { type Archive, type BackupReference, type Manifest, fileKey } from "./manifest";
import { type SourceFacts, demandLockBudget, demandReadable, readSourceFacts } from "./source";

export interface BackupOptions {
  readonly target: DatabaseTarget;
  readonly store: Store;
  readonly tier: RetentionTier;
  readonly runId: string;
  /** Connections that compute the fingerprint. Default 2. */
  readonly jobs?: number;
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
 *   the lock budget is too small; Unavailable when another backup of this database is running.
 */
export async function createBackup(given: BackupOptions): Promise<FinishedBackup> {
  const options = { ...given, recipients: given.recipients ?? (await readRecipients()) };
  return withConnection(options.target, async (guard) => {
    await holdBackupLock(guard, options.target);
    // With the lock held nobody else writes archives: what is unfinished is of runs that were killed.
    await options.store.removeUnfinished();
    const identity = await readIdentity(guard, options.target);
    const snapshot = await openSnapshot(options.target);
    try {
      demandReadable(snapshot.tables, options.target.user);
      await demandLockBudget(guard, snapshot.tables.length);
      return await writeBackup(options, identity, snapshot);
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

/** With what was left to the environment. */
type CompleteOptions = BackupOptions & Required<Pick<BackupOptions, "recipients">>;

async function writeBackup(
  options: CompleteOptions,
  identity: DatabaseIdentity,
  snapshot: DatabaseSnapshot,
): Promise<FinishedBackup> {
  const startedAt = new Date().toISOString();
  const scope = await readScope(snapshot.leader);
  const programs = findPostgres({ atLeast: oldestPgDump(majorOf(identity.serverVersion), scope), use: "client" });
  const reference = { tier: options.tier, name: await freeName(options.store, snapshot.takenAt) };
  const facts = await readSourceFacts(snapshot.leader);
  options.onSource?.({ ...facts, major: Math.max(majorOf(identity.serverVersion), programs.major) });
  const [archives, fingerprint] = await bothOrNeither(
    (signal) => writeArchives({ ...options, signal }, reference, { snapshot, scope, binDir: programs.binDir }),
    (signal) => computeFingerprint(snapshot, { jobs: options.jobs ?? 2, signal }),
    options.signal,
  );
  options.signal?.throwIfAborted();
  const stored = await storeFingerprint(options, reference, fingerprint);
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
    })),
    encryption: options.recipients.length === 0 ? null : { format: "age", recipients: [...options.recipients] },
    archives,
    fingerprint: { file: storedName(fingerprintFile, options), bytes: stored.bytes, sha256: stored.sha256 },
    startedAt,
    finishedAt: new Date().toISOString(),
  };
  await options.store.create(manifestKey(reference.tier, reference.name), encodeDocument(manifest), options.signal);
  return { reference, manifest, fingerprint };
}

const fingerprintFile = "fingerprint.ndjson.zst";

function storedName(file: string, { recipients }: CompleteOptions): string {
  return recipients.length === 0 ? file : `${file}${encryptedSuffix}`;
}

async function storeFingerprint(
  options: CompleteOptions,
  reference: BackupReference,
  fingerprint: Fingerprint,
): Promise<StoredStream> {
  return storeCompressed(
    options.store,
    fileKey(reference, storedName(fingerprintFile, options)),
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

interface ArchivePlan {
  readonly file: string;
  readonly format: Archive["format"];
  readonly section: Archive["section"];
  readonly program: "pg_dump" | "pg_dumpall";
  readonly args: readonly string[];
}

interface DumpSource {
  readonly snapshot: DatabaseSnapshot;
  readonly scope: BackupScope;
  readonly binDir: string;
}

/** `-Z0`: compression is ours, so that every frame carries a checksum. */
function planArchives({ snapshot, scope }: DumpSource, database: string): ArchivePlan[] {
  const section = (name: Exclude<Archive["section"], "roles">): readonly string[] => [
    "--format=custom",
    "--compress=0",
    "--no-password",
    "--lock-wait-timeout=10s",
    `--snapshot=${snapshot.id}`,
    `--section=${name}`,
    ...dumpFilters(scope),
  ];
  return [
    {
      file: "roles.sql.zst",
      format: "sql",
      section: "roles",
      program: "pg_dumpall",
      // Passwords need a superuser, and belong to no archive.
      args: ["--roles-only", "--no-role-passwords", "--no-password", `--database=${database}`],
    },
    {
      file: "schema-pre.dump.zst",
      format: "custom",
      section: "pre-data",
      program: "pg_dump",
      args: section("pre-data"),
    },
    { file: "data-000.dump.zst", format: "custom", section: "data", program: "pg_dump", args: section("data") },
    {
      file: "schema-post.dump.zst",
      format: "custom",
      section: "post-data",
      program: "pg_dump",
      args: section("post-data"),
    },
  ];
}

/** The rows take longest: they are dumped while the other archives are. */
async function writeArchives(
  options: CompleteOptions,
  reference: BackupReference,
  source: DumpSource,
): Promise<Archive[]> {
  const plans = planArchives(source, options.target.database);
  const write = async (lane: readonly ArchivePlan[], signal: AbortSignal): Promise<Archive[]> => {
    const archives: Archive[] = [];
    for (const plan of lane) archives.push(await writeArchive({ ...options, signal }, reference, plan, source.binDir));
    return archives;
  };
  const rows = plans.filter(({ section }) => section === "data");
  const rest = plans.filter(({ section }) => section !== "data");
  const lanes = await bothOrNeither(
    (signal) => write(rest, signal),
    (signal) => write(rows, signal),
    options.signal,
  );
  return lanes.flat();
}

async function writeArchive(
  options: CompleteOptions,
  reference: BackupReference,
  plan: ArchivePlan,
  binDir: string,
): Promise<Archive> {
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const { format, section, args } = plan;
  const file = storedName(plan.file, options);
  const program = startProgram({ binDir, program: plan.program, args, target: options.target, ...signal });
  const stored = await storeCompressed(options.store, fileKey(reference, file), program.stdout, {
    succeeded: () => program.succeeded,
    recipients: options.recipients,
    ...signal,
  });
  options.onProgress?.(`${file}: ${stored.bytes} bytes`);
  return { file, format, section, ...stored };
}

/** Runs both at once; when one fails the other is told to stop, and the first failure is thrown. */
async function bothOrNeither<A, B>(
  first: (signal: AbortSignal) => Promise<A>,
  second: (signal: AbortSignal) => Promise<B>,
  outer: AbortSignal | undefined,
): Promise<[A, B]> {
  const stop = new AbortController();
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  let failure: { error: unknown } | undefined;
  const guard = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      failure ??= { error };
      stop.abort();
      throw error;
    });
  const [a, b] = await Promise.allSettled([guard(first(signal)), guard(second(signal))]);
  if (a.status === "fulfilled" && b.status === "fulfilled") return [a.value, b.value];
  throw failure?.error;
}
