/**
 * What a repair has to know of a table as it is now: its columns, what fires when rows are written to it, which keys
 * must be unique, and which rows of other tables its own need.
 */
import type { ClientBase } from "pg";
import { type QualifiedName, displayName } from "../database/sqlText";

export interface LiveTable extends QualifiedName {
  readonly oid: string;
  /** The topmost partitioned table that it is a part of, as `displayName` writes it; null: it is no part. */
  readonly root: string | null;
  readonly owner: string;
  /** Whether our role has the owner's rights: only they can keep triggers from firing. */
  readonly owned: boolean;
  readonly columns: readonly LiveColumn[];
  readonly switches: readonly Switch[];
  readonly uniqueKeys: readonly UniqueKey[];
  readonly foreignKeys: readonly ForeignKey[];
}

export interface LiveColumn {
  readonly name: string;
  readonly generated: boolean;
  /** `GENERATED ALWAYS AS IDENTITY`. */
  readonly identityAlways: boolean;
  /** It takes no NULL and has nothing to fill it. */
  readonly required: boolean;
}

/** A user's trigger or rule that fires when rows are inserted or updated, and in which replication roles it does. */
export interface Switch {
  readonly kind: "TRIGGER" | "RULE";
  readonly name: string;
  /** `O`rigin and local, `A`lways, on a `R`eplica (PostgreSQL manual, "pg_trigger"). */
  readonly fires: "O" | "A" | "R";
}

/** An index whose rows keep others out: those that agree in all parts, and meet the predicate, cannot both be there. */
export interface UniqueKey {
  readonly index: string;
  /** Of an exclusion constraint: what agrees need not be equal. */
  readonly excludes: boolean;
  /** All columns that parts and predicate use. */
  readonly columns: readonly string[];
  readonly parts: readonly UniqueKeyPart[];
  readonly predicate: string | null;
  /** `NULLS NOT DISTINCT`. */
  readonly nullsEqual: boolean;
}

export interface UniqueKeyPart {
  /** SQL over the table's columns. */
  readonly text: string;
  /** The column that it is; null: it is an expression. */
  readonly column: string | null;
  /** The index's own equality, or what excludes: `OPERATOR(pg_catalog.=)`. */
  readonly operator: string;
}

export interface ForeignKey {
  readonly name: string;
  readonly columns: readonly string[];
  readonly parent: QualifiedName;
  readonly parentColumns: readonly string[];
  /** For each pair of columns, parent's first: `OPERATOR(pg_catalog.=)`. */
  readonly operators: readonly string[];
  /** Oids of the tables that hold the parent's rows: its own, or those of its partitions. */
  readonly holders: readonly string[];
  /** Columns that were set to NULL, or to their default, when a parent was deleted. */
  readonly cleared: readonly string[];
}

const operatorName = "format('OPERATOR(%I.%s)', on_.nspname, o.oprname)";

const namesOf = (numbers: string, table: string): string =>
  `ARRAY(SELECT a.attname::text FROM unnest(${numbers}) WITH ORDINALITY AS u(number, place)
          JOIN pg_attribute a ON a.attrelid = ${table} AND a.attnum = u.number ORDER BY u.place)`;

/** Before PostgreSQL 15 all columns of the key. */
const clearedOf = `COALESCE(NULLIF(ARRAY(SELECT e::int2 FROM jsonb_array_elements_text(NULLIF(to_jsonb(k)->'confdelsetcols', 'null')) e), '{}'), k.conkey)`;

/**
 * Clones of a trigger on partitions count as internal before PostgreSQL 15. Of a foreign key to a partitioned table
 * the catalog has one more entry for each of its partitions, which says nothing of its own.
 */
