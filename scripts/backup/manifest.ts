/**
 * The manifest of a backup: what it holds and how to know that it is whole. It is written last; without it
 * the backup does not exist. Also: finding backups by their manifests.
 */
import { z } from "zod";
import { readFreezes } from "../control/freeze";
import { Damage, UsageError } from "../contract/failure";
import { databasePropertiesSchema } from "../database/databaseProperties";
import { databaseIdentitySchema, majorOf } from "../database/identity";
import { readTrustedReceipt } from "../record/receipt";
import { encodeDocument, readDocument, sha256Of } from "../store/documents";
import {
  type RetentionTier,
  backupPrefix,
  backupsPrefix,
  isBackupName,
  marksPrefix,
  manifestKey,
  retentionTiers,
} from "../store/layout";
import type { Store } from "../store/store";
import { notRestoredSchema } from "./notRestored";

const storedFile = {
  /** File name below the backup's prefix, e.g. `data-000.dump.zst`. */
  file: z.string(),
  bytes: z.int(),
  uncompressedBytes: z.int(),
  /** SHA-256 of the stored (compressed) bytes. */
  sha256: z.string(),
};

/** Written by pg_dump (`custom`, for pg_restore) or pg_dumpall (`sql`, for psql). */
const dumpedArchiveSchema = z.object({
  ...storedFile,
  format: z.enum(["custom", "sql"]),
  /** What it holds: pg_dump's sections (PostgreSQL manual, pg_dump `--section`), or the cluster's roles. */
  section: z.enum(["roles", "pre-data", "data", "post-data"]),
});

/** Rows of one table, or of a range of its pages, as COPY writes them (text format). */
const copiedArchiveSchema = z.object({
  ...storedFile,
  format: z.literal("copy"),
  section: z.literal("data"),
  schema: z.string(),
  table: z.string(),
  /** In the order of the values. */
  columns: z.array(z.string()).min(1),
  /** Takes the rows back, for whoever restores with psql. */
  statement: z.string(),
});

const archiveSchema = z.discriminatedUnion("format", [dumpedArchiveSchema, copiedArchiveSchema]);

export type DumpedArchive = z.infer<typeof dumpedArchiveSchema>;
export type CopiedArchive = z.infer<typeof copiedArchiveSchema>;
export type Archive = z.infer<typeof archiveSchema>;

export const manifestSchema = z.object({
  schemaVersion: z.literal(1),
  name: z.string(),
  tier: z.enum(retentionTiers),
  runId: z.string(),
  database: databaseIdentitySchema,
  /** Size of the database in bytes (`pg_database_size`): what a restore needs room for. */
  databaseBytes: z.int(),
  /** How the database was created; a restore makes its own like it. */
  encoding: z.string(),
  collate: z.string(),
  ctype: z.string(),
  /** Who compares text; `locale` is of icu and builtin only (PostgreSQL manual, "23.1.4 Locale Providers"). */
  localeProvider: z.enum(["libc", "icu", "builtin"]).default("libc"),
  locale: z.string().nullable().default(null),
  clientVersion: z.string(),
  snapshot: z.object({ id: z.string(), visibility: z.string(), lsn: z.string(), takenAt: z.iso.datetime() }),
  /** Roles that own or may use something in the backup. */
  roles: z.array(z.string()),
  /** Those of them that are superusers at the source: some objects may belong to nobody else. */
  superusers: z.array(z.string()).default([]),
  extensions: z.array(z.object({ name: z.string(), version: z.string(), schema: z.string() })),
  /** What a restore gives the new database besides its contents. */
  databaseProperties: databasePropertiesSchema.default({ settings: [], rights: null }),
  /** What does not come back, and why. */
  notRestored: z.array(notRestoredSchema).default([]),
  tables: z.array(
    z.object({
      schema: z.string(),
      name: z.string(),
      rows: z.int(),
      /** Null in an encrypted backup: of a small table it would let a guess of the rows be confirmed. */
      checksum: z.string().nullable(),
      coverage: z.string(),
      /** Rows written since the server's statistics were reset, as of the snapshot; null: an earlier version. */
      writes: z.object({ inserted: z.int(), updated: z.int(), deleted: z.int() }).nullable().default(null),
    }),
  ),
  /** Public keys that the archives and the fingerprint are encrypted to; null: they are not. */
  encryption: z
    .object({ format: z.literal("age"), recipients: z.array(z.string()).min(1) })
    .nullable()
    .default(null),
  archives: z.array(archiveSchema),
  fingerprint: z.object({ file: z.string(), bytes: z.int(), sha256: z.string() }),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
});

export type Manifest = z.infer<typeof manifestSchema>;

/**
 * As it lies in a store: `sha256` is that of the rest as compact JSON, so that a bit that flipped in it is damage and no
 * other role, setting or file name. Manifests of earlier versions have none.
 */
