/**
 * Giving objects to the roles that owned them in the backup, as a role that is no superuser: it must be a member of
 * each of them, and the new owner of an object may need the right to create in its schema (PostgreSQL manual, "ALTER
 * TABLE"), which an archive gives only at its end.
 */
import { Refusal } from "../contract/failure";
import { majorOf } from "../database/identity";
import type { Queryable } from "../database/queryable";
import { quoteIdentifier } from "../database/sqlText";
import { type TocEntry, ownerOf } from "./tableOfContents";

/** From 16 on a membership says whether its rights are inherited and whether the role may be taken (release notes, "E.1.2"). */
const membershipsHaveOptions = 16;

/** From 15 on `public` belongs to this role, and pg_dump writes down only another owner. */
const ownerOfPublic = { role: "pg_database_owner", since: 15 };

/**
 * Makes our role a member of another one, with the rights of its objects' owner. The options are said, for a grant that
 * is there already keeps those that are not.
 */
export function membershipOf(role: string, serverMajor: number, member = "CURRENT_USER"): string {
  const options = serverMajor >= membershipsHaveOptions ? " WITH INHERIT TRUE, SET TRUE" : "";
  return `GRANT ${quoteIdentifier(role)} TO ${member}${options}`;
}

export async function readMajor(session: Queryable): Promise<number> {
  const { rows } = await session.query<{ version: number }>(
    "SELECT current_setting('server_version_num')::int AS version",
  );
  return majorOf(rows[0]!.version);
}

/** Roles to which something belongs that is to be made again: not the platform's, whose schemas are left as they are. */
export function ownersOf(
  entries: readonly TocEntry[],
  roles: readonly string[],
  platform: { readonly schemas: readonly string[] },
): string[] {
  const isPlatforms = ({ rest }: TocEntry): boolean => platform.schemas.some((schema) => rest.startsWith(`${schema} `));
  // What a role gives by default is its own affair: it is there without any object of its.
  const made = entries.filter((entry) => entry.kind !== "DEFAULT ACL" && !isPlatforms(entry));
  return [...new Set(made.flatMap((entry) => ownerOf(entry, roles) ?? []))].sort();
}

/** Roles whose objects the session cannot make. */
export interface Strangers {
  /** The session's own role. */
  readonly user: string;
  readonly serverMajor: number;
  /** The session can make itself a member of them; nothing in the database belongs to them, so nothing becomes its own. */
  readonly granted: readonly string[];
  /** What belongs to them is left as it is: they have something in the database. */
  readonly left: readonly string[];
}

/** @throws Refusal when a role has nothing in the database any more, and the session cannot give anything to it. */
export async function readStrangers(session: Queryable, owners: readonly string[]): Promise<Strangers> {
  const serverMajor = await readMajor(session);
  const isMember = serverMajor >= membershipsHaveOptions ? "pg_has_role(r.oid, 'SET')" : "true";
  const mayGrant = serverMajor >= membershipsHaveOptions ? "false" : "own.rolcreaterole";
  const { rows } = await session.query<Stranger>(
    `SELECT own.rolname::text AS "user", r.rolname::text AS name,
            NOT pg_has_role(r.oid, 'USAGE')
              AND EXISTS (SELECT FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid
                           WHERE b.datname = current_database() AND d.refclassid = 'pg_authid'::regclass
                             AND d.refobjid = r.oid AND d.deptype = 'o') AS present,
            pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') OR ${mayGrant} AS grantable
       FROM pg_roles r, pg_roles own
      WHERE own.rolname = current_user AND NOT own.rolsuper AND r.rolname = ANY ($1::text[]) AND NOT r.rolsuper
        AND NOT (pg_has_role(r.oid, 'USAGE') AND ${isMember}) ORDER BY 1`,
    [owners],
  );
  const user = rows[0]?.user ?? "";
  const namesOf = (chosen: (stranger: Stranger) => boolean): string[] => rows.filter(chosen).map(({ name }) => name);
  const refused = namesOf(({ present, grantable }) => !present && !grantable);
  if (refused.length > 0)
    throw new Refusal(
      `objects of the backup belong to roles that role ${user} is no member of, nor may make itself one: ${refused.join(", ")}: nothing was changed`,
      { hint: `as a role that may: ${grantsTo({ user, serverMajor }, refused)}` },
    );
  return { user, serverMajor, granted: namesOf(({ present }) => !present), left: namesOf(({ present }) => present) };
}

