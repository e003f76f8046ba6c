/**
 * The definitions in a database's catalog as `{kind, name, digest}` items, so that a restored copy can be
 * compared with its source and a difference can be named. Names of roles are part of privileges.
 */
import { createHash } from "node:crypto";
import type { Queryable } from "../database/queryable";
import { type BackupScope, leftOutNames, readScope } from "../database/supabasePreset";
import { databaseQueries } from "./catalogOfDatabases";
import { tableQueries } from "./catalogOfTables";
import { typeQueries } from "./catalogOfTypes";
import { type CatalogQueries, catalogScope, heldRights, notOfExtension, rightsOf } from "./catalogTerms";
import { readExtensionRows } from "./extensionRows";
import type { CatalogItem } from "./fingerprint";

/** When a trigger fires (PostgreSQL manual, "pg_trigger", `tgenabled`). */
const heldFiring = (enabled: string): string =>
  `CASE ${enabled} WHEN 'O' THEN ARRAY['enabled'] WHEN 'A' THEN ARRAY['enabled', 'enabled on a replica']
                   WHEN 'R' THEN ARRAY['enabled on a replica'] ELSE '{}' END`;

/** The kinds of the first versions: what they are of must not change, or backups of then would seem to differ. */
function firstQueries(scope: BackupScope): CatalogQueries {
  const { userSchema, userTable, keptExtension } = catalogScope(scope);
  return {
    schema: `SELECT n.nspname AS name, concat_ws('|', pg_get_userbyid(n.nspowner), ${rightsOf("n.nspacl", "n", "n.nspowner")}) AS definition,
                  ${heldRights("n.nspacl", "n", "n.nspowner")} AS holds
             FROM pg_namespace n WHERE ${userSchema("n")} AND n.nspname <> 'public'`,
    relation: `SELECT n.nspname || '.' || c.relname AS name,
                    concat_ws('|', c.relkind, c.relpersistence, pg_get_userbyid(c.relowner),
                              ${rightsOf("c.relacl", "r", "c.relowner")},
                              CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END) AS definition,
                  ${heldRights("c.relacl", "r", "c.relowner")} AS holds
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}`,
    column: `SELECT n.nspname || '.' || c.relname || '.' || a.attname AS name,
                  concat_ws('|', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                            co.collname, pg_get_expr(ad.adbin, ad.adrelid),
                            CASE WHEN a.attacl IS NOT NULL THEN ${rightsOf("a.attacl", "c", "c.relowner")} END) AS definition,
                  CASE WHEN a.attacl IS NOT NULL THEN ${heldRights("a.attacl", "c", "c.relowner")} ELSE '{}' END AS holds
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             LEFT JOIN pg_attrdef ad ON ad.adrelid = c.oid AND ad.adnum = a.attnum
             LEFT JOIN pg_collation co ON co.oid = a.attcollation
            WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'c') AND c.relpersistence <> 't'
              AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}`,
    constraint: `SELECT n.nspname || '.' || c.relname || '.' || k.conname AS name,
                      concat_ws('|', pg_get_constraintdef(k.oid), k.convalidated) AS definition
                 FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE k.contype <> 'n' AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}`,
    // pg_dump leaves out what a failed CREATE INDEX CONCURRENTLY left behind: invalid, and not of a partitioned table.
    index: `SELECT n.nspname || '.' || x.relname AS name, concat_ws('|', pg_get_indexdef(x.oid), i.indisvalid) AS definition,
                  CASE WHEN i.indisunique THEN ARRAY['unique'] ELSE '{}' END AS holds
            FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
            JOIN pg_class c ON c.oid = i.indrelid
           WHERE (i.indisvalid OR x.relkind = 'I') AND ${userTable} AND ${notOfExtension("pg_class", "i.indrelid")}`,
    trigger: `SELECT n.nspname || '.' || c.relname || '.' || t.tgname AS name, concat_ws('|', pg_get_triggerdef(t.oid), t.tgenabled) AS definition,
                  ${heldFiring("t.tgenabled")} AS holds
              FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE NOT t.tgisinternal AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}`,
    rule: `SELECT n.nspname || '.' || c.relname || '.' || r.rulename AS name, concat_ws('|', pg_get_ruledef(r.oid), r.ev_enabled) AS definition
           FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE r.rulename <> '_RETURN' AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}`,
    policy: `SELECT n.nspname || '.' || c.relname || '.' || p.polname AS name,
                  concat_ws('|', p.polcmd, p.polpermissive,
                            (SELECT string_agg(x.role, ',' ORDER BY x.role COLLATE "C")
                               FROM (SELECT CASE WHEN r = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r)::text END AS role FROM unnest(p.polroles) r) x),
                            pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) AS definition
             FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE ${userTable}`,
    // An item for what is on: switched off, it is removed; switched on, added.
    "row-security": `SELECT n.nspname || '.' || c.relname || s.suffix AS name, 'on' AS definition
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     CROSS JOIN LATERAL (VALUES ('', c.relrowsecurity), (' (forced)', c.relforcerowsecurity)) s(suffix, is_on)
                    WHERE s.is_on AND c.relpersistence <> 't' AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}`,
    routine: `SELECT n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name,
                   concat_ws('|', pg_get_userbyid(p.proowner), ${rightsOf("p.proacl", "f", "p.proowner")},
                             CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) ELSE p.prokind::text END) AS definition,
                  ${heldRights("p.proacl", "f", "p.proowner")} AS holds
              FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE ${userSchema("n")} AND ${notOfExtension("pg_proc", "p.oid")}`,
    enum: `SELECT n.nspname || '.' || t.typname AS name,
                (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) AS definition,
                  ARRAY(SELECT quote_literal(e.enumlabel) FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS holds
           FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
          WHERE t.typtype = 'e' AND ${userSchema("n")} AND ${notOfExtension("pg_type", "t.oid")}`,
    domain: `SELECT n.nspname || '.' || t.typname AS name,
                  concat_ws('|', format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
                            (SELECT string_agg(pg_get_constraintdef(k.oid), ',' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid)) AS definition
             FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
            WHERE t.typtype = 'd' AND ${userSchema("n")} AND ${notOfExtension("pg_type", "t.oid")}`,
    sequence: `SELECT n.nspname || '.' || c.relname AS name,
                    concat_ws('|', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle) AS definition
               FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE ${userSchema("n")} AND ${notOfExtension("pg_class", "c.oid")}`,
    extension: `SELECT e.extname AS name, n.nspname AS definition
                FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE ${keptExtension("e.extname")}`,
    // Rights and what owns it: a sequence that falls to another column goes with that one.
    "sequence-rights": `SELECT n.nspname || '.' || c.relname AS name,
                     concat_ws('|', pg_get_userbyid(c.relowner), ${rightsOf("c.relacl", "s", "c.relowner")},
                               (SELECT tn.nspname || '.' || t.relname || '.' || a.attname
                                  FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
                                  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                                 WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                                   AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))) AS definition
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ${userSchema("n")} AND ${notOfExtension("pg_class", "c.oid")}`,
    // Neither the rows of tables nor arrays, which PostgreSQL makes with what they are of.
    type: `SELECT n.nspname || '.' || t.typname AS name,
                concat_ws('|', t.typtype, pg_get_userbyid(t.typowner), ${rightsOf("t.typacl", "T", "t.typowner")},
                          (SELECT concat_ws('|', format_type(r.rngsubtype, NULL), o.opcname, co.collname, r.rngcanonical, r.rngsubdiff)
                             FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc
                             LEFT JOIN pg_collation co ON co.oid = r.rngcollation WHERE r.rngtypid = t.oid)) AS definition
           FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
          WHERE t.typtype IN ('b', 'c', 'd', 'e', 'r') AND t.typisdefined
            AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
            AND NOT EXISTS (SELECT FROM pg_type el WHERE el.typarray = t.oid)
            AND ${userSchema("n")} AND ${notOfExtension("pg_type", "t.oid")}`,
    // What a table inherits from or is divided by, and where its part lies.
    descent: `SELECT n.nspname || '.' || c.relname AS name,
                   concat_ws('|', (SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
                             pg_get_expr(c.relpartbound, c.oid), CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END) AS definition
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
               AND (c.relkind = 'p' OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid))
               AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}`,
    // `security_invoker` of a view among them: without it the view shows rows that policies hide.
    options: `SELECT n.nspname || '.' || c.relname AS name,
                   concat_ws('|', (SELECT string_agg(o, ',' ORDER BY o COLLATE "C") FROM unnest(c.reloptions) o),
                             CASE WHEN c.relkind IN ('r', 'p') THEN c.relreplident END,
                             (SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                               WHERE i.indrelid = c.oid AND i.indisreplident)) AS definition
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relpersistence <> 't'
               AND (c.reloptions IS NOT NULL OR c.relkind IN ('r', 'p') AND c.relreplident <> 'd')
               AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}`,
    statistics: `SELECT n.nspname || '.' || s.stxname AS name,
                      concat_ws('|', pg_get_userbyid(s.stxowner), pg_get_statisticsobjdef(s.oid)) AS definition
                 FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
                 JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
                WHERE ${userSchema("n")} AND ${userSchema("cn")} AND ${notOfExtension("pg_statistic_ext", "s.oid")}`,
    "event-trigger": `SELECT e.evtname AS name,
                           concat_ws('|', e.evtevent, pg_get_userbyid(e.evtowner), e.evtfoid::regproc, e.evtenabled, e.evttags) AS definition,
                  ${heldFiring("e.evtenabled")} AS holds
                      FROM pg_event_trigger e WHERE ${notOfExtension("pg_event_trigger", "e.oid")}`,
    publication: `SELECT p.pubname AS name,
                       concat_ws('|', pg_get_userbyid(p.pubowner), p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete,
                                 p.pubtruncate, p.pubviaroot,
                                 (SELECT string_agg(n.nspname || '.' || c.relname, ',' ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C")
                                    FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
                                    JOIN pg_namespace n ON n.oid = c.relnamespace
                                   WHERE r.prpubid = p.oid AND ${userTable})) AS definition
                  FROM pg_publication p`,
    "default-privileges": `SELECT concat_ws(' ', pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype) AS name,
                                ${rightsOf("d.defaclacl", "r", "d.defaclrole")} AS definition
                           FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
                          WHERE n.nspname IS NULL OR ${userSchema("n")}`,
  };
}

