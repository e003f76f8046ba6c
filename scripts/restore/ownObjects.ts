/**
 * What a role can replace in a database: the objects that it owns, or whose owner it is a member of. Everything else is
 * the platform's. Statements that drop the former; what they take along (CASCADE) is looked for afterwards.
 */
import type { Queryable } from "../database/queryable";
import { quoteIdentifier, quoteLiteral } from "../database/sqlText";
import type { BackupScope } from "../database/supabasePreset";
import { leftOutNames } from "../database/supabasePreset";
import { firstUserOid } from "../fingerprint/catalogTerms";
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
  ["pg_language", "lanowner", "o.lanispl"],
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

/** Objects without an owner, which take a superuser: the condition is on those that PostgreSQL did not make itself. */
const ofSuperusers: readonly string[] = ["pg_am", "pg_cast", "pg_transform", "pg_ts_parser", "pg_ts_template"];

const isSuperuser = "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)";

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
    ...ofSuperusers.map(
      (catalog) =>
        `SELECT '${catalog}'::regclass AS catalog, o.oid FROM ${catalog} o
          WHERE ${isSuperuser} AND o.oid >= ${firstUserOid} AND ${independent(catalog)}`,
    ),
  ].join("\n UNION ALL ")}) a
 CROSS JOIN LATERAL pg_identify_object(a.catalog, a.oid, 0) i`;

export interface WhatStays {
  readonly scope: BackupScope;
  /** Names of extensions and schemas in the backup: they are not dropped, their contents are. */
  readonly extensions: readonly string[];
  readonly schemas: readonly string[];
}

/**
 * Whatever another statement took along is passed over by `IF EXISTS`, but for operators' classes of an access method that
 * is gone.
 */
const droppedLast = "ACCESS METHOD";

/** Statements that leave nothing of the role's own: each drops what depends on it too. */
export async function dropStatements(session: Queryable, stays: WhatStays): Promise<string[]> {
  const { rows } = await session.query<{ kind: string; identity: string }>(dropQuery, [
    leftOutNames(stays.scope, "schema"),
    leftOutNames(stays.scope, "table"),
    // plpgsql is in every database, and in no archive.
    [...stays.extensions, ...leftOutNames(stays.scope, "extension"), "plpgsql"],
    stays.schemas,
  ]);
  return [
    ...rows
      .sort((a, b) => Number(a.kind === droppedLast) - Number(b.kind === droppedLast))
      .map(({ kind, identity }) => `DROP ${kind} IF EXISTS ${identity} CASCADE`),
    ...(await defaultPrivileges(session, stays.scope)),
    ...(await schemasAsNew(session, stays)),
  ];
}

interface KeptSchema {
  readonly name: string;
  readonly owner: string;
  /** Others than the owner; null: there are none. */
  readonly grantees: readonly (string | null)[] | null;
  /** It has not just the rights that every new schema has. */
  readonly changed: boolean;
  readonly commented: boolean;
}

/** From 15 on PUBLIC may not create in `public` (PostgreSQL 15's release notes, "E.19.2. Migration to Version 15"). */
const publicUses = 150_000;

/** Schemas that stay lose what an archive does not take away: it gives rights and comments to a schema that is new. */
async function schemasAsNew(session: Queryable, stays: WhatStays): Promise<string[]> {
  const { rows } = await session.query<KeptSchema & { version: number }>(
    `SELECT n.nspname::text AS name, pg_get_userbyid(n.nspowner)::text AS owner, current_setting('server_version_num')::int AS version,
            (SELECT json_agg(DISTINCT CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END)
               FROM aclexplode(n.nspacl) a WHERE a.grantee <> n.nspowner) AS grantees,
            n.nspacl IS NOT NULL AS changed, obj_description(n.oid, 'pg_namespace') IS DISTINCT FROM
              CASE n.nspname WHEN 'public' THEN 'standard public schema' END AS commented
       FROM pg_namespace n
      WHERE ${mine("n.nspowner")} AND ${ofPeople} AND (n.nspname = 'public' OR n.nspname = ANY ($2::text[]))`,
    [leftOutNames(stays.scope, "schema"), stays.schemas],
  );
  return rows.flatMap(({ name, owner, grantees, changed, commented, version }) => {
    const schema = `SCHEMA ${quoteIdentifier(name)}`;
    const isPublic = name === "public";
    const rights =
      !changed && !isPublic
        ? []
        : [
            ...(grantees ?? []).map((grantee) => `REVOKE ALL ON ${schema} FROM ${roleOf(grantee)} CASCADE`),
            `GRANT ALL ON ${schema} TO ${quoteIdentifier(owner)}`,
            ...(isPublic ? [`GRANT ${version >= publicUses ? "USAGE" : "ALL"} ON ${schema} TO PUBLIC`] : []),
          ];
    const comment = `COMMENT ON ${schema} IS ${isPublic ? quoteLiteral("standard public schema") : "NULL"}`;
    return [...rights, ...(commented ? [comment] : [])];
  });
}

function roleOf(name: string | null): string {
  return name === null ? "PUBLIC" : quoteIdentifier(name);
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
  return rows.flatMap(({ role, schema, object, grantees, defaults }) => {
    const where = schema === null ? "" : ` IN SCHEMA ${quoteIdentifier(schema)}`;
    const alter = `ALTER DEFAULT PRIVILEGES FOR ROLE ${quoteIdentifier(role)}${where}`;
    const what = privilegeObjects[object] ?? "TABLES";
    return [
      ...grantees.map((grantee) => `${alter} REVOKE ALL ON ${what} FROM ${roleOf(grantee)}`),
      ...defaults.map(({ grantee, privilege }) => `${alter} GRANT ${privilege} ON ${what} TO ${roleOf(grantee)}`),
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
  /** Kinds that have no owner, or whose owner PostgreSQL is; empty for a superuser. */
  readonly kinds: ReadonlySet<string>;
}

/** Only a superuser makes them, or gives rights to them. */
const kindsOfSuperusers = [
  "access-method",
  "cast",
  "rights",
  "text-search-parser",
  "text-search-template",
  "transform",
] as const;

export async function readPlatformObjects(session: Queryable): Promise<PlatformObjects> {
  const { rows } = await session.query<{ kind: string; name: string }>(
    `SELECT 'schema' AS kind, nspname::text AS name FROM pg_namespace WHERE NOT ${mine("nspowner")}
     UNION ALL SELECT 'extension', extname::text FROM pg_extension WHERE NOT ${mine("extowner")}
     UNION ALL SELECT 'publication', pubname::text FROM pg_publication WHERE NOT ${mine("pubowner")}
     UNION ALL SELECT 'event-trigger', evtname::text FROM pg_event_trigger WHERE NOT ${mine("evtowner")}
     UNION ALL SELECT 'language', lanname::text FROM pg_language WHERE NOT ${mine("lanowner")}
     UNION ALL SELECT 'foreign-data-wrapper', fdwname::text FROM pg_foreign_data_wrapper WHERE NOT ${mine("fdwowner")}
     UNION ALL SELECT 'foreign-server', srvname::text FROM pg_foreign_server WHERE NOT ${mine("srvowner")}
     UNION ALL SELECT 'user-mapping', m.usename || ' on ' || m.srvname
                 FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid WHERE NOT ${mine("s.srvowner")}
     UNION ALL SELECT 'role', rolname::text FROM pg_roles WHERE NOT ${mine("oid")}
     UNION ALL SELECT 'limited', '' WHERE NOT ${isSuperuser}`,
  );
  const namesOf = (kind: string): string[] => rows.filter((row) => row.kind === kind).map(({ name }) => name);
  return {
    schemas: namesOf("schema"),
    roles: namesOf("role"),
    items: new Set(rows.map(({ kind, name }) => `${kind} ${name}`)),
    kinds: new Set(namesOf("limited").length === 0 ? [] : kindsOfSuperusers),
  };
}

/** Whether an item of a catalog is among them, or lies in a schema of theirs. */
export function isPlatforms({ kind, name }: Pick<CatalogItem, "kind" | "name">, platform: PlatformObjects): boolean {
  if (platform.items.has(`${kind} ${name}`) || platform.kinds.has(kind)) return true;
  if (kind === "default-privileges") return platform.roles.some((role) => name.startsWith(`${role} `));
  if (kind === "public-schema") return platform.schemas.includes(name);
  if (kind === "publication-part")
    return platform.items.has(`publication ${name.slice(0, Math.max(0, name.indexOf(" ")))}`);
  if (kind === "comment") return isCommentOnPlatforms(name, platform);
  return platform.schemas.some((schema) => name.startsWith(`${schema}.`));
}

/** `auth.users (table)`, `a_trigger on auth.users (trigger)`, `watch (event trigger)`. */
function isCommentOnPlatforms(name: string, { items, schemas }: PlatformObjects): boolean {
  const [, what = "", type = ""] = /^(.*) \(([a-z -]+)\)$/s.exec(name) ?? [];
  if (items.has(`${type === "server" ? "foreign-server" : type.replaceAll(" ", "-")} ${what}`)) return true;
  return schemas.some((schema) => what.startsWith(`${schema}.`) || what.includes(` on ${schema}.`));
}
