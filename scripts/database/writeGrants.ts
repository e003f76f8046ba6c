/**
 * Rights to write that access control lists give away: read, revoked, and given back exactly as they were, each by its
 * own grantor, for `REVOKE` takes back only what the role that runs it has granted (PostgreSQL manual, "REVOKE").
 */
import { z } from "zod";
import { Refusal } from "../contract/failure";
import type { Queryable } from "./queryable";
import { displayName, quoteIdentifier, quoteName } from "./sqlText";

/** A session in a transaction: queries, and statements that return nothing. */
export interface StatementSession extends Queryable {
  run(statements: string): Promise<unknown>;
}

export const writeGrantSchema = z.object({
  /** Of `pg_database`: a restored database has tables with the same OIDs. */
  databaseOid: z.string(),
  objectOid: z.string(),
  /** `other`: a view or a foreign table. */
  kind: z.enum(["table", "sequence", "other"]),
  schema: z.string(),
  name: z.string(),
  /** Null: of the whole table. */
  column: z.string().nullable(),
  /** Of the object. */
  owner: z.string(),
  grantor: z.string(),
  /** Null: PUBLIC. */
  grantee: z.string().nullable(),
  /** `INSERT`, `UPDATE`, `DELETE`, `TRUNCATE`; of a sequence `USAGE`, `UPDATE`. */
  privilege: z.string(),
  /** WITH GRANT OPTION. */
  grantable: z.boolean(),
});

export type WriteGrant = z.infer<typeof writeGrantSchema>;

/** Relations that people made: what a role could write to. Aliases `c` and `n`. */
export const writableRelations = `pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND n.nspname !~ '^pg_(toast|temp)'`;

const grantsQuery = `
WITH object AS (
  SELECT c.oid, c.relkind, n.nspname, c.relname, c.relowner, c.relacl FROM ${writableRelations}),
entry AS (
  SELECT o.oid, NULL::name AS attname, a.* FROM object o CROSS JOIN LATERAL aclexplode(o.relacl) a
  UNION ALL
  SELECT o.oid, t.attname, a.* FROM object o JOIN pg_attribute t ON t.attrelid = o.oid AND NOT t.attisdropped
   CROSS JOIN LATERAL aclexplode(t.attacl) a)
SELECT (SELECT oid::int8::text FROM pg_database WHERE datname = current_database()) AS "databaseOid",
       o.oid::int8::text AS "objectOid",
       CASE WHEN o.relkind = 'S' THEN 'sequence' WHEN o.relkind IN ('r', 'p') THEN 'table' ELSE 'other' END AS kind,
       o.nspname::text AS schema, o.relname::text AS name, e.attname::text AS column,
       pg_get_userbyid(o.relowner)::text AS owner, pg_get_userbyid(e.grantor)::text AS grantor,
       CASE WHEN e.grantee <> 0 THEN pg_get_userbyid(e.grantee)::text END AS grantee,
       e.privilege_type AS privilege, e.is_grantable AS grantable
  FROM entry e JOIN object o ON o.oid = e.oid
 WHERE e.grantee <> o.relowner
   AND e.privilege_type = ANY (CASE WHEN o.relkind = 'S' THEN ARRAY['USAGE', 'UPDATE']
                                    ELSE ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] END)
 ORDER BY 4, 5, e.attname NULLS FIRST, e.grantor, e.grantee, 10`;

/** Of everybody but the owner, who has all rights by himself. */
async function readWriteGrants(session: Queryable): Promise<WriteGrant[]> {
  const { rows } = await session.query<WriteGrant>(grantsQuery);
  return rows;
}

/** What tells one grant from another. */
export function grantKey(grant: WriteGrant): string {
  const { databaseOid, objectOid, column, grantor, grantee, privilege, grantable } = grant;
  return JSON.stringify([databaseOid, objectOid, column, grantor, grantee, privilege, grantable]);
}

/** `INSERT (name) on public.clients for anon`. */
function describeGrant(grant: WriteGrant): string {
  const column = grant.column === null ? "" : ` (${grant.column})`;
  return `${grant.privilege}${column} on ${displayName(grant)} for ${grant.grantee ?? "PUBLIC"}, granted by ${grant.grantor}`;
}

export interface Revocation {
  /** Every grant that is gone by it, also those that depended on one. */
  readonly revoked: readonly WriteGrant[];
  /** What the session's role could not take back: it may not act for the grantor. */
  readonly left: readonly WriteGrant[];
}

