/** What a backup must know of its source beyond the tables: how to make a database like it, and what could stop it. */
import type { ClientBase } from "pg";
import { Refusal, UsageError } from "../contract/failure";
import { readDatabaseForm } from "../database/databaseForm";
import { readDatabaseProperties } from "../database/databaseProperties";
import { displayName, quoteIdentifier, quoteName } from "../database/sqlText";
import { leftOutNames, readScope } from "../database/supabasePreset";
import { type ProtectedTable, unreadableTables } from "../database/tables";
import type { Manifest } from "./manifest";
import { findNotRestored } from "./notRestored";

export type SourceFacts = Pick<
  Manifest,
  | "databaseBytes"
  | "encoding"
  | "collate"
  | "ctype"
  | "localeProvider"
  | "locale"
  | "roles"
  | "superusers"
  | "extensions"
  | "databaseProperties"
  | "notRestored"
>;

/** @param client a session in the backup's snapshot. */
export async function readSourceFacts(client: ClientBase): Promise<SourceFacts> {
  const scope = await readScope(client);
  // Every server brings its own pg_* roles, and nobody may create one.
  const roles = await client.query<{ name: string; superuser: boolean }>(
    `SELECT name, EXISTS (SELECT FROM pg_roles WHERE rolname = name AND rolsuper) AS superuser FROM (
      SELECT DISTINCT r.rolname::text AS name
       FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
      WHERE d.refclassid = 'pg_authid'::regclass
        AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      UNION SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace
      UNION SELECT pg_get_userbyid(relowner)::text FROM pg_class
     ) owners WHERE name !~ '^pg_' ORDER BY name`,
  );
  const extensions = await client.query<{ name: string; version: string; schema: string }>(
    `SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema
       FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> ALL ($1) ORDER BY 1`,
    [leftOutNames(scope, "extension")],
  );
  return {
    ...(await readDatabaseForm(client)),
    roles: roles.rows.map((row) => row.name),
    superusers: roles.rows.filter((row) => row.superuser).map((row) => row.name),
    extensions: extensions.rows,
    databaseProperties: await readDatabaseProperties(client),
    notRestored: await findNotRestored(client, scope),
  };
}

/**
 * @throws Refusal naming each table that the role cannot read whole; pg_dump would fail there, or, under a
 *   policy, write fewer rows.
 */
export function demandReadable(tables: readonly ProtectedTable[], user: string): void {
  const unreadable = unreadableTables(tables);
  if (unreadable.length === 0) return;
  const first = unreadable[0]!;
  throw new Refusal(
    `role ${user} cannot read every row of ${unreadable.length} table(s): ${unreadable.map(displayName).slice(0, 5).join(", ")}${unreadable.length > 5 ? ", …" : ""}`,
    {
      hint: first.readable
        ? `a row security policy would hide rows: ALTER ROLE ${quoteIdentifier(user)} BYPASSRLS (docs/backup-role.sql)`
        : `GRANT SELECT ON ${quoteName(first)} TO ${quoteIdentifier(user)} (docs/backup-role.sql)`,
      details: unreadable.map(
        (table) => `${displayName(table)}: ${table.readable ? "filtered by row security" : "no SELECT right"}`,
      ),
    },
  );
}

/** What readers hold beside the leader: a table with its indexes, for each of the last few items of a few readers. */
const locksOfReaders = { eachTable: 5, most: 1_000 };

/**
 * Three sessions lock every table at the same time: the snapshot's leader, the pg_dump that writes definitions, and the
 * one that writes rows; the leader and the latter also lock every sequence. The server's lock table is of fixed size:
 * one entry for each thing that is locked, and twice as many for who holds it (PostgreSQL: lock.c, `NLOCKENTS`, and
 * manual, "19.12 Lock Management"). Full, it would end the dump half-way, and the statements of everybody else.
 *
 * @throws UsageError (exit 2) when there is no room for them.
 */
export async function demandLockBudget(client: ClientBase): Promise<void> {
  const scope = await readScope(client);
  const { rows } = await client.query<{ tables: number; sequences: number; per_transaction: number; sessions: number }>(
    `SELECT count(*) FILTER (WHERE c.relkind <> 'S')::int AS tables, count(*) FILTER (WHERE c.relkind = 'S')::int AS sequences,
            current_setting('max_locks_per_transaction')::int AS per_transaction,
            -- What the server counts as MaxBackends (postinit.c, InitializeMaxBackends); one of them was renamed in 18.
            current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int
              + COALESCE(current_setting('autovacuum_worker_slots', true), current_setting('autovacuum_max_workers'))::int + 1
              + current_setting('max_worker_processes')::int + current_setting('max_wal_senders')::int AS sessions
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND n.nspname <> ALL ($1)`,
    [leftOutNames(scope, "schema")],
  );
  const { tables, sequences, per_transaction: found, sessions } = rows[0]!;
  const ofReaders = Math.min(locksOfReaders.eachTable * tables, locksOfReaders.most);
  const things = tables + sequences + ofReaders;
  const holdings = 3 * tables + 2 * sequences + ofReaders;
  const needed = Math.ceil(Math.max(things, holdings / 2) / sessions);
  if (needed <= found) return;
  throw new UsageError(
    `max_locks_per_transaction: found ${found}, expected at least ${needed} for ${tables} tables and ${sequences} sequences`,
    { hint: `set max_locks_per_transaction = ${needed} on the server and restart it` },
  );
}
