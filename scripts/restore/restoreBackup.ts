/**
 * Puts a backup's archives into an empty database: roles first, then schema, rows, and what needs the rows.
 * Every archive is checked against the manifest while it is read; a damaged one ends the restore.
 */
import { UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { applyDatabaseProperties } from "../database/databaseProperties";
import { majorOf } from "../database/identity";
import { findPostgres } from "../database/postgresPrograms";
import { startProgram } from "../database/program";
import { quoteIdentifier } from "../database/sqlText";
import type { DatabaseTarget } from "../database/target";
import { demandIdentity } from "../backup/ageKeys";
import { type Archive, type Manifest, oldestServer } from "../backup/manifest";
import type { Store } from "../store/store";
import { feedArchive } from "./readArchive";

export interface RestoreOptions {
  readonly store: Store;
  readonly manifest: Manifest;
  /** An empty database. */
  readonly target: DatabaseTarget;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

const sectionOrder: readonly Archive["section"][] = ["pre-data", "data", "post-data"];

/** Whether `restoreBackup` reads it; of the cluster's roles it makes those that the manifest names. */
export function isRestored(archive: Archive): boolean {
  return sectionOrder.includes(archive.section);
}

/**
 * @throws Damage when an archive differs from the manifest or pg_restore cannot read it.
 */
export async function restoreBackup(options: RestoreOptions): Promise<void> {
  const { manifest } = options;
  await demandIdentity(manifest.encryption?.recipients ?? [], `${manifest.name} is encrypted`);
  const serverMajor = await withConnection(options.target, async (client) => {
    const { rows } = await client.query<{ version: number }>(
      "SELECT current_setting('server_version_num')::int AS version",
    );
    return majorOf(rows[0]!.version);
  });
  const oldest = oldestServer(manifest);
  if (serverMajor < oldest) {
    throw new UsageError(
      `the backup is of PostgreSQL ${majorOf(manifest.database.serverVersion)}, written by pg_dump ${manifest.clientVersion}; the server to restore into is ${serverMajor}: expected ${oldest} or newer`,
    );
  }
  const created = await createMissingRoles(options);
  try {
    await restoreArchives(options, serverMajor);
  } catch (error) {
    await demote(options.target, created).catch(() => undefined); // the first failure says more
    throw error;
  }
  await demote(options.target, created);
  const notes = await withConnection(options.target, (client) =>
    applyDatabaseProperties(client, manifest.databaseProperties),
  );
  for (const note of notes) options.onProgress?.(note);
}

async function restoreArchives(options: RestoreOptions, serverMajor: number): Promise<void> {
  const { manifest } = options;
  const { binDir } = findPostgres({ atLeast: serverMajor, use: "client" });
  for (const section of sectionOrder) {
    for (const archive of manifest.archives.filter((candidate) => candidate.section === section)) {
      options.signal?.throwIfAborted();
      await restoreArchive(options, archive, binDir);
      options.onProgress?.(`${archive.file} restored`);
    }
  }
}

async function restoreArchive(options: RestoreOptions, archive: Archive, binDir: string): Promise<void> {
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const program = startProgram({
    binDir,
    program: "pg_restore",
    // One transaction an archive: an archive that turns out to be damaged at its end leaves no row behind.
    args: [
      ...["--no-password", "--exit-on-error", "--single-transaction", `--dbname=${options.target.database}`],
      // Another server need have neither the tablespaces nor what provides the labels (manifest.notRestored).
      ...["--no-tablespaces", "--no-security-labels"],
    ],
    target: options.target,
    ...signal,
  });
  await feedArchive({ store: options.store, backup: options.manifest, archive, ...signal }, program);
}

/** Roles that own or may use something in the backup and that the server lacks: `restoreBackup` creates them. */
export async function findMissingRoles(target: DatabaseTarget, roles: readonly string[]): Promise<string[]> {
  return withConnection(target, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      "SELECT w.name FROM unnest($1::text[]) AS w(name) WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = w.name)",
      [roles],
    );
    return rows.map(({ name }) => name);
  });
}

/**
 * Owners and grantees must exist before their objects; they get no right to log in from us. An event trigger or a
 * foreign-data wrapper may belong to nobody but a superuser: such roles are superusers while the restore runs.
 *
 * @returns the superusers among those that were created.
 */
async function createMissingRoles(options: RestoreOptions): Promise<string[]> {
  const missing = await findMissingRoles(options.target, options.manifest.roles);
  if (missing.length === 0) return [];
  const raised = await withConnection(options.target, async (client) => {
    const { rows } = await client.query<{ superuser: boolean }>(
      "SELECT rolsuper AS superuser FROM pg_roles WHERE rolname = current_user",
    );
    const superusers = rows[0]?.superuser === true ? options.manifest.superusers : [];
    for (const name of missing) {
      const attribute = superusers.includes(name) ? " SUPERUSER" : "";
      await client.query(`CREATE ROLE ${quoteIdentifier(name)} NOLOGIN${attribute}`);
    }
    return missing.filter((name) => superusers.includes(name));
  });
  options.onProgress?.(`roles created on the server, without login: ${missing.join(", ")}`);
  return raised;
}

/** What already belongs to them stays theirs: PostgreSQL asks only when an owner is set. */
async function demote(target: DatabaseTarget, roles: readonly string[]): Promise<void> {
  if (roles.length === 0) return;
  await withConnection(target, async (client) => {
    for (const name of roles) await client.query(`ALTER ROLE ${quoteIdentifier(name)} NOSUPERUSER`);
  });
}
