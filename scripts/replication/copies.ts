/** One location as it is: which backups and documents lie there, and whether each backup is whole. */
import { createHash } from "node:crypto";
import { type BackupReference, type Manifest, fileKey, listBackups, storedManifestSchema } from "../backup/manifest";
import { Damage, messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";
import { mapBounded } from "../retention/mapBounded";
import { chunksOf } from "../store/chunks";
import { decodeDocument, sha256Of } from "../store/documents";
import { backupPrefix, environmentPrefix, manifestKey, marksPrefix } from "../store/layout";
import { NotFound, type Store, readBytes } from "../store/store";

/** How far a copy is looked at: `sizes` reads manifests only, `contents` every byte of every file. */
export type Look = "sizes" | "contents";

/** A file that the manifest names. */
export type NamedFile = Pick<Manifest["fingerprint"], "file" | "bytes" | "sha256">;

export interface BackupCopy {
  readonly backup: BackupReference;
  /** Of the manifest's bytes. It names the SHA-256 of every file: equal manifests, and whole copies, are equal backups. */
  readonly manifestSha256: string;
  /** Null when the manifest cannot be read. */
  readonly manifest: Manifest | null;
  /** What is wrong with the copy; null: it is whole, as far as it was looked at. */
  readonly problem: string | null;
}

/** Backups looked at at once, in one store. */
const backupsInFlight = 4;

/** What a location holds besides backups that must be the same everywhere: suspect marks, accepted environments. */
const documentPrefixes = [marksPrefix, environmentPrefix];

/** Every backup that has a manifest, by `tier/name`. */
export async function readCopies(
  store: Store,
  look: Look,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, BackupCopy>> {
  const copies = await mapBounded(await listBackups(store), backupsInFlight, (backup) =>
    readCopy(store, backup, look, signal),
  );
  return new Map(copies.flatMap((copy) => (copy === undefined ? [] : [[nameOf(copy.backup), copy]])));
}

export function nameOf({ tier, name }: BackupReference): string {
  return `${tier}/${name}`;
}

/** The archives and the fingerprint. */
export function filesOf(manifest: Manifest): readonly NamedFile[] {
  return [...manifest.archives, manifest.fingerprint];
}

/** Undefined: its manifest was removed since it was listed. */
async function readCopy(
  store: Store,
  backup: BackupReference,
  look: Look,
  signal: AbortSignal | undefined,
): Promise<BackupCopy | undefined> {
  signal?.throwIfAborted();
  const key = manifestKey(backup.tier, backup.name);
  let bytes: Buffer;
  try {
    bytes = await readBytes(store, key);
  } catch (error) {
    if (error instanceof NotFound) return undefined;
    throw error;
  }
  const copy = { backup, manifestSha256: sha256Of(bytes) };
  try {
    const manifest = decodeDocument(storedManifestSchema, bytes, key);
    if (nameOf(manifest) !== nameOf(backup))
      return { ...copy, manifest: null, problem: `its manifest is that of ${nameOf(manifest)}` };
    return { ...copy, manifest, problem: await problemOf(store, manifest, look, signal) };
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    return { ...copy, manifest: null, problem: redact(messageOf(error)) };
  }
}

/** The first file that is not what the manifest says; null: none. */
async function problemOf(
  store: Store,
  manifest: Manifest,
  look: Look,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  const stored = new Map(
    (await store.list(backupPrefix(manifest.tier, manifest.name))).map(({ key, bytes }) => [key, bytes]),
  );
  for (const { file, bytes, sha256 } of filesOf(manifest)) {
    const found = stored.get(fileKey(manifest, file));
    if (found === undefined) return `${file} is missing`;
    if (found !== bytes) return `${file} has ${found} bytes, expected ${bytes}`;
    if (look === "contents" && (await sha256In(store, fileKey(manifest, file), signal)) !== sha256)
      return `${file} does not have its checksum`;
  }
  return null;
}

/** SHA-256 of an object, read to its end in constant memory. @throws NotFound; Unavailable. */
export async function sha256In(store: Store, key: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunksOf(await store.read(key), signal)) hash.update(chunk);
  return hash.digest("hex");
}

/** SHA-256 of each document that must be the same everywhere, by key. */
export async function readDocuments(store: Store, signal?: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const listed = await Promise.all(documentPrefixes.map((prefix) => store.list(prefix)));
  const read = await mapBounded(listed.flat(), backupsInFlight, async ({ key }): Promise<[string, string]> => {
    return [key, await sha256In(store, key, signal)];
  });
  return new Map(read);
}
