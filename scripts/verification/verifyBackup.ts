/**
 * Verifies a backup to a depth and says which was reached: 1 exists, 2 its table of contents can be read,
 * 3 all of it can be read, 4 all of it read and restored into a scratch server and equal to the snapshot, 5 besides that the
 * data checks hold there and another location holds, or was verified to hold, the same bytes. Only from depth 4 on it may be called "verified": 1 and 2
 * pass on truncated and bit-flipped archives.
 */
import { demandIdentity } from "../backup/ageKeys";
import {
  type Archive,
  type BackupReference,
  type Manifest,
  fileKey,
  oldestServer,
  readManifest,
} from "../backup/manifest";
import { Damage, Refusal } from "../contract/failure";
import type { Fingerprint } from "../fingerprint/fingerprint";
import { withConnection } from "../database/connect";
import { findPostgres } from "../database/postgresPrograms";
import { startProgram } from "../database/program";
import { encodeDocument, sha256Of } from "../store/documents";
import { readFingerprint } from "../restore/compareCopy";
import { feedArchive, readWhole } from "../restore/readArchive";
import { isRestored } from "../restore/restoreArchives";
import { restoreAndCompare } from "../restore/restoreAndCompare";
import { type ScratchDatabase, closeScratch, openScratchDatabase } from "../scratch/scratchServer";
import { type DataChecksInput, runDataChecks } from "./dataChecks/runDataChecks";
import { proveElsewhere } from "./elsewhere";
import type { Depth, VerificationResult } from "./verificationResult";
import { backupPrefix, compactUtc, manifestKey, verificationKey } from "../store/layout";
import { type Store, readBytes } from "../store/store";

