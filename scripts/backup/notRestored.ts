/**
 * What a restore of this backup does not bring back, and why: looked for in the source while it is backed up, so that
 * the manifest says it before anybody needs to know. What is not in this list comes back.
 */
import type { ClientBase } from "pg";
import { z } from "zod";
import { type BackupScope, type ManagedItem, leftOutNames } from "../database/supabasePreset";

export const notRestoredSchema = z.object({
  /** `subscription from_billing`. */
  what: z.string(),
  why: z.string(),
});

export type NotRestored = z.infer<typeof notRestoredSchema>;

interface Probe {
  /** Rows of one column, `what`. $1: left-out schemas, $2: left-out tables. */
  readonly sql: string;
  readonly why: string;
}

const otherSchema = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";
const scoped = `${otherSchema} AND n.nspname <> ALL ($1::text[]) AND n.nspname || '.' || c.relname <> ALL ($2::text[])`;

/** Each returns nothing in a database that has none of it. */
const probes: readonly Probe[] = [
  {
    sql: `SELECT count(*) || ' password(s) of roles' AS what FROM pg_roles
           WHERE rolcanlogin AND rolname !~ '^pg_' HAVING count(*) > 0`,
    why: "no secret belongs into an archive; set them anew",
  },
  {
    sql: `SELECT 'memberships, attributes and settings of ' || count(*) || ' role(s)' AS what FROM pg_roles
           WHERE rolname !~ '^pg_' AND oid <> 10 HAVING count(*) > 0`,
    why: "they belong to the whole server: they are in roles.sql.zst, for a person to apply; a restore creates the roles that it needs without login",
  },
  {
    sql: `SELECT 'subscription ' || subname AS what FROM pg_subscription
           WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1`,
    why: "its connection holds a secret, and a second subscriber would tear its slot; create it anew",
  },
  {
    sql: `SELECT 'replication slot ' || slot_name AS what FROM pg_replication_slots WHERE database = current_database() ORDER BY 1`,
    why: "a position in the old server's log means nothing to another",
  },
  {
    sql: `SELECT 'prepared transaction ' || quote_literal(gid) AS what FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1`,
    why: "it was not committed when the snapshot was taken",
  },
  {
    sql: `SELECT 'rows of foreign table ' || n.nspname || '.' || c.relname AS what
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND ${scoped} ORDER BY 1`,
    why: "they are on another server; the table's definition is here",
  },
  {
    sql: `SELECT 'options of the user mapping for ' || usename || ' on ' || srvname AS what FROM pg_user_mappings
           WHERE umoptions IS NULL ORDER BY 1`,
    why: "PostgreSQL shows them only to their owner and to superusers",
  },
  {
    sql: `SELECT 'place of ' || n.nspname || '.' || c.relname || ' in tablespace ' || t.spcname AS what
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_tablespace t ON t.oid = c.reltablespace
           WHERE c.relkind IN ('r', 'p', 'i', 'I', 'm') AND ${scoped} ORDER BY 1`,
    why: "another server has other tablespaces: the restored one lies in the default tablespace",
  },
  {
    sql: `SELECT 'security label by ' || provider || ' on ' || objtype || ' ' || objname AS what FROM pg_seclabels
           WHERE objtype NOT IN ('role', 'database', 'tablespace') ORDER BY 1`,
    why: "a server takes it only where its provider is loaded; it is in the archives: pg_restore by hand brings it",
  },
  {
    sql: `SELECT 'rows of ' || n.nspname || '.' || c.relname || ', a table of extension ' || e.extname AS what
            FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid JOIN pg_class c ON c.oid = d.objid
            JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
             AND c.relkind = 'r' AND pg_relation_size(c.oid) > 0 AND NOT c.oid = ANY (COALESCE(e.extconfig, '{}'))
             AND ${scoped} ORDER BY 1`,
    why: "the extension does not mark them as data to be dumped (pg_extension_config_dump)",
  },
  {
    sql: `SELECT 'rights to language ' || lanname AS what FROM pg_language l
           WHERE NOT lanispl AND lanacl IS NOT NULL
             AND EXISTS (SELECT FROM aclexplode(l.lanacl) a FULL JOIN aclexplode(acldefault('l', l.lanowner)) b
                             USING (grantee, privilege_type, is_grantable)
                          WHERE a.grantor IS NULL OR b.grantor IS NULL) ORDER BY 1`,
    why: "pg_dump writes nothing of PostgreSQL's own languages: give and take them anew",
  },
  {
    sql: `SELECT 'index ' || n.nspname || '.' || x.relname AS what
            FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
            JOIN pg_namespace n ON n.oid = x.relnamespace
           WHERE NOT i.indisvalid AND x.relkind = 'i' AND ${scoped} ORDER BY 1`,
    why: "it is invalid: a CREATE INDEX CONCURRENTLY failed; drop it, or build it again",
  },
  {
    sql: `SELECT 'contents of materialized view ' || n.nspname || '.' || c.relname AS what
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind = 'm' AND c.relispopulated AND ${scoped} ORDER BY 1`,
    why: "a restore computes them anew from the restored tables",
  },
  {
    sql: `SELECT 'event trigger ' || evtname AS what FROM pg_event_trigger e
           WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) ORDER BY 1`,
    why: "PostgreSQL lets only a superuser create one: it comes back when a superuser restores",
  },
  {
    sql: `SELECT 'setting ' || split_part(c.entry, '=', 1) || ' of the database' || COALESCE(' for role ' || r.rolname, '') AS what
            FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c(entry) LEFT JOIN pg_roles r ON r.oid = s.setrole
           WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND split_part(c.entry, '=', 1) ~ '[.]' ORDER BY 1`,
    why: "an application made it up, and it may be a secret; pg_restore --create by hand brings it",
  },
  {
    sql: `SELECT what FROM (
            SELECT CASE WHEN shobj_description(oid, 'pg_database') IS NOT NULL THEN 'comment on the database' END AS comment,
                   CASE WHEN datconnlimit <> -1 THEN 'connection limit of the database' END AS connections,
                   'owner of the database (' || pg_get_userbyid(datdba) || ')' AS owner
              FROM pg_database WHERE datname = current_database()) d
           CROSS JOIN LATERAL (VALUES (comment), (connections), (owner)) AS v(what) WHERE what IS NOT NULL`,
    why: "a restore makes a database of its own, which belongs to the role that restores",
  },
];

