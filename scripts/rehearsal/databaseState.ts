/**
 * What is in the database, seen past the program that is rehearsed: a digest of the catalog, and per table the number
 * of rows and of row versions. Equal states mean that nothing was created, changed or written in between.
 */
import { createHash } from "node:crypto";
import type { Client } from "pg";
import { withClient } from "./withClient";

export interface TableState {
  readonly rows: number;
  /** Sum of the rows' transaction ids: an UPDATE gives a row a new one, so it differs even where the count does not. */
  readonly versions: string;
}

export interface DatabaseState {
  /** Where the server's write-ahead log ended before this was read: whatever is written later is written there first. */
  readonly logEnd: string;
  /** SHA-256 of the catalog's text. */
  readonly catalog: string;
  /** By `schema.table`, ordered by name. */
  readonly tables: ReadonlyMap<string, TableState>;
}

const ours = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";

/** One line of text for each thing that a migration could change. */
const catalogQuery = `
  SELECT format('column %s.%s %s %s %s %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                a.attidentity, pg_get_expr(d.adbin, d.adrelid)) AS line
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE ${ours} AND c.relkind IN ('r', 'p', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT format('relation %s %s rls %s %s acl %s', c.oid::regclass, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relacl)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${ours}
  UNION ALL
  SELECT format('constraint %s %s', o.conname, pg_get_constraintdef(o.oid))
    FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace WHERE ${ours}
  UNION ALL
  SELECT format('index %s', pg_get_indexdef(i.indexrelid))
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${ours}
  UNION ALL
  SELECT format('policy %s %s %s %s %s', p.polrelid::regclass, p.polname, p.polcmd, pg_get_expr(p.polqual, p.polrelid),
                pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy p
  UNION ALL
  SELECT format('label %s %s %s', e.enumtypid::regtype, e.enumsortorder, e.enumlabel) FROM pg_enum e
  UNION ALL
  SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t WHERE NOT t.tgisinternal
  UNION ALL
  SELECT format('function %s', pg_get_functiondef(p.oid))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ${ours} AND p.prokind IN ('f', 'p')`;

/** @param known an earlier state of that database: it is the one that is there while the server has logged nothing. */
export function readDatabaseState(url: string, known?: DatabaseState): Promise<DatabaseState> {
  return withClient(url, async (client) => {
    const { rows: ends } = await client.query<{ end: string }>("SELECT pg_current_wal_insert_lsn()::text AS end");
    const logEnd = ends[0]?.end ?? "";
    if (known?.logEnd === logEnd) return known;
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const { rows } = await client.query<{ line: string }>(catalogQuery);
    const lines = rows.map(({ line }) => line).sort();
    const catalog = createHash("sha256").update(lines.join("\n")).digest("hex");
    return { logEnd, catalog, tables: await readTables(client) };
  });
}

async function readTables(client: Client): Promise<Map<string, TableState>> {
  const { rows: names } = await client.query<{ name: string; quoted: string }>(
    `SELECT n.nspname || '.' || c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${ours} AND c.relkind = 'r' ORDER BY 1`,
  );
  const tables = new Map<string, TableState>();
  for (const { name, quoted } of names) {
    const { rows } = await client.query<{ rows: number; versions: string }>(
      `SELECT count(*)::int AS rows, coalesce(sum(xmin::text::bigint), 0)::text AS versions FROM ${quoted}`,
    );
    tables.set(name, rows[0] ?? { rows: 0, versions: "0" });
  }
  return tables;
}

/** What differs between two states, in words; empty when nothing does. */
export function describeDifferences(before: DatabaseState, after: DatabaseState): string[] {
  const differences = before.catalog === after.catalog ? [] : ["the catalog changed"];
  for (const name of new Set([...before.tables.keys(), ...after.tables.keys()])) {
    const [was, is] = [before.tables.get(name), after.tables.get(name)];
    if (was?.rows !== is?.rows)
      differences.push(`${name} has ${is?.rows ?? "no"} rows instead of ${was?.rows ?? "none"}`);
    else if (was?.versions !== is?.versions) differences.push(`rows of ${name} were rewritten`);
  }
  return differences;
}
