/** Definitions that are about other objects, of whatever kind: comments, rights to what PostgreSQL made, publications. */
import {
  type CatalogQueries,
  type CatalogScope,
  firstUserOid,
  heldRights,
  notOfExtension,
  rightsOf,
} from "./catalogTerms";

/** Servers from 15 on publish schemas, and some columns or rows of a table. */
const publishesParts = 150_000;

/** Objects that PostgreSQL or an extension made, and that rights can be given to: what they are, and their ACL. */
const madeByOthers = (keptExtension: CatalogScope["keptExtension"]): string => {
  const of = (catalog: string, acl: string, owner: string, type: string, condition: string): string =>
    `SELECT '${catalog}'::regclass::oid AS class, o.oid, 0 AS part, o.${acl} AS acl, o.${owner} AS owner, ${type} AS type FROM ${catalog} o
      WHERE o.${acl} IS NOT NULL AND (o.oid < ${firstUserOid} AND ${condition} OR ${ofKeptExtension(catalog)})`;
  const ofKeptExtension = (catalog: string): string =>
    `EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
              WHERE d.classid = '${catalog}'::regclass AND d.objid = o.oid AND d.deptype = 'e'
                AND d.refclassid = 'pg_extension'::regclass AND ${keptExtension("e.extname")})`;
  const inCatalog = (schema: string): string => `o.${schema} = 'pg_catalog'::regnamespace`;
  return [
    of("pg_proc", "proacl", "proowner", "'f'", inCatalog("pronamespace")),
    of("pg_type", "typacl", "typowner", "'T'", inCatalog("typnamespace")),
    of("pg_class", "relacl", "relowner", "CASE o.relkind WHEN 'S' THEN 's' ELSE 'r' END", inCatalog("relnamespace")),
    // pg_dump writes nothing of the languages that are no procedural ones (manifest.notRestored).
    of("pg_language", "lanacl", "lanowner", "'l'", "o.lanispl"),
    of("pg_namespace", "nspacl", "nspowner", "'n'", "o.nspname = 'pg_catalog'"),
    of("pg_foreign_data_wrapper", "fdwacl", "fdwowner", "'F'", "false"),
    of("pg_foreign_server", "srvacl", "srvowner", "'S'", "false"),
    `SELECT 'pg_class'::regclass::oid, o.oid, a.attnum, a.attacl, o.relowner, 'c'
       FROM pg_attribute a JOIN pg_class o ON o.oid = a.attrelid
      WHERE a.attacl IS NOT NULL AND (o.oid < ${firstUserOid} AND ${inCatalog("relnamespace")} OR ${ofKeptExtension("pg_class")})`,
  ].join("\n UNION ALL ");
};

/** Rights of others than the owner, who has another name on another server. */
const grants = (acl: string): string =>
  `SELECT concat_ws(' ', CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(e.grantee) END, e.privilege_type, e.is_grantable) AS granted
     FROM aclexplode(${acl}) e WHERE e.grantee <> o.owner`;

