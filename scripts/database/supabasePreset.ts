/**
 * What a backup of a Supabase database leaves out, because the platform makes and manages it, with the reason and
 * the source of each fact. Everything else is dumped: above all `auth` (users), `storage` (metadata of files) and
 * `supabase_migrations` (the ledger), which the Supabase CLI leaves to the platform but people expect back.
 */
import { UsageError } from "../contract/failure";
import type { Queryable } from "./queryable";

export interface ManagedItem {
  readonly kind: "schema" | "extension" | "table";
  /** `schema.name` for a table. */
  readonly name: string;
  readonly why: string;
  /** Where that is written down. */
  readonly source: string;
  /** Dumped all the same where something of the database depends on it. Default: never dumped. */
  readonly unlessUsed?: true;
}

const cliDump = "supabase/cli: pkg/migration/dump.go (excludedSchemas), 2026-06";
const cliData = "supabase/cli: pkg/migration/scripts/dump_data.sh, 2026-06";
const lockdown = "supabase/postgres: migrations/db/migrations/20250421084701_revoke_admin_roles_from_postgres.sql";
const freshProject = "supabase/postgres: migrations/schema-17.sql (what every new project holds)";
const migrating = "https://supabase.com/docs/guides/platform/migrating-within-supabase/backup-restore";

export const supabaseManaged: readonly ManagedItem[] = [
  { kind: "schema", name: "_analytics", why: "logs of the platform's own services", source: cliDump },
  { kind: "schema", name: "_realtime", why: "tenants of the Realtime server, which writes them", source: cliDump },
  { kind: "schema", name: "_supavisor", why: "tenants of the pooler, which writes them", source: cliDump },
  { kind: "schema", name: "etl", why: "state of the platform's replication", source: cliDump },
  { kind: "schema", name: "pgbouncer", why: "the pooler's look-up of passwords; needs a superuser", source: cliDump },
  {
    kind: "schema",
    name: "realtime",
    why: "the Realtime server migrates it by itself; its messages live for days",
    source: cliDump,
  },
  { kind: "schema", name: "graphql", why: "made by the extension pg_graphql", source: cliDump },
  { kind: "schema", name: "graphql_public", why: "made by an event trigger for pg_graphql", source: cliDump },
  { kind: "schema", name: "pgsodium", why: "keys that only the project's root key decrypts", source: cliDump },
  { kind: "schema", name: "pgsodium_masks", why: "made by the extension pgsodium", source: cliDump },
  { kind: "schema", name: "pgtle", why: "made by the extension pg_tle", source: cliDump },
  {
    kind: "schema",
    name: "vault",
    why: "secrets encrypted with the project's root key: of no use in another project",
    source: cliDump,
  },
  {
    kind: "table",
    name: "auth.schema_migrations",
    why: "which version of its schema Auth runs; no role of yours may read it",
    source: lockdown,
  },
  {
    kind: "table",
    name: "storage.migrations",
    why: "which version of its schema Storage runs; no role of yours may read it",
    source: lockdown,
  },
  {
    kind: "table",
    name: "supabase_functions.migrations",
    why: "which version of its schema the webhooks run",
    source: cliData,
  },
  { kind: "table", name: "storage.buckets_vectors", why: "no role of yours may write it back", source: migrating },
  { kind: "table", name: "storage.vector_indexes", why: "no role of yours may write it back", source: migrating },
  { kind: "extension", name: "pg_graphql", why: "the platform installs it", source: freshProject },
  { kind: "extension", name: "supabase_vault", why: "the platform installs it", source: freshProject },
  { kind: "extension", name: "pgsodium", why: "the platform installs it, and holds its root key", source: cliDump },
  {
    kind: "extension",
    name: "pg_stat_statements",
    why: "the platform installs it in every project, and nothing here depends on it",
    source: freshProject,
    unlessUsed: true,
  },
  {
    kind: "extension",
    name: "pg_net",
    why: "the platform installs it with database webhooks; it holds only requests that are under way",
    source: "supabase/postgres: migrations/db/migrations/20240822021428_enable_webhooks_by_default.sql",
    unlessUsed: true,
  },
  {
    kind: "extension",
    name: "uuid-ossp",
    why: "the platform installs it in every project, and nothing here depends on it",
    source: freshProject,
    unlessUsed: true,
  },
  {
    kind: "extension",
    name: "pgjwt",
    why: "the platform installs it in every project, and nothing here depends on it",
    source: "supabase/postgres: migrations/schema-15.sql",
    unlessUsed: true,
  },
];

