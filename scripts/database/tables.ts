/**
 * Which tables are protected, and what the program needs to know of each: columns in a stable order, key,
 * and whether our role may read every row.
 */
import type { ClientBase } from "pg";
import type { Queryable } from "./queryable";
import type { QualifiedName } from "./sqlText";
import { type BackupScope, leftOutNames, readScope } from "./supabasePreset";

export interface ProtectedTable extends QualifiedName {
  readonly oid: number;
  /** Column names in `COLLATE "C"` order: a restore may give inherited tables another attribute order. */
  readonly columns: readonly string[];
  /** Columns of the primary key, else of the smallest unique index that can't hold NULLs; empty: no key. */
  readonly key: readonly string[];
  /** May the role select from it at all? */
  readonly readable: boolean;
  /** Would a row security policy filter what the role sees? */
  readonly filtered: boolean;
  /** Bytes of the table with what is stored beside it (TOAST), without indexes. */
  readonly bytes: number;
  /** Pages of the table proper. */
  readonly pages: number;
  /** Whether PostgreSQL's own table access method stores it: in pages that can be read by number. */
  readonly heap: boolean;
  /** Whether it lies below a table that is partitioned by the hash of an enum: that differs from server to server. */
  readonly loadedByRoot: boolean;
  /** Columns that COPY writes and reads, in their own order: all but generated ones. */
  readonly dataColumns: readonly string[];
  /** The partitioned tables that it is a partition of, nearest first, as `displayName` writes them. */
  readonly ancestors: readonly string[];
  /** What was written to it since the server's statistics were last reset. */
  readonly writes: TableWrites;
}

/** Rows that sessions wrote, rolled back or not (PostgreSQL manual, "27.2.19 pg_stat_all_tables"): a hint, no proof. */
export interface TableWrites {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

/**
 * Ordinary tables and partitions outside the system's own schemas, except those that belong to an
 * extension (`CREATE EXTENSION` makes them again, and pg_dump leaves them out: PostgreSQL manual,
 * "36.17 Packaging Related Objects into an Extension"), or that the platform manages ($1 schemas, $2 tables:
 * supabasePreset.ts). One dropped since the snapshot has no privileges to ask
 * for (NULL): it is no longer there.
 */
const tablesQuery = `
SELECT c.oid::int8::text AS oid, n.nspname AS schema, c.relname AS name,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              ORDER BY a.attname COLLATE "C") AS columns,
       COALESCE((SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
                               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                              WHERE k.place <= i.indnkeyatts ORDER BY k.place)
                   FROM pg_index i
                  WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                    AND i.indpred IS NULL AND i.indexprs IS NULL
                    AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
                                      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                                     WHERE k.place <= i.indnkeyatts AND NOT a.attnotnull)
                  ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1), '{}') AS key,
       has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS readable,
       row_security_active(c.oid) AS filtered,
       pg_table_size(c.oid)::text AS bytes,
       (pg_relation_size(c.oid) / current_setting('block_size')::int)::text AS pages,
       c.relam = (SELECT oid FROM pg_am WHERE amname = 'heap') AS heap,
       EXISTS (SELECT FROM pg_partition_ancestors(c.oid) p JOIN pg_partitioned_table t ON t.partrelid = p.relid
                WHERE t.partstrat = 'h'
                  AND (SELECT o.oid FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
                        WHERE o.opcname = 'enum_ops' AND m.amname = 'hash') = ANY (t.partclass::oid[])) AS "loadedByRoot",
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
              ORDER BY a.attnum) AS "dataColumns",
       ARRAY(SELECT an.nspname || '.' || ac.relname
               FROM pg_partition_ancestors(c.oid) WITH ORDINALITY AS p(relid, place)
               JOIN pg_class ac ON ac.oid = p.relid JOIN pg_namespace an ON an.oid = ac.relnamespace
              WHERE p.relid <> c.oid ORDER BY p.place) AS ancestors,
       json_build_object('inserted', pg_stat_get_tuples_inserted(c.oid), 'updated', pg_stat_get_tuples_updated(c.oid),
                         'deleted', pg_stat_get_tuples_deleted(c.oid)) AS writes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
   AND n.nspname <> ALL ($1::text[]) AND n.nspname || '.' || c.relname <> ALL ($2::text[])
   AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
   AND has_table_privilege(c.oid, 'SELECT') IS NOT NULL AND has_schema_privilege(n.oid, 'USAGE') IS NOT NULL
 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`;

interface TableRow {
  oid: string;
  schema: string;
  name: string;
  columns: string[];
  key: string[];
  readable: boolean;
  filtered: boolean;
  bytes: string;
  pages: string;
  heap: boolean;
  loadedByRoot: boolean;
  dataColumns: string[];
  ancestors: string[];
  writes: TableWrites;
}

/** `row_security_active` tells what a policy would filter, whatever the session's own `row_security` is. */
export async function listProtectedTables(client: ClientBase): Promise<ProtectedTable[]> {
  const { rows } = await client.query<TableRow>(tablesQuery, leftOut(await readScope(client)));
  return rows.map((row) => ({ ...row, oid: Number(row.oid), bytes: Number(row.bytes), pages: Number(row.pages) }));
}

function leftOut(scope: BackupScope): [schemas: string[], tables: string[]] {
  return [leftOutNames(scope, "schema"), leftOutNames(scope, "table")];
}

/** Tables that the role cannot read whole: `SELECT` is missing, or a policy would hide rows from it. */
export function unreadableTables(tables: readonly ProtectedTable[]): readonly ProtectedTable[] {
  return tables.filter((table) => !table.readable || table.filtered);
}

export interface SequenceState extends QualifiedName {
  /** Null when the sequence was never used. */
  readonly lastValue: string | null;
  readonly increment: string;
}

/** All sequences outside left-out schemas with their last value; sequences are not part of a snapshot (PostgreSQL manual, "9.17"). */
export async function listSequences(client: Queryable): Promise<SequenceState[]> {
  const { rows } = await client.query<{ schema: string; name: string; last_value: string | null; increment: string }>(
    `SELECT s.schemaname AS schema, s.sequencename AS name, s.last_value::text, s.increment_by::text AS increment
       FROM pg_sequences s
      WHERE s.schemaname <> 'information_schema' AND s.schemaname !~ '^pg_' AND s.schemaname <> ALL ($1::text[])
      ORDER BY s.schemaname COLLATE "C", s.sequencename COLLATE "C"`,
    [leftOutNames(await readScope(client), "schema")],
  );
  return rows.map((row) => ({
    schema: row.schema,
    name: row.name,
    lastValue: row.last_value,
    increment: row.increment,
  }));
}
