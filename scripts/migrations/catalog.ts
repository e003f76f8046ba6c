/** What the judge may ask the live database. Everything is optional knowledge: without it, it refuses. */
import type { ClientBase } from "pg";

export interface Catalog {
  /** Schemas that unqualified names are looked up in, first the one that new objects go to. */
  readonly searchPath: readonly string[];
  /** The column's type as `format_type` writes it ("character varying(50)"); undefined: no such column. */
  columnType(schema: string, table: string, column: string): Promise<string | undefined>;
}

/**
 * The catalog behind a connection. `searchPath` is what a new session of this role gets, whatever the given
 * session has set for itself: migrations start from there.
 */
export async function liveCatalog(client: ClientBase): Promise<Catalog> {
  return {
    searchPath: await defaultSearchPath(client),
    columnType: async (schema, table, column) => {
      const { rows } = await client.query<{ type: string }>(
        `SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) AS type
           FROM pg_catalog.pg_attribute a
           JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped`,
        [schema, table, column],
      );
      return rows[0]?.type;
    },
  };
}

/**
 * `reset_val` is the value after `RESET ALL`. `"$user"` counts only where a schema of that name exists;
 * `pg_temp` is an alias that no catalog lists.
 */
async function defaultSearchPath(client: ClientBase): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT e.name
       FROM pg_catalog.pg_settings s,
            pg_catalog.regexp_split_to_table(s.reset_val, '\\s*,\\s*') WITH ORDINALITY AS p(entry, place),
            LATERAL (SELECT CASE pg_catalog.btrim(p.entry, '"') WHEN '$user' THEN current_user::text
                            ELSE pg_catalog.btrim(p.entry, '"') END AS name) e
      WHERE s.name = 'search_path'
        AND (e.name = 'pg_temp' OR EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = e.name))
      ORDER BY p.place`,
  );
  return rows.map((row) => row.name);
}
