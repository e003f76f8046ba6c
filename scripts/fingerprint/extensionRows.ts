/**
 * Rows that belong to nobody's tables but to an extension's, and that pg_dump writes all the same, because the extension
 * says so: the jobs of pg_cron (PostgreSQL manual, "36.17.3 Extension Configuration Tables").
 */
import type { Queryable } from "../database/queryable";
import { quoteName } from "../database/sqlText";

export interface ExtensionRows {
  /** `cron.job`. */
  readonly name: string;
  /** How many, and the sum of their hashes. */
  readonly content: string;
}

/**
 * Of the tables that the role may read whole and in which there are such rows.
 *
 * @param leftOut extensions that are in no backup.
 */
export async function readExtensionRows(client: Queryable, leftOut: readonly string[]): Promise<ExtensionRows[]> {
  const { rows: tables } = await client.query<{ schema: string; name: string; condition: string }>(
    `SELECT n.nspname AS schema, c.relname AS name, t.condition
       FROM pg_extension e CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) AS t(relation, condition)
       JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND e.extname <> ALL ($1::text[]) AND has_schema_privilege(n.oid, 'USAGE')
        AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid)
      ORDER BY 1, 2`,
    [leftOut],
  );
  const found: ExtensionRows[] = [];
  for (const { schema, name, condition } of tables) {
    // The condition is a WHERE, or nothing; the names in it are those of the columns.
    const { rows } = await client.query<{ count: string; sum: string | null }>(
      `SELECT count(*)::text AS count, sum(hashtextextended(t::text, 0)::numeric)::text AS sum
         FROM ONLY ${quoteName({ schema, name })} t ${condition}`,
    );
    const { count, sum } = rows[0]!;
    if (count !== "0") found.push({ name: `${schema}.${name}`, content: `${count} ${sum}` });
  }
  return found;
}