/** Lines of one kind that the manifest names; of more it says how many. */
const shownOfAKind = 100;

/**
 * @param client a session in the backup's snapshot: everything is as it was dumped, but for what all databases of the
 *   server share.
 */
export async function findNotRestored(client: ClientBase, scope: BackupScope): Promise<NotRestored[]> {
  const left = [leftOutNames(scope, "schema"), leftOutNames(scope, "table")];
  const found = scope.leftOut.map((item): NotRestored => ({
    what: `${item.kind} ${item.name}`,
    why: `managed by the platform: ${item.why}`,
  }));
  found.push(...(await policiesOfLeftOut(client, scope)));
  for (const { sql, why } of probes) {
    // Every statement takes both parameters, whether it looks at schemas or not.
    const { rows } = await client.query<{ what: string }>(
      `SELECT f.what FROM (${sql}) f WHERE $1::text[] IS NOT NULL AND $2::text[] IS NOT NULL`,
      left,
    );
    found.push(...rows.slice(0, shownOfAKind).map(({ what }) => ({ what, why })));
    if (rows.length > shownOfAKind) found.push({ what: `${rows.length - shownOfAKind} more like the last`, why });
  }
  return found;
}

/** People write policies for `realtime.messages`: they are theirs, though the table is the platform's. */
async function policiesOfLeftOut(client: ClientBase, scope: BackupScope): Promise<NotRestored[]> {
  const schemas = leftOutNames(scope, "schema" satisfies ManagedItem["kind"]);
  if (schemas.length === 0) return [];
  const { rows } = await client.query<{ what: string }>(
    `SELECT 'policy ' || quote_ident(policyname) || ' on ' || schemaname || '.' || tablename AS what
       FROM pg_policies WHERE schemaname = ANY ($1) ORDER BY 1`,
    [schemas],
  );
  return rows.map(({ what }) => ({ what, why: "its table is the platform's; keep such policies in a migration" }));
}
