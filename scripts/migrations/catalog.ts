/** What the judge may ask the live database. Everything is optional knowledge: without it, it refuses. */
import type { ClientBase } from "pg";

export interface Catalog {
  /** Schemas that unqualified names are looked up in, first the one that new objects go to. */
  readonly searchPath: readonly string[];
  /** The column's type as `format_type` writes it ("character varying(50)"); undefined: no such column. */
  columnType(schema: string, table: string, column: string): Promise<string | undefined>;
  isPartitioned(schema: string, table: string): Promise<boolean>;
  /** Does a checked constraint say `column IS NOT NULL`? */
  isCheckedNotNull(schema: string, table: string, column: string): Promise<boolean>;
  /** The column of a constraint that says `column IS NOT NULL`, and whether it is NOT NULL itself; undefined: another one. */
  checkedColumn(
    schema: string,
    table: string,
    constraint: string,
  ): Promise<{ readonly column: string; readonly notNull: boolean } | undefined>;
  /** Does the view ask for its reader's rights (`security_invoker`)? */
  isInvokerView(schema: string, view: string): Promise<boolean>;
  /** Functions, procedures and aggregates of that name in these schemas, every overload. */
  routines(schemas: readonly string[], name: string): Promise<readonly LiveRoutine[]>;
  /** What the operators of that name in these schemas run, every overload. */
  operatorRoutines(schemas: readonly string[], operator: string): Promise<readonly LiveRoutine[]>;
}

/** A function as the live database has it. */
export interface LiveRoutine {
  readonly id: string;
  readonly schema: string;
  readonly name: string;
  readonly language: string;
  /** `CREATE FUNCTION …` or `CREATE PROCEDURE …`; null where its language is neither SQL nor PL/pgSQL. */
  readonly definition: string | null;
  readonly volatile: boolean;
  /** The extension that it belongs to. */
  readonly extension: string | null;
}

/** Without a database: PostgreSQL's default search path, and nothing is known of what is there. */
export const noCatalog: Catalog = {
  searchPath: ["public"],
  columnType: () => Promise.resolve(undefined),
  isPartitioned: () => Promise.resolve(false),
  isCheckedNotNull: () => Promise.resolve(false),
  checkedColumn: () => Promise.resolve(undefined),
  isInvokerView: () => Promise.resolve(false),
  routines: () => Promise.resolve([]),
  operatorRoutines: () => Promise.resolve([]),
};

/**
 * The catalog behind a connection. `searchPath` is what a new session of this role gets, whatever the given
 * session has set for itself: migrations start from there.
 */
export async function liveCatalog(client: ClientBase): Promise<Catalog> {
  const exists = async (query: string, values: readonly unknown[]): Promise<boolean> => {
    const { rows } = await client.query<{ found: boolean }>(`SELECT EXISTS (${query}) AS found`, [...values]);
    return rows[0]?.found === true;
  };
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
    isPartitioned: (schema, table) => exists(`${relationQuery} AND c.relkind = 'p'`, [schema, table]),
    isInvokerView: (schema, view) =>
      exists(
        `${relationQuery} AND c.relkind = 'v' AND EXISTS (
           SELECT FROM pg_catalog.pg_options_to_table(c.reloptions)
            WHERE option_name = 'security_invoker' AND option_value::boolean)`,
        [schema, view],
      ),
    isCheckedNotNull: (schema, table, column) =>
      exists(
        `${relationQuery} AND EXISTS (
           SELECT FROM pg_catalog.pg_constraint k
            WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.convalidated
              AND pg_catalog.pg_get_expr(k.conbin, k.conrelid) = pg_catalog.format('(%I IS NOT NULL)', $3::text))`,
        [schema, table, column],
      ),
    checkedColumn: async (schema, table, constraint) => {
      const { rows } = await client.query<{ column: string; notNull: boolean }>(
        `SELECT a.attname AS column, a.attnotnull AS "notNull"
           FROM pg_catalog.pg_constraint k
           JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
          WHERE n.nspname = $1 AND c.relname = $2 AND k.conname = $3 AND k.contype = 'c'
            AND pg_catalog.pg_get_expr(k.conbin, k.conrelid) = pg_catalog.format('(%I IS NOT NULL)', a.attname)`,
        [schema, table, constraint],
      );
      return rows[0];
    },
    routines: async (schemas, name) =>
      (
        await client.query<LiveRoutine>(`${routineColumns} WHERE n.nspname = ANY ($1::text[]) AND p.proname = $2`, [
          schemas,
          name,
        ])
      ).rows,
    operatorRoutines: async (schemas, operator) =>
      (await client.query<LiveRoutine>(`${routineColumns} WHERE p.oid IN (${operatorsQuery})`, [schemas, operator]))
        .rows,
  };
}

const relationQuery = `
  SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $1 AND c.relname = $2`;

const operatorsQuery = `
  SELECT o.oprcode::oid FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace
   WHERE s.nspname = ANY ($1::text[]) AND o.oprname = $2`;

const routineColumns = `
  SELECT p.oid::text AS id, n.nspname AS schema, p.proname AS name, l.lanname AS language, e.extname AS extension,
         p.provolatile = 'v' AS volatile,
         CASE WHEN l.lanname IN ('sql', 'plpgsql') AND p.prokind IN ('f', 'p')
              THEN pg_catalog.pg_get_functiondef(p.oid) END AS definition
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    LEFT JOIN pg_catalog.pg_depend d
      ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid`;

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
