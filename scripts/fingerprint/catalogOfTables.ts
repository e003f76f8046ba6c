/** Definitions around tables that are neither columns nor constraints: how they are stored, and what is on other servers. */
import { type CatalogQueries, type CatalogScope, firstUserOid, notOfExtension, rightsOf, sorted } from "./catalogTerms";

/** Options whose values may be secrets are compared by name: nobody must be able to try values against a digest. */
const withoutSecrets = (options: string): string =>
  `(SELECT string_agg(s.entry, ',' ORDER BY s.entry COLLATE "C")
      FROM (SELECT CASE WHEN split_part(o, '=', 1) ~* 'pass|secret|token|key' THEN split_part(o, '=', 1) ELSE o END AS entry
              FROM unnest(${options}) AS o) s)`;

export function tableQueries({ userSchema, userTable }: CatalogScope): CatalogQueries {
  return {
    // Of a view's columns the default and the rights too: `column` has those of tables.
    "column-options": `SELECT x.name, x.definition
            FROM (SELECT n.nspname || '.' || c.relname || '.' || a.attname AS name,
                         NULLIF(concat_ws('|',
                           CASE WHEN c.relkind IN ('r', 'p', 'm', 'f') AND a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END,
                           'compression ' || NULLIF(to_jsonb(a) ->> 'attcompression', ''),
                           CASE WHEN a.attstattarget >= 0 THEN 'statistics ' || a.attstattarget END,
                           'options ' || ${sorted("a.attoptions")}, 'foreign ' || ${sorted("a.attfdwoptions")},
                           CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_expr(ad.adbin, ad.adrelid) END,
                           CASE WHEN c.relkind IN ('v', 'm') AND a.attacl IS NOT NULL THEN ${rightsOf("a.attacl", "c", "c.relowner")} END),
                           '') AS definition
                    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                    JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef ad ON ad.adrelid = c.oid AND ad.adnum = a.attnum
                   WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relpersistence <> 't'
                     AND (c.relkind IN ('r', 'p', 'v', 'm', 'f') OR c.relkind IN ('i', 'I') AND a.attstattarget >= 0)
                     AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND c.relkind = 'i' AND NOT i.indisvalid)
                     AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}) x
           WHERE x.definition IS NOT NULL`,
    // A tablespace is none of it: the restored database has its own (manifest.notRestored).
    storage: `SELECT x.name, x.definition
            FROM (SELECT n.nspname || '.' || c.relname AS name,
                         NULLIF(concat_ws('|', 'of ' || format_type(NULLIF(c.reloftype, 0), NULL),
                           CASE WHEN c.relkind IN ('r', 'm', 'p') AND m.amname <> 'heap' THEN 'method ' || m.amname END,
                           'clustered on ' || (SELECT i.indexrelid::regclass FROM pg_index i WHERE i.indrelid = c.oid AND i.indisclustered),
                           'toast ' || (SELECT ${sorted("o.reloptions")} FROM pg_class o WHERE o.oid = c.reltoastrelid)),
                           '') AS definition
                    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am m ON m.oid = c.relam
                   WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
                     AND ${userTable} AND ${notOfExtension("pg_class", "c.oid")}) x
           WHERE x.definition IS NOT NULL`,
    "sequence-options": `SELECT n.nspname || '.' || c.relname AS name, concat_ws('|', s.seqcache, c.relpersistence) AS definition
            FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE (s.seqcache <> 1 OR c.relpersistence = 'u') AND c.relpersistence <> 't'
             AND ${userSchema("n")} AND ${notOfExtension("pg_class", "c.oid")}`,
    "statistics-target": `SELECT n.nspname || '.' || s.stxname AS name, s.stxstattarget::text AS definition
            FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
            JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
           WHERE s.stxstattarget >= 0 AND ${userSchema("n")} AND ${userSchema("cn")} AND ${notOfExtension("pg_statistic_ext", "s.oid")}`,
    "access-method": `SELECT m.amname AS name, concat_ws('|', m.amtype, m.amhandler) AS definition
            FROM pg_am m WHERE m.oid >= ${firstUserOid} AND ${notOfExtension("pg_am", "m.oid")}`,
    "foreign-data-wrapper": `SELECT w.fdwname AS name,
                 concat_ws('|', pg_get_userbyid(w.fdwowner), w.fdwhandler::regproc, w.fdwvalidator::regproc, ${withoutSecrets("w.fdwoptions")},
                           ${rightsOf("w.fdwacl", "F", "w.fdwowner")}) AS definition
            FROM pg_foreign_data_wrapper w WHERE ${notOfExtension("pg_foreign_data_wrapper", "w.oid")}`,
    "foreign-server": `SELECT s.srvname AS name,
                 concat_ws('|', pg_get_userbyid(s.srvowner), w.fdwname, s.srvtype, s.srvversion, ${withoutSecrets("s.srvoptions")},
                           ${rightsOf("s.srvacl", "S", "s.srvowner")}) AS definition
            FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
           WHERE ${notOfExtension("pg_foreign_server", "s.oid")}`,
    // Its options are shown to few roles: whoever restores may be another one than whoever backed up.
    "user-mapping": `SELECT m.usename || ' on ' || m.srvname AS name, 'mapped' AS definition
            FROM pg_user_mappings m WHERE ${notOfExtension("pg_foreign_server", "m.srvid")}`,
    "foreign-table": `SELECT n.nspname || '.' || c.relname AS name, concat_ws('|', s.srvname, ${withoutSecrets("f.ftoptions")}) AS definition
            FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver
            JOIN pg_class c ON c.oid = f.ftrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE ${userTable} AND ${notOfExtension("pg_class", "c.oid")}`,
  };
}