/**
 * All definitions, sorted by kind and name.
 *
 * @param given what is left out. Default: what a backup of this database leaves out.
 */
export async function readCatalog(client: Queryable, given?: BackupScope): Promise<CatalogItem[]> {
  const scope = given ?? (await readScope(client));
  const items: CatalogItem[] = [];
  const { rows: server } = await client.query<{ version: number }>(
    "SELECT current_setting('server_version_num')::int AS version",
  );
  const terms = catalogScope(scope);
  const queries = {
    ...firstQueries(scope),
    ...typeQueries(terms),
    ...tableQueries(terms),
    ...databaseQueries(terms, server[0]!.version),
  };
  for (const [kind, query] of Object.entries(queries)) {
    const { rows } = await client.query<{ name: string; definition: string | null; holds?: string[] }>(query);
    for (const { name, definition, holds } of rows)
      items.push({ kind, name, digest: digestOf(definition ?? ""), ...(holds === undefined ? {} : { holds }) });
  }
  for (const { name, content } of await readExtensionRows(client, leftOutNames(scope, "extension")))
    items.push({ kind: "extension-rows", name, digest: digestOf(content) });
  return items.sort((a, b) => (`${a.kind} ${a.name}` < `${b.kind} ${b.name}` ? -1 : 1));
}

function digestOf(definition: string): string {
  return createHash("sha256").update(definition).digest("hex").slice(0, 32);
}