/** Takes the rights to write from these roles and from PUBLIC. The caller's transaction decides whether it stays so. */
export async function revokeWriteGrants(session: StatementSession, roles: ReadonlySet<string>): Promise<Revocation> {
  const isMeant = ({ grantee }: WriteGrant): boolean => grantee === null || roles.has(grantee);
  const before = await readWriteGrants(session);
  // Whoever received a right passes it on: so the last one first.
  const meant = inGrantOrder(before.filter(isMeant)).reverse();
  const actors = await readActors(session, meant);
  const statements = grouped(meant).flatMap((group) => {
    const { grantee } = group[0]!;
    // CASCADE: those roles may have passed it on to others, whom nobody named.
    return actors.acting(group[0]!, `REVOKE ${rightsOf(group)} FROM ${whom(grantee)} CASCADE`);
  });
  await runAll(session, statements);
  const after = await readWriteGrants(session);
  const kept = new Set(after.map(grantKey));
  return { revoked: before.filter((grant) => !kept.has(grantKey(grant))), left: after.filter(isMeant) };
}

/**
 * Gives back what was revoked, and compares. What belongs to another database is passed over; so is what has gone
 * meanwhile, which the lines that are returned name.
 *
 * @throws Refusal when a grant is not back exactly: the caller must not commit.
 */
export async function giveBackWriteGrants(
  session: StatementSession,
  recorded: readonly WriteGrant[],
): Promise<{ given: number; notes: string[] }> {
  const { wanted, notes } = await resolve(session, recorded);
  const present = new Set((await readWriteGrants(session)).map(grantKey));
  const missing = inGrantOrder(wanted.filter((grant) => !present.has(grantKey(grant))));
  const actors = await readActors(session, missing);
  const statements = grouped(missing).flatMap((group) => {
    const { grantee, grantable } = group[0]!;
    return actors.acting(
      group[0]!,
      `GRANT ${rightsOf(group)} TO ${whom(grantee)}${grantable ? " WITH GRANT OPTION" : ""}`,
    );
  });
  await runAll(session, statements);
  const after = new Set((await readWriteGrants(session)).map(grantKey));
  const lacking = missing.filter((grant) => !after.has(grantKey(grant)));
  if (lacking.length > 0)
    throw new Refusal(`${lacking.length} right(s) to write cannot be given back: nothing was changed`, {
      details: lacking.slice(0, 20).map(describeGrant),
      hint: "run this as the role that took them away, or as one that may act for the grantors",
    });
  return { given: missing.length, notes };
}

/** Names and owners may have changed since; an object that is gone needs no grant. */
async function resolve(
  session: Queryable,
  recorded: readonly WriteGrant[],
): Promise<{ wanted: WriteGrant[]; notes: string[] }> {
  const objects = await session.query<{ database: string; oid: string; schema: string; name: string; owner: string }>(
    `SELECT (SELECT oid::int8::text FROM pg_database WHERE datname = current_database()) AS database,
            c.oid::int8::text AS oid, n.nspname::text AS schema, c.relname::text AS name,
            pg_get_userbyid(c.relowner)::text AS owner FROM ${writableRelations}`,
  );
  const columns = await session.query<{ oid: string; name: string }>(
    `SELECT c.oid::int8::text AS oid, t.attname::text AS name FROM ${writableRelations}
       JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped`,
  );
  const roles = await session.query<{ name: string }>("SELECT rolname::text AS name FROM pg_roles");
  const objectOf = new Map(objects.rows.map((object) => [object.oid, object]));
  const columnKeys = new Set(columns.rows.map(({ oid, name }) => JSON.stringify([oid, name])));
  const known = new Set(roles.rows.map(({ name }) => name));
  const wanted: WriteGrant[] = [];
  const gone = new Set<string>();
  for (const grant of recorded) {
    const object = objectOf.get(grant.objectOid);
    if (objects.rows[0]?.database !== grant.databaseOid) continue;
    const { column, grantee } = grant;
    // Whoever owns it by now is the grantor of what its former owner granted (PostgreSQL: aclnewowner).
    const grantor = object !== undefined && grant.grantor === grant.owner ? object.owner : grant.grantor;
    if (object === undefined) gone.add(`${displayName(grant)} is gone: its rights are not given back`);
    else if (column !== null && !columnKeys.has(JSON.stringify([grant.objectOid, column])))
      gone.add(`column ${column} of ${displayName(object)} is gone: its rights are not given back`);
    else if (!known.has(grantor) || (grantee !== null && !known.has(grantee)))
      gone.add(`role ${known.has(grantor) ? grantee : grantor} is gone: its rights are not given back`);
    else if (grantee !== object.owner)
      wanted.push({ ...grant, grantor, owner: object.owner, schema: object.schema, name: object.name });
  }
  return { wanted, notes: [...gone] };
}