const tablesQuery = `
SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS name, pg_get_userbyid(c.relowner) AS owner,
       (SELECT rn.nspname || '.' || r.relname FROM pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace
         WHERE c.relispartition AND r.oid = pg_partition_root(c.oid)) AS root,
       pg_has_role(c.relowner, 'USAGE') AS owned,
       ARRAY(SELECT json_build_object('name', a.attname, 'generated', a.attgenerated <> '',
                                      'identityAlways', a.attidentity = 'a',
                                      'required', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '')
               FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       ARRAY(SELECT json_build_object('kind', s.kind, 'name', s.name, 'fires', s.fires)
               FROM (SELECT 'TRIGGER' AS kind, t.tgname AS name, t.tgenabled AS fires FROM pg_trigger t
                      WHERE t.tgrelid = c.oid
                        AND (NOT t.tgisinternal OR (t.tgconstraint = 0 AND (to_jsonb(t)->>'tgparentid')::oid <> 0))
                     UNION ALL
                     -- Event types 2 and 3: UPDATE and INSERT.
                     SELECT 'RULE', r.rulename, r.ev_enabled FROM pg_rewrite r
                      WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3')) s
              WHERE s.fires <> 'D' ORDER BY s.kind, s.name) AS switches,
       ARRAY(SELECT json_build_object(
               'index', x.relname, 'excludes', i.indisexclusion, 'predicate', pg_get_expr(i.indpred, i.indrelid),
               'nullsEqual', COALESCE((to_jsonb(i)->>'indnullsnotdistinct')::bool, false),
               'columns', ARRAY(SELECT a.attname FROM pg_attribute a
                                 WHERE a.attrelid = c.oid AND a.attnum > 0
                                   AND (a.attnum = ANY (i.indkey::int2[])
                                        OR EXISTS (SELECT FROM pg_depend d
                                                    WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                                                      AND d.refobjid = c.oid AND d.refobjsubid = a.attnum))),
               'parts', ARRAY(SELECT json_build_object('text', pg_get_indexdef(i.indexrelid, k.place::int, false),
                                                       'column', (SELECT a.attname FROM pg_attribute a
                                                                   WHERE a.attrelid = c.oid AND a.attnum > 0
                                                                     AND a.attnum = (i.indkey::int2[])[k.place - 1]),
                                                       'operator', ${operatorName})
                                FROM unnest(i.indclass::oid[]) WITH ORDINALITY AS k(class, place)
                                JOIN pg_opclass oc ON oc.oid = k.class
                                -- Strategy 3 of a B-tree is equality.
                                LEFT JOIN pg_amop m ON m.amopfamily = oc.opcfamily AND m.amopstrategy = 3 AND NOT i.indisexclusion
                                              AND m.amoplefttype = oc.opcintype AND m.amoprighttype = oc.opcintype
                                LEFT JOIN pg_constraint x_ ON x_.conindid = i.indexrelid AND x_.contype IN ('x', 'p', 'u') AND x_.conrelid = c.oid
                                JOIN pg_operator o ON o.oid = COALESCE(m.amopopr, x_.conexclop[k.place])
                                JOIN pg_namespace on_ ON on_.oid = o.oprnamespace
                               WHERE k.place <= i.indnkeyatts ORDER BY k.place))
               FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
              WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion) AND i.indisvalid ORDER BY i.indexrelid) AS "uniqueKeys",
       ARRAY(SELECT json_build_object(
               'name', k.conname, 'columns', ${namesOf("k.conkey", "k.conrelid")},
               'parent', json_build_object('schema', pn.nspname, 'name', p.relname),
               'parentColumns', ${namesOf("k.confkey", "k.confrelid")},
               'operators', ARRAY(SELECT ${operatorName}
                                    FROM unnest(k.conpfeqop) WITH ORDINALITY AS e(operator, place)
                                    JOIN pg_operator o ON o.oid = e.operator
                                    JOIN pg_namespace on_ ON on_.oid = o.oprnamespace ORDER BY e.place),
               'cleared', CASE WHEN k.confdeltype IN ('n', 'd') THEN ${namesOf(clearedOf, "k.conrelid")} ELSE '{}' END,
               'holders', ARRAY(SELECT k.confrelid::oid::text UNION
                                SELECT t.relid::oid::text FROM pg_partition_tree(k.confrelid) t))
               FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
              WHERE k.conrelid = c.oid AND k.contype = 'f'
                AND NOT EXISTS (SELECT FROM pg_constraint own WHERE own.oid = k.conparentid AND own.conrelid = k.conrelid)
                -- Since PostgreSQL 18 there are some that are not enforced, and some over periods of time.
                AND COALESCE((to_jsonb(k)->>'conenforced')::bool, true)
                AND NOT COALESCE((to_jsonb(k)->>'conperiod')::bool, false)
              ORDER BY k.conname) AS "foreignKeys"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[]))`;

/** Those that exist, by their names as people read them. The session must be pinned: the texts it gives are qualified. */
export async function readLiveTables(
  client: ClientBase,
  names: readonly QualifiedName[],
): Promise<Map<string, LiveTable>> {
  const { rows } = await client.query<LiveTable>(tablesQuery, [
    names.map(({ schema }) => schema),
    names.map(({ name }) => name),
  ]);
  return new Map(rows.map((table) => [displayName(table), table]));
}