export function databaseQueries(
  { userSchema, userTable, keptExtension }: CatalogScope,
  server: number,
): CatalogQueries {
  return {
    // Every database has it; what `schema` tells of the others.
    "public-schema": `SELECT n.nspname AS name,
                 concat_ws('|', pg_get_userbyid(n.nspowner), ${rightsOf("n.nspacl", "n", "n.nspowner")}) AS definition,
                 ${heldRights("n.nspacl", "n", "n.nspowner")} AS holds
            FROM pg_namespace n WHERE n.nspname = 'public' AND ${userSchema("n")}`,
    // What was given and taken since PostgreSQL or the extension made it: that is what pg_dump writes.
    rights: `SELECT x.name, x.definition
            FROM (SELECT i.identity || ' (' || i.type || ')' AS name,
                         (SELECT string_agg(g.change, ',' ORDER BY g.change COLLATE "C")
                            FROM (SELECT '+' || granted AS change FROM (${grants("o.acl")} EXCEPT ${grants("o.initial")}) given
                                  UNION ALL
                                  SELECT '-' || granted FROM (${grants("o.initial")} EXCEPT ${grants("o.acl")}) taken) g) AS definition
                    FROM (SELECT m.*, COALESCE(p.initprivs, acldefault(m.type::"char", m.owner)) AS initial
                            FROM (${madeByOthers(keptExtension)}) m
                            LEFT JOIN pg_init_privs p ON p.classoid = m.class AND p.objoid = m.oid AND p.objsubid = m.part) o
                   CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, o.part) i) x
           WHERE x.definition IS NOT NULL`,
    /*
     * Of what pg_dump writes: not of an extension or its members, nor of what a part of a divided table has from the
     * whole. An extension's own comment comes with it.
     */
    comment: `SELECT i.identity || ' (' || i.type || ')' AS name, m.description AS definition
            FROM pg_description m
            LEFT JOIN pg_trigger t ON m.classoid = 'pg_trigger'::regclass AND t.oid = m.objoid
            LEFT JOIN pg_rewrite r ON m.classoid = 'pg_rewrite'::regclass AND r.oid = m.objoid
            LEFT JOIN pg_policy p ON m.classoid = 'pg_policy'::regclass AND p.oid = m.objoid
            LEFT JOIN pg_constraint k ON m.classoid = 'pg_constraint'::regclass AND k.oid = m.objoid
            LEFT JOIN pg_index x ON m.classoid = 'pg_class'::regclass AND x.indexrelid = m.objoid
            LEFT JOIN pg_class c ON c.oid = COALESCE(t.tgrelid, r.ev_class, p.polrelid, NULLIF(k.conrelid, 0), x.indrelid,
                                                     CASE WHEN m.classoid = 'pg_class'::regclass THEN m.objoid END)
            CROSS JOIN LATERAL pg_identify_object(m.classoid, m.objoid, m.objsubid) i
            LEFT JOIN pg_namespace n ON n.oid = COALESCE(c.relnamespace, to_regnamespace(i.schema)::oid,
                                                         CASE WHEN m.classoid = 'pg_namespace'::regclass THEN m.objoid END)
           WHERE i.identity IS NOT NULL AND (m.objoid >= ${firstUserOid} OR m.classoid = 'pg_namespace'::regclass AND n.nspname = 'public')
             AND m.classoid NOT IN ('pg_extension'::regclass, 'pg_largeobject'::regclass)
             AND (n.oid IS NULL OR ${userSchema("n")})
             AND (c.oid IS NULL OR ${userTable} AND c.relpersistence <> 't' AND ${notOfExtension("pg_class", "c.oid")})
             AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = m.classoid AND d.objid = m.objoid AND d.deptype = 'e')
             AND COALESCE(t.tgparentid, 0) = 0 AND NOT COALESCE(k.contype = 'f' AND k.conparentid <> 0, false)
             AND NOT COALESCE(k.contype = 'c' AND NOT k.conislocal, false) AND COALESCE(x.indisvalid OR c.relkind = 'p', true)`,
    "large-object-comments": `SELECT 'all' AS name, concat_ws('|', count(*), sum(hashtextextended(m.objoid || ' ' || m.description, 0)::numeric)) AS definition
            FROM pg_description m WHERE m.classoid = 'pg_largeobject'::regclass HAVING count(*) > 0`,
    "publication-part":
      server < publishesParts
        ? "SELECT NULL::text AS name, NULL::text AS definition WHERE false"
        : `SELECT p.pubname || ' ' || n.nspname || '.' || c.relname AS name,
                  concat_ws('|', (SELECT string_agg(a.attname, ',' ORDER BY a.attname COLLATE "C") FROM pg_attribute a
                                   WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs::int2[])),
                            'WHERE ' || pg_get_expr(r.prqual, r.prrelid)) AS definition
             FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
             JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE (r.prattrs IS NOT NULL OR r.prqual IS NOT NULL) AND ${userTable}
            UNION ALL
           SELECT p.pubname || ' schema ' || n.nspname, 'all tables'
             FROM pg_publication_namespace s JOIN pg_publication p ON p.oid = s.pnpubid JOIN pg_namespace n ON n.oid = s.pnnspid
            WHERE ${userSchema("n")}
            UNION ALL
           SELECT p.pubname || ' generated columns', to_jsonb(p) ->> 'pubgencols'
             FROM pg_publication p WHERE to_jsonb(p) ->> 'pubgencols' <> 'n'`,
    // ALTER … DEPENDS ON EXTENSION.
    "extension-dependency": `SELECT i.identity || ' (' || i.type || ')' AS name, string_agg(e.extname, ',' ORDER BY e.extname COLLATE "C") AS definition
            FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
            CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
           WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'x' AND ${keptExtension("e.extname")}
             AND NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = to_regnamespace(i.schema)::oid AND NOT (${userSchema("n")}))
           GROUP BY 1`,
  };
}