/** The presets that `DBPROTECT_PRESET` names. */
const presets = ["supabase", "none"] as const;
export type Preset = (typeof presets)[number];

/** What a preset leaves out of one database: only what is there. Nothing, without a preset. */
export interface BackupScope {
  readonly preset: Preset;
  readonly leftOut: readonly ManagedItem[];
}

/**
 * Supabase is known by the role that owns what the platform manages, whatever address the database is reached by
 * (direct host, pooler, own domain, self-hosted); `DBPROTECT_PRESET` decides otherwise.
 *
 * @throws UsageError when `DBPROTECT_PRESET` names none.
 */
export async function readScope(client: Queryable, env: NodeJS.ProcessEnv = process.env): Promise<BackupScope> {
  const preset = wantedPreset(env) ?? ((await hasPlatformRole(client)) ? "supabase" : "none");
  return { preset, leftOut: preset === "none" ? [] : await findManaged(client) };
}

function wantedPreset(env: NodeJS.ProcessEnv): Preset | undefined {
  const value = env["DBPROTECT_PRESET"];
  if (value === undefined || value === "") return undefined;
  const preset = presets.find((known) => known === value);
  if (preset === undefined)
    throw new UsageError(`DBPROTECT_PRESET: found ${value}: expected one of ${presets.join(", ")}`);
  return preset;
}

async function hasPlatformRole(client: Queryable): Promise<boolean> {
  const { rows } = await client.query("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = 'supabase_admin'");
  return rows.length > 0;
}

/**
 * An extension is in use when anything that is not its own depends on one of its members. Its own are its members, and
 * what goes with one of them: the rule of a view, the default of a column.
 */
const foundQuery = `
SELECT i.kind, i.name
  FROM unnest($1::text[], $2::text[], $3::bool[]) AS i(kind, name, unless_used)
 WHERE CASE i.kind
       WHEN 'schema' THEN EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = i.name)
       WHEN 'table' THEN EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                                  WHERE n.nspname || '.' || c.relname = i.name)
       ELSE EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extname = i.name
                       AND NOT (i.unless_used AND EXISTS (
                         SELECT FROM pg_catalog.pg_depend m
                           JOIN pg_catalog.pg_depend d ON d.refclassid = m.classid AND d.refobjid = m.objid
                          WHERE m.refclassid = 'pg_catalog.pg_extension'::regclass AND m.refobjid = e.oid
                            AND m.deptype = 'e' AND d.deptype IN ('n', 'a')
                            AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend o
                                             WHERE o.classid = d.classid AND o.objid = d.objid AND o.deptype = 'e'
                                               AND o.refobjid = e.oid)
                            AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend p
                                              JOIN pg_catalog.pg_depend o ON o.classid = p.refclassid AND o.objid = p.refobjid
                                             WHERE p.classid = d.classid AND p.objid = d.objid AND p.deptype IN ('i', 'a')
                                               AND o.deptype = 'e' AND o.refobjid = e.oid))))
       END`;

async function findManaged(client: Queryable): Promise<ManagedItem[]> {
  const { rows } = await client.query<{ kind: string; name: string }>(foundQuery, [
    supabaseManaged.map(({ kind }) => kind),
    supabaseManaged.map(({ name }) => name),
    supabaseManaged.map(({ unlessUsed }) => unlessUsed === true),
  ]);
  const found = new Set(rows.map(({ kind, name }) => `${kind} ${name}`));
  return supabaseManaged.filter(({ kind, name }) => found.has(`${kind} ${name}`));
}

/** Names of one kind that are left out. */
export function leftOutNames(scope: BackupScope, kind: ManagedItem["kind"]): string[] {
  return scope.leftOut.flatMap((item) => (item.kind === kind ? [item.name] : []));
}
