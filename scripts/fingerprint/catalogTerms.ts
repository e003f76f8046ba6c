/** What the queries of the catalog share: which objects a backup is of, and rights as text that two servers agree on. */
import { quoteLiteral } from "../database/sqlText";
import { type BackupScope, leftOutNames } from "../database/supabasePreset";

/**
 * By kind: a query that returns `name` and `definition`, and for some kinds `holds`: what a release may add to, but not
 * take from. With `search_path = pg_catalog` definitions are schema-qualified.
 */
export type CatalogQueries = Readonly<Record<string, string>>;

const namesOf = (names: readonly string[]): string => `ARRAY[${names.map(quoteLiteral).join(", ")}]::text[]`;

/** Conditions on aliases of a query. */
export interface CatalogScope {
  /** On an alias of `pg_namespace`: a schema of people's. */
  readonly userSchema: (alias: string) => string;
  /** For `n` the schema and `c` the table that the object is of. */
  readonly userTable: string;
  /** On a name: an extension that is in the backup. */
  readonly keptExtension: (name: string) => string;
}

export function catalogScope(scope: BackupScope): CatalogScope {
  const schemas = namesOf(leftOutNames(scope, "schema"));
  const tables = namesOf(leftOutNames(scope, "table"));
  const extensions = namesOf(leftOutNames(scope, "extension"));
  const userSchema = (alias: string): string =>
    `${alias}.nspname <> 'information_schema' AND ${alias}.nspname !~ '^pg_' AND ${alias}.nspname <> ALL (${schemas})`;
  return {
    userSchema,
    userTable: `${userSchema("n")} AND n.nspname || '.' || c.relname <> ALL (${tables})`,
    keptExtension: (name) => `${name} <> ALL (${extensions})`,
  };
}

/** The first oid of an object that PostgreSQL did not make itself (transam.h, FirstNormalObjectId). */
export const firstUserOid = 16384;

export const notOfExtension = (catalog: string, oid: string): string =>
  `NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '${catalog}'::regclass AND d.objid = ${oid} AND d.deptype = 'e')`;

/** An ACL in one order, with the defaults written out: NULL and an explicit default are the same rights. */
export const rightsOf = (acl: string, objectType: string, owner: string): string =>
  `(SELECT string_agg(x.granted, ',' ORDER BY x.granted COLLATE "C")
      FROM (SELECT DISTINCT concat_ws(' ', CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(e.grantee) END,
                                      e.privilege_type, e.is_grantable) AS granted
              FROM aclexplode(COALESCE(${acl}, acldefault('${objectType}', ${owner}))) e) x)`;

/** Who may do what, the owner among them, one entry a right: `anon SELECT`, `OWNER app`. */
export const heldRights = (acl: string, objectType: string, owner: string): string =>
  `ARRAY(SELECT DISTINCT concat_ws(' ', CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(e.grantee) END,
                         e.privilege_type, CASE WHEN e.is_grantable THEN 'WITH GRANT OPTION' END)
           FROM aclexplode(COALESCE(${acl}, acldefault('${objectType}', ${owner}))) e WHERE e.grantee <> ${owner}
          UNION SELECT 'OWNER ' || pg_get_userbyid(${owner}) ORDER BY 1)`;

/** An array of text in one order, as text; null for an empty one. */
export const sorted = (array: string): string =>
  `(SELECT string_agg(s.entry, ',' ORDER BY s.entry COLLATE "C") FROM unnest(${array}) AS s(entry))`;