/** Each after the one that lets its grantor grant it. */
function inGrantOrder(grants: readonly WriteGrant[]): WriteGrant[] {
  const byObject = new Map<string, WriteGrant[]>();
  for (const grant of grants) byObject.set(grant.objectOid, [...(byObject.get(grant.objectOid) ?? []), grant]);
  return [...byObject.values()].flatMap((ofObject) => {
    const ordered: WriteGrant[] = [];
    let pending = ofObject;
    while (pending.length > 0) {
      const ready = pending.filter((grant) => !pending.some((other) => other !== grant && enables(other, grant)));
      // PostgreSQL allows no circles; should one be read all the same, the comparison afterwards tells.
      const next = ready.length === 0 ? pending : ready;
      ordered.push(...next);
      pending = pending.filter((grant) => !next.includes(grant));
    }
    return ordered;
  });
}

function enables(one: WriteGrant, other: WriteGrant): boolean {
  return (
    one.grantable &&
    one.grantee === other.grantor &&
    one.privilege === other.privilege &&
    (one.column === null || one.column === other.column)
  );
}

/** Neighbours that one statement can name. */
function grouped(grants: readonly WriteGrant[]): WriteGrant[][] {
  const groups: WriteGrant[][] = [];
  const keyOf = ({ objectOid, grantor, grantee, grantable }: WriteGrant): string =>
    JSON.stringify([objectOid, grantor, grantee, grantable]);
  for (const grant of grants) {
    const last = groups.at(-1);
    if (last?.[0] !== undefined && keyOf(last[0]) === keyOf(grant)) last.push(grant);
    else groups.push([grant]);
  }
  return groups;
}

function rightsOf(group: readonly WriteGrant[]): string {
  const first = group[0]!;
  const rights = group.map(
    ({ privilege, column }) => `${privilege}${column === null ? "" : ` (${quoteIdentifier(column)})`}`,
  );
  return `${rights.join(", ")} ON ${first.kind === "sequence" ? "SEQUENCE" : "TABLE"} ${quoteName(first)}`;
}

function whom(grantee: string | null): string {
  return grantee === null ? "PUBLIC" : quoteIdentifier(grantee);
}

interface Actors {
  /** The statement, run as the grantor; nothing where this session may not be him. */
  acting(grant: WriteGrant, statement: string): string[];
}

/** SQL: whether the session may SET ROLE to `r`. Since PostgreSQL 16 a membership may lack just that. */
export const maySetRole = `CASE WHEN current_setting('server_version_num')::int >= 160000
  THEN pg_has_role(current_user, r.oid, 'SET') ELSE pg_has_role(current_user, r.oid, 'MEMBER') END`;

async function readActors(session: Queryable, grants: readonly WriteGrant[]): Promise<Actors> {
  const { rows } = await session.query<{ name: string; me: boolean; has: boolean; may: boolean }>(
    `SELECT r.rolname::text AS name, r.rolname = current_user AS me, pg_has_role(current_user, r.oid, 'USAGE') AS has,
            ${maySetRole} AS may FROM pg_roles r WHERE r.rolname = ANY ($1::text[])`,
    [[...new Set(grants.flatMap(({ owner, grantor }) => [owner, grantor]))]],
  );
  const roles = new Map(rows.map((row) => [row.name, row]));
  return {
    acting: ({ owner, grantor }, statement) => {
      // PostgreSQL takes whoever has the owner's rights for the owner (acl.c: select_best_grantor).
      const asOwner = roles.get(owner)?.has === true;
      const direct = grantor === owner ? asOwner : !asOwner && roles.get(grantor)?.me === true;
      if (direct) return [statement];
      if (roles.get(grantor)?.may !== true) return [];
      return [`SET LOCAL ROLE ${quoteIdentifier(grantor)}`, statement, "RESET ROLE"];
    },
  };
}

/** Statements sent at a time: the server may be far away. */
const batch = 300;

async function runAll(session: StatementSession, statements: readonly string[]): Promise<void> {
  for (let start = 0; start < statements.length; start += batch)
    await session.run(statements.slice(start, start + batch).join(";\n"));
}
