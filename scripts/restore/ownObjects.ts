/**
 * What a role can replace in a database: the objects that it owns, or whose owner it is a member of. Everything else is
 * the platform's. Statements that drop the former; what they take along (CASCADE) is looked for afterwards.
 */
import type { Queryable } from "../database/queryable";
import { quoteIdentifier } from "../database/sqlText";
import type { BackupScope } from "../database/supabasePreset";
import { leftOutNames } from "../database/supabasePreset";
import type { CatalogItem } from "../fingerprint/fingerprint";

const mine = (owner: string): string => `pg_has_role(${owner}, 'USAGE')`;

/**
 * Not of an extension, and not made with another object, such as an identity column's sequence: it goes with that. (A
 * partitioned table depends on its own key.)
 */
const independent = (catalog: string): string =>
  `NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '${catalog}'::regclass AND d.objid = o.oid AND d.deptype IN ('e', 'i')
                  AND NOT (d.refclassid = d.classid AND d.refobjid = d.objid))`;

/** Schemas of people: not PostgreSQL's own, not what the platform keeps for itself ($1). */
const ofPeople = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND n.nspname <> ALL ($1::text[])";

/** Objects in schemas: catalog, column of its schema, column of its owner, further condition. */
const inSchemas: readonly (readonly [catalog: string, schema: string, owner: string, condition: string])[] = [
  [
    "pg_class",
    "relnamespace",
    "relowner",
    "o.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND o.relpersistence <> 't' AND n.nspname || '.' || o.relname <> ALL ($2::text[])",
  ],
  ["pg_proc", "pronamespace", "proowner", "true"],
  // Types of their own: not those of rows, arrays and multiranges, which go with another.
  [
    "pg_type",
    "typnamespace",
    "typowner",
    "o.typtype IN ('b', 'c', 'd', 'e', 'r') AND (o.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = o.typrelid AND c.relkind = 'c'))",
  ],
  ["pg_operator", "oprnamespace", "oprowner", "true"],
  ["pg_opclass", "opcnamespace", "opcowner", "true"],
  ["pg_opfamily", "opfnamespace", "opfowner", "true"],
  ["pg_collation", "collnamespace", "collowner", "true"],
  ["pg_conversion", "connamespace", "conowner", "true"],
  ["pg_ts_config", "cfgnamespace", "cfgowner", "true"],
  ["pg_ts_dict", "dictnamespace", "dictowner", "true"],
  ["pg_statistic_ext", "stxnamespace", "stxowner", "true"],
];

/** Objects of the database as a whole. */
const ofDatabase: readonly (readonly [catalog: string, owner: string, condition: string])[] = [
  ["pg_publication", "pubowner", "true"],
  ["pg_event_trigger", "evtowner", "true"],
  ["pg_foreign_server", "srvowner", "true"],
  ["pg_foreign_data_wrapper", "fdwowner", "true"],
  // What the backup has comes back, or is still there; what it does not have goes.
  ["pg_extension", "extowner", "o.extname <> ALL ($3::text[])"],
  [
    "pg_namespace",
    "nspowner",
    "o.nspname <> 'public' AND o.nspname <> 'information_schema' AND o.nspname !~ '^pg_' AND o.nspname <> ALL ($1::text[]) AND o.nspname <> ALL ($4::text[])",
  ],
];

const dropQuery = `
SELECT DISTINCT CASE WHEN i.type IN ('function', 'procedure', 'aggregate') THEN 'ROUTINE'
                     WHEN i.type = 'statistics object' THEN 'STATISTICS'
                     ELSE upper(replace(i.type, 'foreign-data', 'foreign data')) END AS kind, i.identity
  FROM (${[
    ...inSchemas.map(
      ([catalog, schema, owner, condition]) =>
        `SELECT '${catalog}'::regclass AS catalog, o.oid FROM ${catalog} o JOIN pg_namespace n ON n.oid = o.${schema}
          WHERE ${mine(`o.${owner}`)} AND ${ofPeople} AND ${condition} AND ${independent(catalog)}`,
    ),
    ...ofDatabase.map(
      ([catalog, owner, condition]) =>
        `SELECT '${catalog}'::regclass AS catalog, o.oid FROM ${catalog} o
          WHERE ${mine(`o.${owner}`)} AND ${condition} AND ${independent(catalog)}`,
    ),
  ].join("\n UNION ALL ")}) a
 CROSS JOIN LATERAL pg_identify_object(a.catalog, a.oid, 0) i`;

export interface WhatStays {
  readonly scope: BackupScope;
  /** Names of extensions and schemas in the backup: they are not dropped, their contents are. */
  readonly extensions: readonly string[];
  readonly schemas: readonly string[];
}

