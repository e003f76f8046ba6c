/** What the ledgers of other tools say is applied. They are only read: the tool writes its own. */
import type { ClientBase } from "pg";
import { UsageError } from "../contract/failure";
import { quoteIdentifier } from "../database/sqlText";
import type { Migration } from "./sources";
import { type OtherTool, repeatableId } from "./toolFolders";

/** The name of each tool's ledger. */
const ledgers: Readonly<Record<OtherTool, string>> = {
  prisma: "_prisma_migrations",
  drizzle: "__drizzle_migrations",
  "node-pg-migrate": "pgmigrations",
  flyway: "flyway_schema_history",
};

/**
 * The versions, as `readToolFolder` names them, of what is applied; none where there is no ledger yet.
 *
 * @throws UsageError where several schemas hold such a ledger and none of them is the tool's usual one.
 */
export async function appliedByTool(
  client: ClientBase,
  tool: OtherTool,
  migrations: readonly Migration[],
): Promise<readonly string[]> {
  const name = ledgers[tool];
  // Not by the search path: our sessions have none.
  const { rows } = await client.query<{ schema: string }>(
    `SELECT n.nspname AS schema FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relname = $1 AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' ORDER BY 1`,
    [name],
  );
  const schemas = rows.map(({ schema }) => schema);
  const usual = tool === "drizzle" ? "drizzle" : "public";
  const schema = schemas.length > 1 ? schemas.find((one) => one === usual) : schemas[0];
  if (schema !== undefined) return readers[tool](client, `${quoteIdentifier(schema)}.${name}`, migrations);
  if (schemas.length === 0) return [];
  throw new UsageError(`found the ledger ${name} in the schemas ${schemas.join(", ")}: expected one of them`);
}

type Reader = (client: ClientBase, ledger: string, migrations: readonly Migration[]) => Promise<readonly string[]>;

const readers: Readonly<Record<OtherTool, Reader>> = {
  /** One that failed or was rolled back is not applied. */
  prisma: (client, ledger) =>
    texts(
      client,
      `SELECT migration_name AS id FROM ${ledger} WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL`,
    ),

  /** drizzle-orm applies whatever is younger than the youngest one in its ledger, and nothing else. */
  drizzle: async (client, ledger, migrations) => {
    const ids = await texts(client, `SELECT created_at::text AS id FROM ${ledger}`);
    const newest = ids.map(Number).sort((a, b) => b - a)[0];
    if (newest === undefined) return [];
    return migrations.map(({ version }) => version).filter((version) => Number(version) <= newest);
  },

  "node-pg-migrate": (client, ledger) => texts(client, `SELECT name AS id FROM ${ledger}`),

  /** The last row of a version counts: an undo follows what it undid. A repeatable one is known by its last checksum. */
  flyway: async (client, ledger, migrations) => {
    const { rows } = await client.query<{
      version: string | null;
      script: string;
      type: string;
      checksum: number | null;
    }>(`SELECT version, script, type, checksum FROM ${ledger} WHERE success ORDER BY installed_rank`);
    const applied = new Map<string, string>();
    for (const { version, script, type, checksum } of rows) {
      if (version === null) applied.set(script, repeatableId(script, checksum ?? 0));
      else if (type.startsWith("UNDO")) applied.delete(version);
      else applied.set(version, version);
    }
    const baseline = rows.filter(({ type }) => type === "BASELINE").at(-1)?.version;
    const below = migrations.findLastIndex(({ version }) => version === baseline);
    return [...applied.values(), ...migrations.slice(0, below + 1).map(({ version }) => version)];
  },
};

async function texts(client: ClientBase, query: string): Promise<readonly string[]> {
  const { rows } = await client.query<{ id: string }>(query);
  return rows.map(({ id }) => id);
}
