/**
 * Puts a backup's archives into an empty database: roles first, then schema, rows, and what needs the rows.
 * Every archive is checked against the manifest while it is read; a damaged one ends the restore.
 */
import { Writable } from "node:stream";
import { Damage, UsageError } from "../contract/failure";
import { withConnection } from "../database/connect";
import { majorOf } from "../database/identity";
import { findPostgres } from "../database/postgresPrograms";
import { startProgram } from "../database/program";
import { quoteIdentifier } from "../database/sqlText";
import type { DatabaseTarget } from "../database/target";
import { readVerified } from "../backup/archiveStream";
import { type Archive, type Manifest, fileKey } from "../backup/manifest";
import type { Store } from "../store/store";

export interface RestoreOptions {
  readonly store: Store;
  readonly manifest: Manifest;
  /** An empty database. */
  readonly target: DatabaseTarget;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

const sectionOrder: readonly Archive["section"][] = ["pre-data", "data", "post-data"];

/**
 * @throws Damage when an archive differs from the manifest or pg_restore cannot read it.
 */
export async function restoreBackup(options: RestoreOptions): Promise<void> {
  const { manifest } = options;
  const serverMajor = await withConnection(options.target, async (client) => {
    const { rows } = await client.query<{ version: number }>(
      "SELECT current_setting('server_version_num')::int AS version",
    );
    return majorOf(rows[0]!.version);
  });
  const sourceMajor = majorOf(manifest.database.serverVersion);
  if (serverMajor < sourceMajor) {
    throw new UsageError(
      `the backup is of PostgreSQL ${sourceMajor}, the server to restore into is ${serverMajor}: expected ${sourceMajor} or newer`,
    );
  }
  await createMissingRoles(options.target, manifest.roles);
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
    args: ["--no-password", "--exit-on-error", "--single-transaction", `--dbname=${options.target.database}`],
    target: options.target,
    ...signal,
  });
  const key = fileKey({ tier: options.manifest.tier, name: options.manifest.name }, archive.file);
  program.stdout.resume();
  const read = readVerified(options.store, key, archive, program.stdin, options.signal);
  const [reading, restoring] = await Promise.allSettled([read, program.succeeded]);
  // Damage explains whatever pg_restore then stumbled over.
  if (reading.status === "rejected" && reading.reason instanceof Damage) throw reading.reason;
  if (restoring.status === "rejected") {
    // It stops reading where it fails, and the checksum that tells damage comes last: read on, to the end.
    await readVerified(options.store, key, archive, nowhere(), options.signal);
    throw restoring.reason;
  }
  if (reading.status === "rejected") throw reading.reason;
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}

/** Owners and grantees must exist before their objects; they get no right to log in from us. */
async function createMissingRoles(target: DatabaseTarget, roles: readonly string[]): Promise<void> {
  await withConnection(target, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      "SELECT w.name FROM unnest($1::text[]) AS w(name) WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = w.name)",
      [roles],
    );
    for (const { name } of rows) await client.query(`CREATE ROLE ${quoteIdentifier(name)} NOLOGIN`);
  });
}
