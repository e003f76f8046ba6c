/** Columns of ordinary and partitioned tables, with what it takes to add them elsewhere with the same values. */
import type { Client } from "pg";
import { leftOutNames, readScope } from "../database/supabasePreset";
import { ownSchema } from "./pair";

export interface ColumnFacts {
  /** `schema.name` */
  readonly table: string;
  readonly column: string;
  /** For SQL. */
  readonly quotedTable: string;
  readonly quotedColumn: string;
  /** As `format_type` writes it. */
  readonly type: string;
  /** For SQL, where it is another than the type's own. */
  readonly collation: string | null;
  readonly required: boolean;
  readonly identity: boolean;
  /** Null: it is not generated. */
  readonly generated: "STORED" | "VIRTUAL" | null;
  /** The default's expression, or the generating one. */
  readonly default: string | null;
  /** Whether that expression gives each row another value: it calls something volatile. */
  readonly computed: boolean;
  /** What the rows have that were there when the column came (PostgreSQL manual, "pg_attribute", `attmissingval`); of partitions, one's. */
  readonly missingValue: string | null;
  /** Whether the table has a row. */
  readonly filled: boolean;
  /** From a parent or partitioned table. */
  readonly inherited: boolean;
}

/**
 * What an expression calls stands in its tree as `:funcid` and `:opfuncid`; `pg_depend` knows nothing of the server's own
 * functions. With `search_path = pg_catalog` types and expressions are schema-qualified.
 */
const columnsQuery = `
SELECT n.nspname || '.' || c.relname AS table, a.attname::text AS column, format('%I.%I', n.nspname, c.relname) AS "quotedTable",
       quote_ident(a.attname) AS "quotedColumn", format_type(a.atttypid, a.atttypmod) AS type,
       CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END AS collation,
       a.attnotnull AS required, a.attidentity <> '' AS identity,
       CASE a.attgenerated WHEN 's' THEN 'STORED' WHEN 'v' THEN 'VIRTUAL' END AS generated,
       pg_get_expr(d.adbin, d.adrelid) AS default,
       COALESCE(d.adbin::text ~ 'NEXTVALUEEXPR' OR EXISTS (
         SELECT FROM regexp_matches(d.adbin::text, ':(?:funcid|opfuncid) (\\d+)', 'g') m JOIN pg_proc p ON p.oid = m[1]::oid
          WHERE p.provolatile = 'v'), false) AS computed,
       CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1]
            WHEN c.relkind = 'p' THEN (SELECT (l.attmissingval::text::text[])[1] FROM pg_partition_tree(c.oid) p
              JOIN pg_attribute l ON l.attrelid = p.relid AND l.attname = a.attname AND l.atthasmissing LIMIT 1) END AS "missingValue",
       c.relpages > 0 OR c.relkind = 'p' OR pg_relation_size(c.oid) > 0 AS filled, a.attinhcount > 0 AS inherited
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped
   AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND n.nspname <> ALL ($1::text[])
   AND n.nspname || '.' || c.relname <> ALL ($2::text[])
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
 ORDER BY n.nspname, c.relname, a.attnum`;

export async function readColumns(client: Client): Promise<ColumnFacts[]> {
  const scope = await readScope(client);
  const schemas = [...leftOutNames(scope, "schema"), ownSchema];
  return (await client.query<ColumnFacts>(columnsQuery, [schemas, leftOutNames(scope, "table")])).rows;
}