export const storedManifestSchema = z.looseObject({ sha256: z.string().optional() }).transform((document) => {
  const { sha256, ...manifest } = document;
  // Without one nothing else may be there that is not known: its name could be what is damaged.
  if (sha256 === undefined) return manifestSchema.strict().parse(manifest);
  if (sha256 !== sha256Of(Buffer.from(JSON.stringify(manifest))))
    throw new Error("its SHA-256 is not the one that it names");
  return manifestSchema.parse(manifest);
});

export function encodeManifest(manifest: Manifest): Buffer {
  return encodeDocument({ ...manifest, sha256: sha256Of(Buffer.from(JSON.stringify(manifest))) });
}

/**
 * The oldest major of the server, and of the pg_restore, that the archives go into: the source's, or that of the
 * pg_dump that wrote them, where that is newer. What pg_restore 17 sends, no older server understands
 * (`SET transaction_timeout`).
 */
export function oldestServer(manifest: Pick<Manifest, "database" | "clientVersion">): number {
  return Math.max(majorOf(manifest.database.serverVersion), Number.parseInt(manifest.clientVersion, 10));
}

/** A backup as it is addressed: tier and name. */
export interface BackupReference {
  readonly tier: RetentionTier;
  readonly name: string;
}

/** Backups that exist (have a manifest), oldest first. */
export async function listBackups(store: Store): Promise<BackupReference[]> {
  const found = (await store.list(backupsPrefix)).flatMap(({ key }): BackupReference[] => {
    const [, tier, name, file] = key.split("/");
    const known = retentionTiers.find((candidate) => candidate === tier);
    return known !== undefined && name !== undefined && file === "manifest.json" ? [{ tier: known, name }] : [];
  });
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Names of the backups that may hold damage: those that were marked, and all that were taken since a release whose
 * verification failed and whose freeze still stands.
 */
export async function listSuspects(store: Store): Promise<ReadonlySet<string>> {
  const marked = (await store.list(marksPrefix)).flatMap(({ key }) => key.split("/")[1] ?? []);
  const since: string[] = [];
  for (const { runId } of await readFreezes(store)) {
    if (runId !== null) since.push((await readTrustedReceipt(store, runId)).receipt.backup.name);
  }
  const oldest = since.sort()[0];
  const names = oldest === undefined ? [] : (await listBackups(store)).map(({ name }) => name);
  return new Set([...marked, ...names.filter((name) => oldest !== undefined && name > oldest)]);
}

/**
 * Resolves a backup's name, or `latest`, through the manifests. `latest` passes over suspect backups: they may
 * hold the damage that somebody wants to undo; by name they can be had.
 *
 * @throws UsageError when there is no such backup.
 */
export async function resolveBackup(store: Store, wanted: string): Promise<BackupReference> {
  const backups = await listBackups(store);
  const newest = backups.at(-1);
  if (wanted === "latest") {
    const suspects = await listSuspects(store);
    const trusted = backups.findLast(({ name }) => !suspects.has(name));
    if (trusted !== undefined) return trusted;
    throw new UsageError(
      newest === undefined ? `${store.url} holds no backup` : `every backup in ${store.url} is marked as suspect`,
      {
        hint:
          newest === undefined
            ? "make one with: npm run db:backup"
            : `to use one all the same, name it: ${newest.name}`,
      },
    );
  }
  if (!isBackupName(wanted)) {
    throw new UsageError(
      `found ${JSON.stringify(wanted)}: expected latest or the name of a backup in ${store.url}, such as ${newest?.name ?? "backup_20260101_120000"}`,
      {
        hint: "npm run db:list names them; db:restore takes a file of pg_dump too, by a path with a slash in it: ./monday",
      },
    );
  }
  const found = backups.find((backup) => backup.name === wanted);
  if (found === undefined) {
    throw new UsageError(
      `${store.url} holds no backup named ${wanted}${newest === undefined ? "" : `; the newest is ${newest.name}`}`,
    );
  }
  return found;
}

/** @throws Damage when the manifest cannot be parsed, or is that of another backup; UsageError when it is gone. */
export async function readManifest(store: Store, backup: BackupReference): Promise<Manifest> {
  const manifest = await readDocument(store, manifestKey(backup.tier, backup.name), storedManifestSchema);
  if (manifest === undefined) throw new UsageError(`${store.url} holds no backup named ${backup.name}`);
  // Copied under another name, it would lead to the archives of another backup.
  if (manifest.name !== backup.name || manifest.tier !== backup.tier)
    throw new Damage(`the manifest of ${backup.name} is that of ${manifest.tier}/${manifest.name}`);
  return manifest;
}

/** The key of one of a backup's files. */
export function fileKey(backup: BackupReference, file: string): string {
  return `${backupPrefix(backup.tier, backup.name)}${file}`;
}
