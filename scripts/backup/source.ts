/** What a backup must know of its source beyond the tables: how to make a database like it, and what could stop it. */
import type { ClientBase } from "pg";
import { Refusal, UsageError } from "../contract/failure";
import { readDatabaseProperties } from "../database/databaseProperties";
import { displayName } from "../database/sqlText";
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
  const { rows } = await client.query<
    Pick<SourceFacts, "encoding" | "collate" | "ctype" | "localeProvider" | "locale"> & { bytes: string }
  >(
    `SELECT pg_database_size(oid)::text AS bytes, pg_encoding_to_char(encoding) AS encoding,
            datcollate AS collate, datctype AS ctype,
            -- Not before 15; the locale was renamed in 17.
            CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END AS "localeProvider",
            COALESCE(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale
       FROM pg_database d WHERE datname = current_database()`,
  );
  const database = rows[0]!;
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
    databaseBytes: Number(database.bytes),
    encoding: database.encoding,
    collate: database.collate,
    ctype: database.ctype,
    localeProvider: database.localeProvider,
    locale: database.locale,
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
        ? `a row security policy would hide rows: ALTER ROLE ${user} BYPASSRLS (docs/backup-role.sql)`
        : `GRANT SELECT ON ${displayName(first)} TO ${user} (docs/backup-role.sql)`,
      details: unreadable.map(
        (table) => `${displayName(table)}: ${table.readable ? "filtered by row security" : "no SELECT right"}`,
      ),
    },
  );
}

/**
 * pg_dump and the snapshot's leader hold one lock a table, and the server's lock table is of fixed size
 * (PostgreSQL manual, "19.12 Lock Management"): running out of it ends the dump half-way.
 *
 * @throws UsageError (exit 2) when the budget is too small.
 */
export async function demandLockBudget(client: ClientBase, tables: number): Promise<void> {
  const { rows } = await client.query<{ slots: number; per_transaction: number }>(
    `SELECT current_setting('max_locks_per_transaction')::int AS per_transaction,
            current_setting('max_locks_per_transaction')::int
            * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) AS slots`,
  );
  const budget = rows[0]!;
  if (tables <= budget.slots) return;
  const needed = Math.ceil((tables / budget.slots) * budget.per_transaction);
  throw new UsageError(
    `max_locks_per_transaction: found ${budget.per_transaction} (${budget.slots} locks in all): expected at least ${needed} for ${tables} tables`,
    { hint: `set max_locks_per_transaction = ${needed} on the server and restart it` },
  );
}
