/** Definitions around types: how they are made, compared, converted, added up, and searched as text. */
import { type CatalogQueries, type CatalogScope, firstUserOid, notOfExtension, rightsOf } from "./catalogTerms";

export function typeQueries({ userSchema }: CatalogScope): CatalogQueries {
  /** Objects in a schema of people's: alias, catalog, column of the schema. */
  const inSchema = (alias: string, catalog: string, schema: string): string =>
    `${catalog} ${alias} JOIN pg_namespace n ON n.oid = ${alias}.${schema}
      WHERE ${userSchema("n")} AND ${notOfExtension(catalog, `${alias}.oid`)}`;
  return {
    // What `type`, `domain` and `enum` do not tell: base types, collations of domains, multiranges, types without a body.
    "type-details": `SELECT n.nspname || '.' || t.typname AS name,
                 concat_ws('|', t.typisdefined,
                           CASE WHEN t.typtype = 'b' THEN concat_ws('|', t.typlen, t.typbyval, t.typcategory, t.typispreferred, t.typdelim,
                                t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze, t.typalign,
                                t.typstorage, t.typelem::regtype, t.typdefault) END,
                           (SELECT l.collname FROM pg_collation l WHERE l.oid = t.typcollation AND t.typtype = 'd'),
                           (SELECT format_type(r.rngmultitypid, NULL) FROM pg_range r WHERE r.rngtypid = t.oid)) AS definition
            FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
           WHERE t.typtype IN ('b', 'd', 'r', 'p') AND NOT EXISTS (SELECT FROM pg_type el WHERE el.typarray = t.oid)
             AND ${userSchema("n")} AND ${notOfExtension("pg_type", "t.oid")}`,
    // PostgreSQL writes no definition of either: `routine` has their names, owners and rights.
    aggregate: `SELECT n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name,
                 concat_ws('|', a.aggkind, a.aggnumdirectargs, a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                           a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn, a.aggfinalextra, a.aggmfinalextra, a.aggfinalmodify,
                           a.aggmfinalmodify, a.aggsortop::regoperator, format_type(a.aggtranstype, NULL), a.aggtransspace,
                           format_type(NULLIF(a.aggmtranstype, 0), NULL), a.aggmtransspace, quote_nullable(a.agginitval),
                           quote_nullable(a.aggminitval), p.proparallel, format_type(p.prorettype, NULL)) AS definition
            FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace
           WHERE ${userSchema("n")} AND ${notOfExtension("pg_proc", "p.oid")}`,
    "window-function": `SELECT n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name,
                 pg_get_functiondef(p.oid) AS definition
            FROM ${inSchema("p", "pg_proc", "pronamespace")} AND p.prokind = 'w'`,
    cast: `SELECT format_type(c.castsource, NULL) || ' AS ' || format_type(c.casttarget, NULL) AS name,
                 concat_ws('|', c.castfunc::regprocedure, c.castcontext, c.castmethod) AS definition
            FROM pg_cast c JOIN pg_type s ON s.oid = c.castsource JOIN pg_type t ON t.oid = c.casttarget
           WHERE c.oid >= ${firstUserOid} AND ${notOfExtension("pg_cast", "c.oid")}
             AND NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid IN (s.typnamespace, t.typnamespace)
                                AND n.nspname <> 'pg_catalog' AND NOT (${userSchema("n")}))`,
    operator: `SELECT n.nspname || '.' || o.oprname || ' (' || concat_ws(', ', COALESCE(format_type(NULLIF(o.oprleft, 0), NULL), 'none'),
                                                                       COALESCE(format_type(NULLIF(o.oprright, 0), NULL), 'none')) || ')' AS name,
                 concat_ws('|', pg_get_userbyid(o.oprowner), o.oprcode::regprocedure, o.oprcom::regoperator, o.oprnegate::regoperator,
                           o.oprrest, o.oprjoin, o.oprcanhash, o.oprcanmerge) AS definition
            FROM ${inSchema("o", "pg_operator", "oprnamespace")}`,
    "operator-class": `SELECT n.nspname || '.' || o.opcname || ' ' || m.amname AS name,
                 concat_ws('|', pg_get_userbyid(o.opcowner), format_type(o.opcintype, NULL), o.opcdefault,
                           format_type(NULLIF(o.opckeytype, 0), NULL), fn.nspname || '.' || f.opfname) AS definition
            FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am m ON m.oid = o.opcmethod
            JOIN pg_opfamily f ON f.oid = o.opcfamily JOIN pg_namespace fn ON fn.oid = f.opfnamespace
           WHERE ${userSchema("n")} AND ${notOfExtension("pg_opclass", "o.oid")}`,
    // With the operators and functions of its classes.
    "operator-family": `SELECT n.nspname || '.' || f.opfname || ' ' || m.amname AS name,
                 concat_ws('|', pg_get_userbyid(f.opfowner),
                           (SELECT string_agg(x.entry, ',' ORDER BY x.entry COLLATE "C")
                              FROM (SELECT concat_ws(' ', 'operator', o.amopstrategy, o.amopopr::regoperator, o.amoppurpose,
                                                     (SELECT s.opfname FROM pg_opfamily s WHERE s.oid = o.amopsortfamily)) AS entry
                                      FROM pg_amop o WHERE o.amopfamily = f.oid
                                     UNION ALL
                                    SELECT concat_ws(' ', 'function', p.amprocnum, format_type(p.amproclefttype, NULL),
                                                     format_type(p.amprocrighttype, NULL), p.amproc::regprocedure)
                                      FROM pg_amproc p WHERE p.amprocfamily = f.oid) x)) AS definition
            FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
           WHERE ${userSchema("n")} AND ${notOfExtension("pg_opfamily", "f.oid")}`,
    // The locale's column has another name in each of several majors.
    collation: `SELECT n.nspname || '.' || o.collname AS name,
                 concat_ws('|', pg_get_userbyid(o.collowner), o.collprovider, o.collisdeterministic, o.collencoding,
                           CASE o.collprovider WHEN 'c' THEN o.collcollate || '|' || o.collctype
                                ELSE COALESCE(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', o.collcollate) END,
                           to_jsonb(o) ->> 'collicurules') AS definition
            FROM ${inSchema("o", "pg_collation", "collnamespace")}`,
    conversion: `SELECT n.nspname || '.' || o.conname AS name,
                 concat_ws('|', pg_get_userbyid(o.conowner), pg_encoding_to_char(o.conforencoding), pg_encoding_to_char(o.contoencoding),
                           o.conproc, o.condefault) AS definition
            FROM ${inSchema("o", "pg_conversion", "connamespace")}`,
    "text-search-configuration": `SELECT n.nspname || '.' || o.cfgname AS name,
                 concat_ws('|', pg_get_userbyid(o.cfgowner), (SELECT p.prsname FROM pg_ts_parser p WHERE p.oid = o.cfgparser),
                           (SELECT string_agg(concat_ws(' ', t.alias, m.mapdict::regdictionary), ',' ORDER BY t.alias, m.mapseqno)
                              FROM pg_ts_config_map m JOIN LATERAL ts_token_type(o.cfgparser) t ON t.tokid = m.maptokentype
                             WHERE m.mapcfg = o.oid)) AS definition
            FROM ${inSchema("o", "pg_ts_config", "cfgnamespace")}`,
    "text-search-dictionary": `SELECT n.nspname || '.' || o.dictname AS name,
                 concat_ws('|', pg_get_userbyid(o.dictowner), (SELECT t.tmplname FROM pg_ts_template t WHERE t.oid = o.dicttemplate),
                           o.dictinitoption) AS definition
            FROM ${inSchema("o", "pg_ts_dict", "dictnamespace")}`,
    "text-search-parser": `SELECT n.nspname || '.' || o.prsname AS name,
                 concat_ws('|', o.prsstart, o.prstoken, o.prsend, o.prsheadline, o.prslextype) AS definition
            FROM ${inSchema("o", "pg_ts_parser", "prsnamespace")}`,
    "text-search-template": `SELECT n.nspname || '.' || o.tmplname AS name, concat_ws('|', o.tmplinit, o.tmpllexize) AS definition
            FROM ${inSchema("o", "pg_ts_template", "tmplnamespace")}`,
    language: `SELECT l.lanname AS name,
                 concat_ws('|', pg_get_userbyid(l.lanowner), l.lanpltrusted, l.lanplcallfoid::regproc, l.laninline::regproc,
                           l.lanvalidator::regproc, ${rightsOf("l.lanacl", "l", "l.lanowner")}) AS definition
            FROM pg_language l WHERE l.oid >= ${firstUserOid} AND ${notOfExtension("pg_language", "l.oid")}`,
    transform: `SELECT format_type(t.trftype, NULL) || ' ' || l.lanname AS name,
                 concat_ws('|', t.trffromsql::regprocedure, t.trftosql::regprocedure) AS definition
            FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang
           WHERE t.oid >= ${firstUserOid} AND ${notOfExtension("pg_transform", "t.oid")}`,
  };
}
