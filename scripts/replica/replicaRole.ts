/**
 * What a role that is no superuser needs on the replica's server besides the right to subscribe: roles to give things to, and
 * a password in the subscription. So is the master user of Amazon RDS, and whoever has `pg_create_subscription` (16).
 */
import type { Client } from "pg";
import { quoteIdentifier } from "../database/sqlText";
import { leftOutNames, readScope } from "../database/supabasePreset";
import type { ReplicaPair } from "./pair";

/** Owners of what is copied. Others only hold rights, for which nobody has to be a member of them. */
export async function ownersOf(source: Client): Promise<string[]> {
  const schemas = leftOutNames(await readScope(source), "schema");
  const { rows } = await source.query<{ name: string }>(
    `SELECT DISTINCT pg_get_userbyid(o.owner)::text AS name
       FROM (SELECT oid AS schema, nspowner AS owner FROM pg_namespace WHERE nspname <> 'public'
             UNION ALL SELECT relnamespace, relowner FROM pg_class UNION ALL SELECT pronamespace, proowner FROM pg_proc
             UNION ALL SELECT typnamespace, typowner FROM pg_type) o JOIN pg_namespace n ON n.oid = o.schema
      WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND n.nspname <> ALL ($1::text[])
        AND pg_get_userbyid(o.owner) !~ '^pg_' ORDER BY 1`,
    [schemas],
  );
  return rows.map(({ name }) => name);
}

interface Membership {
  readonly name: string;
  readonly exists: boolean;
  readonly member: boolean;
  /** Whether our role may make itself a member. */
  readonly grantable: boolean;
}

async function membershipsOf(replica: Client, owners: readonly string[]): Promise<Membership[]> {
  const { rows } = await replica.query<Membership>(
    `SELECT w.name, r.oid IS NOT NULL AS exists, COALESCE(pg_has_role(current_user, r.oid, 'USAGE'), false) AS member,
            COALESCE(pg_has_role(current_user, r.oid, 'USAGE WITH ADMIN OPTION'), false)
              OR (SELECT rolsuper OR rolcreaterole AND current_setting('server_version_num')::int < 160000 AND NOT COALESCE(r.rolsuper, false)
                    FROM pg_roles WHERE rolname = current_user) AS grantable
       FROM unnest($1::text[]) AS w(name) LEFT JOIN pg_roles r ON r.rolname = w.name`,
    [[...owners]],
  );
  return rows;
}

/**
 * Whoever is no superuser can give things only to roles that it has, since 16 not even to those that it created, and only
 * where they could have made them.
 */
export async function takeRoles(replica: Client, owners: readonly string[]): Promise<void> {
  const { rows } = await replica.query<{ superuser: boolean; database: string }>(
    "SELECT rolsuper AS superuser, current_database()::text AS database FROM pg_roles WHERE rolname = current_user",
  );
  const { superuser, database } = rows[0]!;
  if (superuser) return;
  for (const { name, exists, member } of await membershipsOf(replica, owners)) {
    if (!exists) continue;
    if (!member) await replica.query(`GRANT ${quoteIdentifier(name)} TO CURRENT_USER`);
    await replica.query(
      `GRANT CREATE ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(name)};
       GRANT USAGE, CREATE ON SCHEMA public TO ${quoteIdentifier(name)}`,
    );
  }
}

/** What is missing, each with its fix. */
export async function lackingOf(
  { route, settings }: Pick<ReplicaPair, "route" | "settings">,
  source: Client,
  replica: Client,
): Promise<{ readonly problem: string; readonly fix: string }[]> {
  const { rows } = await replica.query<{ role: string; superuser: boolean; creates: boolean }>(
    "SELECT rolname::text AS role, rolsuper AS superuser, rolcreaterole AS creates FROM pg_roles WHERE rolname = current_user",
  );
  const { role, superuser, creates } = rows[0]!;
  if (superuser) return [];
  const found = await membershipsOf(replica, await ownersOf(source));
  const own = quoteIdentifier(role);
  return [
    ...found
      .filter(({ exists }) => !exists && !creates)
      .map(({ name }) => ({
        problem: `role ${name}, which owns what is copied, is not on the replica's server, and role ${role} may not create it`,
        fix: `on the replica: CREATE ROLE ${quoteIdentifier(name)}; GRANT ${quoteIdentifier(name)} TO ${own}; or ALTER ROLE ${own} CREATEROLE`,
      })),
    ...found
      .filter(({ exists, member, grantable }) => exists && !member && !grantable)
      .map(({ name }) => ({
        problem: `role ${role} may not give anything to ${name}, which owns what is copied`,
        fix: `on the replica: GRANT ${quoteIdentifier(name)} TO ${own}`,
      })),
    ...((route.password ?? "") === "" || settings.passfile !== undefined
      ? [
          {
            problem: `role ${role} of the replica is no superuser: its subscription must hold a password`,
            fix: `put one into ${route.source}, and leave replica.passfile out`,
          },
        ]
      : []),
  ];
}
