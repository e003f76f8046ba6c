/**
 * Restores a backup beside the live database: into a new database on the same server, compared with the
 * backup's fingerprint before anybody is told that it is restored. The live database is not touched.
 */
import { Refusal } from "../contract/failure";
import { withConnection } from "../database/connect";
import { quoteIdentifier } from "../database/sqlText";
import { type DatabaseTarget, withDatabase } from "../database/target";
import type { Manifest } from "../backup/manifest";
import { createDatabaseLike } from "../scratch/scratchServer";
import type { Store } from "../store/store";
import { compareCopy, readFingerprint } from "./compareCopy";
import { restoreBackup } from "./restoreBackup";

export interface RestoreBesideOptions {
  readonly store: Store;
  readonly manifest: Manifest;
  /** The live database: names the server and the role. */
  readonly live: DatabaseTarget;
  /** Name of the new database. */
  readonly database: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

export interface RestoredBeside {
  readonly database: string;
  readonly tables: number;
  readonly rows: number;
  readonly notes: readonly string[];
}

/** `crm_restored_20261122_170212`; PostgreSQL cuts names at 63 bytes, so the live name is cut first. */
export function besideName(live: string, backupName: string): string {
  const suffix = `_restored_${backupName.replace(/^backup_/, "")}`;
  return `${Buffer.from(live)
    .subarray(0, 63 - suffix.length)
    .toString("utf8")
    .replace(/�+$/, "")}${suffix}`;
}

/**
 * @throws Refusal when the database exists already, the role may not create one, or the copy differs.
 *   Whatever goes wrong, the new database is dropped again.
 */
export async function restoreBeside(options: RestoreBesideOptions): Promise<RestoredBeside> {
  await demandFreeName(options);
  const notes = await createDatabaseLike(options.live, options.database, options.manifest);
  const target = withDatabase(options.live, options.database);
  try {
    await restoreBackup({ ...options, target });
    const fingerprint = await readFingerprint(options.store, options.manifest);
    const differences = await compareCopy(
      fingerprint,
      target,
      options.signal === undefined ? {} : { signal: options.signal },
    );
    if (differences.length > 0) {
      throw new Refusal(`the restored copy of ${options.manifest.name} differs from the backup: ${differences[0]}`, {
        details: differences,
      });
    }
    return {
      database: options.database,
      tables: fingerprint.tables.length,
      rows: fingerprint.tables.reduce((sum, table) => sum + table.rows, 0),
      notes,
    };
  } catch (error) {
    await dropDatabase(options);
    throw error;
  }
}

async function demandFreeName(options: RestoreBesideOptions): Promise<void> {
  await withConnection(options.live, async (client) => {
    const { rows } = await client.query<{ taken: boolean; may_create: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) AS taken,
              (SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_create`,
      [options.database],
    );
    if (rows[0]?.taken === true) {
      throw new Refusal(`database ${options.database} exists already on ${options.live.host}: nothing was changed`, {
        hint: "drop it, or choose another name with --database",
      });
    }
    if (rows[0]?.may_create !== true) {
      throw new Refusal(`role ${options.live.user} may not create a database on ${options.live.host}`, {
        hint: `ALTER ROLE ${options.live.user} CREATEDB, or run the restore as a role that has it`,
      });
    }
  });
}

async function dropDatabase(options: RestoreBesideOptions): Promise<void> {
  await withConnection(options.live, (client) =>
    client.query(`DROP DATABASE IF EXISTS ${quoteIdentifier(options.database)} WITH (FORCE)`),
  );
}
