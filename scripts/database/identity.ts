/**
 * Which database this is, so that nothing destructive ever happens to the wrong one: shown to people,
 * recorded in receipts and manifests, and matched before every release step.
 */
import type { ClientBase } from "pg";
import { z } from "zod";
import { Unavailable } from "../contract/failure";
import { type DatabaseTarget, describeTarget } from "./target";

export const databaseIdentitySchema = z.object({
  host: z.string(),
  port: z.int(),
  database: z.string(),
  /** `pg_control_system().system_identifier`: unique per cluster, kept by restores of data, not by initdb. */
  systemIdentifier: z.string(),
  /** `server_version_num`, e.g. 170010. */
  serverVersion: z.int(),
});

export type DatabaseIdentity = z.infer<typeof databaseIdentitySchema>;

export async function readIdentity(client: ClientBase, target: DatabaseTarget): Promise<DatabaseIdentity> {
  const { rows } = await client.query<{ database: string; system_identifier: string; version: number }>(
    `SELECT current_database() AS database,
            (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
            current_setting('server_version_num')::int AS version`,
  );
  const row = rows[0]!;
  return {
    host: target.host,
    port: target.port,
    database: row.database,
    systemIdentifier: row.system_identifier,
    serverVersion: row.version,
  };
}

/** What to do about a database that takes no writes. Supabase: "Database size", disk size 95 % full. */
export const readOnlyHint =
  "a standby: name the primary; read-only mode, into which Supabase puts a project whose disk is nearly full: give it more disk";

/**
 * The identity of a database that is about to be changed.
 *
 * @throws Unavailable where it takes no writes now: before anything was asked, frozen or backed up.
 */
export async function readWritableIdentity(client: ClientBase, target: DatabaseTarget): Promise<DatabaseIdentity> {
  const { rows } = await client.query<{ standby: boolean; readonly: boolean }>(
    "SELECT pg_catalog.pg_is_in_recovery() AS standby, pg_catalog.current_setting('transaction_read_only') = 'on' AS readonly",
  );
  const { standby, readonly } = rows[0]!;
  if (standby || readonly)
    throw new Unavailable(
      `${target.source}: ${describeTarget(target)} is ${standby ? "a standby" : "in read-only mode"}: nothing was changed`,
      { hint: readOnlyHint },
    );
  return readIdentity(client, target);
}

/** The same database, whatever address it was reached by (direct host, pooler). */
export function isSameDatabase(
  a: Pick<DatabaseIdentity, "systemIdentifier" | "database">,
  b: Pick<DatabaseIdentity, "systemIdentifier" | "database">,
): boolean {
  return a.systemIdentifier === b.systemIdentifier && a.database === b.database;
}

export function describeIdentity(identity: DatabaseIdentity): string {
  return `${identity.host}:${identity.port}/${identity.database} (system ${identity.systemIdentifier}, PostgreSQL ${majorOf(identity.serverVersion)})`;
}

/** 17 of 170010. */
export function majorOf(serverVersion: number): number {
  return Math.floor(serverVersion / 10_000);
}