export interface VerifyOptions {
  readonly store: Store;
  readonly backup: BackupReference;
  readonly depth: Depth;
  readonly runId: string;
  /** Archives that are restored, and tables that are compared, at the same time. Default: see `chooseJobs`. */
  readonly jobs?: number;
  /** What is asked of the restored copy at depth 5, and at depth 4 where it is given. Default: the folder `checks`. */
  readonly dataChecks?: DataChecksInput;
  /** Where depth 5 reads the backup back. Default: the other stores of `store`; where there is none, see `proveElsewhere`. */
  readonly elsewhere?: readonly Store[];
  /** An empty database to restore into from depth 4 on, being opened since before the backup ended. Default: a new one. */
  readonly scratch?: Promise<ScratchDatabase>;
  /** How long the scratch server may outlive this call; absent: it ends with it. */
  readonly keepScratchUntil?: Date;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

export interface Verified {
  readonly result: VerificationResult;
  /** What the data checks said of the restored copy; undefined: none were run. */
  readonly dataChecks: string | undefined;
  /** What shows that another location holds the same bytes, a line each; empty below depth 5. */
  readonly elsewhere: string[];
  /** Seconds that reading it back elsewhere took: no part of a restore. */
  readonly elsewhereSeconds: number;
  /** The restored copy, alive, if it was to be kept. */
  readonly scratch: ScratchDatabase | undefined;
}

/**
 * @throws Damage when an object is missing, truncated, changed or unreadable; Refusal when the restored copy
 *   differs from the fingerprint; UsageError when no scratch server can be had.
 */
export async function verifyBackup(options: VerifyOptions): Promise<Verified> {
  const { store } = options;
  const warnings = store.warnings.length;
  const manifest = await readManifest(store, options.backup);
  const manifestSha256 = sha256Of(await readBytes(store, manifestKey(manifest.tier, manifest.name)));
  await demandObjects(options, manifest);
  const started = performance.now();
  const elsewhere = options.depth === 5 ? await proveElsewhere(options, manifest, manifestSha256) : [];
  const elsewhereSeconds = (performance.now() - started) / 1000;
  if (options.depth > 1) await demandIdentity(manifest.encryption?.recipients ?? [], `${manifest.name} is encrypted`);
  const restored =
    options.depth >= 4 ? await verifyByRestore(options, manifest) : await verifyByReading(options, manifest);
  const result: VerificationResult = {
    schemaVersion: 1,
    backup: manifest.name,
    depth: options.depth,
    verdict: options.depth >= 4 ? "verified" : "read",
    restoreSeconds: restored?.seconds ?? null,
    tables: manifest.tables.length,
    rows: manifest.tables.reduce((sum, table) => sum + table.rows, 0),
    notes: [
      ...(restored?.scratch.notes ?? []),
      ...(restored?.dataChecks === undefined ? [] : [`on the restored copy: ${restored.dataChecks}`]),
      ...elsewhere,
    ],
    // A warning may say that another store stood in: then it speaks of neither.
    store: store.warnings.length === warnings ? store.url : null,
    manifestSha256,
    at: new Date().toISOString(),
  };
  try {
    await options.store.create(
      verificationKey(manifest.name, `${compactUtc(new Date())}-${options.runId}`, options.depth),
      encodeDocument(result),
      options.signal,
    );
  } catch (error) {
    if (restored !== undefined) await closeScratch(restored.scratch.place);
    throw error;
  }
  if (restored !== undefined && options.keepScratchUntil === undefined) {
    await closeScratch(restored.scratch.place);
    return { result, dataChecks: restored.dataChecks, elsewhere, elsewhereSeconds, scratch: undefined };
  }
  return { result, dataChecks: restored?.dataChecks, elsewhere, elsewhereSeconds, scratch: restored?.scratch };
}

async function demandObjects(options: VerifyOptions, manifest: Manifest): Promise<void> {
  const stored = new Map(
    (await options.store.list(backupPrefix(manifest.tier, manifest.name))).map((object) => [object.key, object.bytes]),
  );
  const parts = [...manifest.archives, manifest.fingerprint];
  const named = new Set([
    manifestKey(manifest.tier, manifest.name),
    ...parts.map(({ file }) => fileKey(manifest, file)),
  ]);
  const foreign = [...stored.keys()].find((key) => !named.has(key));
  if (foreign !== undefined) throw new Damage(`${foreign} is no object of this backup: its manifest does not name it`);
  for (const part of parts) {
    const bytes = stored.get(fileKey(manifest, part.file));
    if (bytes === undefined) throw new Damage(`${manifest.name}: ${part.file} is missing`);
    if (bytes !== part.bytes)
      throw new Damage(`${manifest.name}: ${part.file} has ${bytes} bytes, expected ${part.bytes}`);
  }
}

async function verifyByReading(options: VerifyOptions, manifest: Manifest): Promise<undefined> {
  if (options.depth < 2) return;
  const { binDir } = findPostgres({ atLeast: oldestServer(manifest), use: "client" });
  for (const archive of manifest.archives) {
    options.signal?.throwIfAborted();
    await readArchive(options, manifest, archive, binDir);
    options.onProgress?.(`${archive.file} ${options.depth === 2 ? "lists" : "reads"} whole`);
  }
  await readFingerprint(options.store, manifest);
}

async function readArchive(
  options: VerifyOptions,
  manifest: Manifest,
  archive: Archive,
  binDir: string,
): Promise<void> {
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const source = { store: options.store, backup: manifest, archive, ...signal };
  if (archive.format !== "custom") return readWhole(source);
  const listed = options.depth === 2;
  const program = startProgram({ binDir, program: "pg_restore", args: [listed ? "--list" : "--file=-"], ...signal });
  // With --list pg_restore closes its input after the table of contents: depth 2 looks no further.
  await feedArchive(source, program, { lastBytes: listed ? "ignored" : "demanded" });
}

async function verifyByRestore(
  options: VerifyOptions,
  manifest: Manifest,
): Promise<{ scratch: ScratchDatabase; seconds: number; dataChecks: string | undefined }> {
  const opening = options.scratch ?? openScratch(options, manifest);
  const [fingerprint, scratch] = await Promise.all([readUnrestored(options, manifest), opening]).catch(
    async (error: unknown) => {
      const opened = await opening.catch(() => undefined);
      if (opened !== undefined) await closeScratch(opened.place);
      throw error;
    },
  );
  const started = performance.now();
  try {
    const differences = await restoreAndCompare({ ...options, manifest, target: scratch.target }, fingerprint);
    if (differences.length > 0) {
      throw new Refusal(`the restored copy of ${manifest.name} differs from the snapshot: ${differences[0]}`, {
        details: differences,
      });
    }
    const seconds = (performance.now() - started) / 1000;
    const asked = options.depth === 5 || options.dataChecks !== undefined;
    return { scratch, seconds, dataChecks: asked ? await checkData(options, scratch) : undefined };
  } catch (error) {
    await closeScratch(scratch.place);
    throw error;
  }
}

/** @returns what they said. @throws Refusal naming each that failed. */
async function checkData({ backup, dataChecks, signal }: VerifyOptions, scratch: ScratchDatabase): Promise<string> {
  const input = { checks: "checks", ...dataChecks, ...(signal === undefined ? {} : { signal }) };
  const report = await withConnection(scratch.target, (client) => runDataChecks(client, input));
  if (report.verdict === "pass") return report.summary;
  throw new Refusal(`the restored copy of ${backup.name} is equal to its snapshot, but ${report.summary}`, {
    details: report.results.map(({ outcome, name, evidence }) => `${outcome}: ${name}: ${evidence}`),
  });
}

/** "Verified" speaks of every archive, also of those that a restore has no need of. */
async function readUnrestored(options: VerifyOptions, manifest: Manifest): Promise<Fingerprint> {
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  for (const archive of manifest.archives.filter((candidate) => !isRestored(candidate))) {
    await readWhole({ store: options.store, backup: manifest, archive, ...signal });
  }
  return readFingerprint(options.store, manifest);
}

function openScratch(options: VerifyOptions, manifest: Manifest): Promise<ScratchDatabase> {
  return openScratchDatabase(
    { ...manifest, major: oldestServer(manifest) },
    {
      runId: options.runId,
      lifetime:
        options.keepScratchUntil === undefined
          ? { kind: "process" }
          : { kind: "deadline", at: options.keepScratchUntil },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    },
  );
}
