/**
 * What a CREATE INDEX CONCURRENTLY leaves when it breaks off: an invalid index, which the server keeps up to
 * date and never uses, and which `IF NOT EXISTS` takes for the real one (PostgreSQL manual, "CREATE INDEX",
 * "Building Indexes Concurrently": drop it and try again).
 */
import type { ClientBase } from "pg";
import { Unavailable } from "../contract/failure";
import { quoteIdentifier } from "../database/sqlText";
import type { ParsedStatement } from "./parser";
import { as } from "./syntaxTree";

/**
 * Drops the invalid index of that name that an interrupted run of this very statement left; does nothing for
 * other statements, valid indexes and indexes without a name.
 *
 * @throws Unavailable while another session is building that index.
 */
export async function dropInvalidRemains(client: ClientBase, statement: ParsedStatement): Promise<void> {
  const create = as(statement.node, "IndexStmt");
  if (create?.concurrent !== true || create.idxname === undefined) return;
  const { schemaname: schema, relname: table = "" } = create.relation ?? {};
  const written = [schema, table]
    .filter((part) => part !== undefined)
    .map(quoteIdentifier)
    .join(".");
  const { rows } = await client.query<{ name: string; building: boolean }>(
    `SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
            EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = c.oid) AS building
       FROM pg_catalog.pg_index i
       JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE i.indrelid = pg_catalog.to_regclass($1) AND c.relname = $2 AND NOT i.indisvalid`,
    [written, create.idxname],
  );
  const remains = rows[0];
  if (remains === undefined) return;
  if (remains.building)
    throw new Unavailable(`another session is building the index ${remains.name}: try again when it is done`);
  await client.query(`DROP INDEX CONCURRENTLY ${remains.name}`);
}