/** Statements that leave nothing of the role's own, in any order: each drops what depends on it too. */
export async function dropStatements(session: Queryable, stays: WhatStays): Promise<string[]> {
  const { rows } = await session.query<{ kind: string; identity: string }>(dropQuery, [
    leftOutNames(stays.scope, "schema"),
    leftOutNames(stays.scope, "table"),
    // plpgsql is in every database, and in no archive.
    [...stays.extensions, ...leftOutNames(stays.scope, "extension"), "plpgsql"],
    stays.schemas,
  ]);
  return [
    ...rows.map(({ kind, identity }) => `DROP ${kind} IF EXISTS ${identity} CASCADE`),
    ...(await defaultPrivileges(session, stays.scope)),
  ];
}

/** Drops the role's own large objects. */
export const unlinkLargeObjects = `SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE ${mine("lomowner")}`;

/** The words of ALTER DEFAULT PRIVILEGES for `pg_default_acl.defaclobjtype`. */
const privilegeObjects: Readonly<Record<string, string>> = {
  r: "TABLES",
  S: "SEQUENCES",
  f: "FUNCTIONS",
  T: "TYPES",
  n: "SCHEMAS",
  L: "LARGE OBJECTS",
};

/** Back to PostgreSQL's own: else what is created next would be given rights that the backup does not know. */
async function defaultPrivileges(session: Queryable, scope: BackupScope): Promise<string[]> {
  const { rows } = await session.query<{
    role: string;
    schema: string | null;
    object: string;
    grantees: (string | null)[];
    defaults: { grantee: string | null; privilege: string }[];
  }>(
    `SELECT pg_get_userbyid(d.defaclrole)::text AS role, n.nspname::text AS schema, d.defaclobjtype::text AS object,
            (SELECT json_agg(DISTINCT CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END)
               FROM aclexplode(d.defaclacl) a) AS grantees,
            COALESCE((SELECT json_agg(json_build_object('grantee', CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END,
                                                        'privilege', a.privilege_type))
                        FROM aclexplode(acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole)) a
                       WHERE n.oid IS NULL), '[]') AS defaults
       FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
      WHERE ${mine("d.defaclrole")} AND (n.nspname IS NULL OR n.nspname <> ALL ($1::text[]))`,
    [leftOutNames(scope, "schema")],
  );
  const who = (role: string | null): string => (role === null ? "PUBLIC" : quoteIdentifier(role));
  return rows.flatMap(({ role, schema, object, grantees, defaults }) => {
    const where = schema === null ? "" : ` IN SCHEMA ${quoteIdentifier(schema)}`;
    const alter = `ALTER DEFAULT PRIVILEGES FOR ROLE ${quoteIdentifier(role)}${where}`;
    const what = privilegeObjects[object] ?? "TABLES";
    return [
      ...grantees.map((grantee) => `${alter} REVOKE ALL ON ${what} FROM ${who(grantee)}`),
      ...defaults.map(({ grantee, privilege }) => `${alter} GRANT ${privilege} ON ${what} TO ${who(grantee)}`),
    ];
  });
}

/** Roles whose objects the session can replace. */
export async function ownRoles(session: Queryable): Promise<string[]> {
  const { rows } = await session.query<{ name: string }>(
    `SELECT rolname::text AS name FROM pg_roles WHERE ${mine("oid")}`,
  );
  return rows.map(({ name }) => name);
}

/** What there is that the role cannot replace, as a catalog's items are named. */
export interface PlatformObjects {
  readonly schemas: readonly string[];
  readonly roles: readonly string[];
  readonly items: ReadonlySet<string>;
}

export async function readPlatformObjects(session: Queryable): Promise<PlatformObjects> {
  const { rows } = await session.query<{ kind: string; name: string }>(
    `SELECT 'schema' AS kind, nspname::text AS name FROM pg_namespace WHERE NOT ${mine("nspowner")}
     UNION ALL SELECT 'extension', extname::text FROM pg_extension WHERE NOT ${mine("extowner")}
     UNION ALL SELECT 'publication', pubname::text FROM pg_publication WHERE NOT ${mine("pubowner")}
     UNION ALL SELECT 'event-trigger', evtname::text FROM pg_event_trigger WHERE NOT ${mine("evtowner")}
     UNION ALL SELECT 'role', rolname::text FROM pg_roles WHERE NOT ${mine("oid")}`,
  );
  const namesOf = (kind: string): string[] => rows.filter((row) => row.kind === kind).map(({ name }) => name);
  return {
    schemas: namesOf("schema"),
    roles: namesOf("role"),
    items: new Set(rows.map(({ kind, name }) => `${kind} ${name}`)),
  };
}

/** Whether an item of a catalog is among them, or lies in a schema of theirs. */
export function isPlatforms({ kind, name }: Pick<CatalogItem, "kind" | "name">, platform: PlatformObjects): boolean {
  if (platform.items.has(`${kind} ${name}`)) return true;
  if (kind === "default-privileges") return platform.roles.some((role) => name.startsWith(`${role} `));
  return platform.schemas.some((schema) => name.startsWith(`${schema}.`));
}
