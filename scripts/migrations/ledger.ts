/**
 * The ledger of applied migrations, exactly as the Supabase CLI keeps it
 * (supabase/cli, apps/cli-go/pkg/migration/history.go), so that both tools see the same history.
 */
import type { ClientBase } from "pg";
import { codeOf } from "../contract/failure";
import type { Migration } from "./sources";

const schemaStatements = [
  "CREATE SCHEMA IF NOT EXISTS supabase_migrations",
  "CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (version text NOT NULL PRIMARY KEY)",
  "ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS statements text[]",
  "ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS name text",
];

/** The versions of the ledger in the order of their text; none where the ledger does not exist yet. */
export async function appliedVersions(client: ClientBase): Promise<readonly string[]> {
  try {
    const { rows } = await client.query<{ version: string }>(
      'SELECT version FROM supabase_migrations.schema_migrations ORDER BY version COLLATE "C"',
    );
    return rows.map((row) => row.version);
  } catch (error) {
    // 42P01: no such table; 3F000: no such schema.
    if (["42P01", "3F000"].includes(codeOf(error) ?? "")) return [];
    throw error;
  }
}

/**
 * Creates what is missing of the ledger. An existing one is left alone: even `IF NOT EXISTS` would ask for
 * the right to create schemas and for an ACCESS EXCLUSIVE lock.
 */
export async function ensureLedger(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ columns: number }>(
    `SELECT count(*)::int AS columns FROM pg_catalog.pg_attribute
      WHERE attrelid = pg_catalog.to_regclass('supabase_migrations.schema_migrations')
        AND attname IN ('version', 'statements', 'name') AND NOT attisdropped`,
  );
  if (rows[0]?.columns === 3) return;
  // One simple query is one transaction.
  await client.query(schemaStatements.join(";\n"));
}

/** Records a migration as applied; fails where its version is there already. */
export async function recordApplied(
  client: ClientBase,
  migration: Pick<Migration, "version" | "name">,
  statements: readonly string[],
): Promise<void> {
  await client.query(
    "INSERT INTO supabase_migrations.schema_migrations(version, name, statements) VALUES($1, $2, $3)",
    [migration.version, migration.name, [...statements]],
  );
}