interface Stranger {
  readonly user: string;
  readonly name: string;
  /** It owns something in this database, and that is not the session's to replace. */
  readonly present: boolean;
  /** The session may make itself a member of it. */
  readonly grantable: boolean;
}

/** What a person runs so that the objects of these roles are replaced as well. */
export function grantsTo(to: Pick<Strangers, "user" | "serverMajor">, roles: readonly string[]): string {
  return roles.map((role) => `${membershipOf(role, to.serverMajor, quoteIdentifier(to.user))};`).join(" ");
}

/**
 * Statements that give schemas which stay, and are the session's own, to their owner in the backup.
 *
 * @param own roles to which the session can give something.
 */
export async function schemaOwnerStatements(
  session: Queryable,
  entries: readonly TocEntry[],
  { roles, own }: { readonly roles: readonly string[]; readonly own: readonly string[] },
): Promise<string[]> {
  const { rows } = await session.query<{ name: string; owner: string }>(
    `SELECT nspname::text AS name, pg_get_userbyid(nspowner)::text AS owner FROM pg_namespace
      WHERE pg_has_role(nspowner, 'USAGE') AND nspname <> 'information_schema' AND nspname !~ '^pg_'`,
  );
  const wanted = new Map(
    entries.flatMap((entry): [string, string][] => {
      const owner = entry.kind === "SCHEMA" ? ownerOf(entry, roles) : undefined;
      return owner === undefined ? [] : [[entry.rest.replace(/^- /, "").slice(0, -(owner.length + 1)), owner]];
    }),
  );
  if ((await readMajor(session)) >= ownerOfPublic.since && !wanted.has("public"))
    wanted.set("public", ownerOfPublic.role);
  return rows.flatMap(({ name, owner }) => {
    const before = wanted.get(name) ?? owner;
    return before === owner || !own.includes(before)
      ? []
      : [`ALTER SCHEMA ${quoteIdentifier(name)} OWNER TO ${quoteIdentifier(before)}`];
  });
}

/**
 * The right to create in a schema, for each owner that lacks it there and will own what the entries make: to be given
 * before they are made, and taken back before the archive gives the rights that it holds.
 */
export async function creationRights(
  session: Queryable,
  entries: readonly TocEntry[],
  roles: readonly string[],
): Promise<{ readonly give: readonly string[]; readonly take: readonly string[] }> {
  const { rows } = await session.query<{ schema: string; role: string }>(
    `SELECT n.nspname::text AS schema, r.rolname::text AS role FROM pg_namespace n, pg_roles r, pg_roles own
      WHERE own.rolname = current_user AND NOT own.rolsuper AND r.rolname = ANY ($1::text[])
        AND pg_has_role(n.nspowner, 'USAGE') AND n.nspname !~ '^pg_' AND NOT has_schema_privilege(r.oid, n.oid, 'CREATE')
      ORDER BY 1, 2`,
    [[...new Set(entries.flatMap((entry) => ownerOf(entry, roles) ?? []))]],
  );
  const needed = rows.filter(({ schema, role }) =>
    entries.some((entry) => entry.rest.startsWith(`${schema} `) && ownerOf(entry, roles) === role),
  );
  const on = ({ schema }: { schema: string }): string => `CREATE ON SCHEMA ${quoteIdentifier(schema)}`;
  return {
    give: needed.map((right) => `GRANT ${on(right)} TO ${quoteIdentifier(right.role)}`),
    take: needed.map((right) => `REVOKE ${on(right)} FROM ${quoteIdentifier(right.role)}`),
  };
}
