/** The write fence in one database: who can be kept from writing there, the taking of the rights, and the proof. */
import { Refusal, UsageError } from "../contract/failure";
import type { Queryable } from "../database/queryable";
import { displayName, quoteIdentifier } from "../database/sqlText";
import {
  type StatementSession,
  type WriteGrant,
  maySetRole,
  revokeWriteGrants,
  writableRelations,
} from "../database/writeGrants";
import { listPossibleWrites, tryWrites } from "../database/writeProof";
import type { MaintenanceTurn } from "./maintenance";

/** Whom a fence keeps from writing. */
export interface FencedRoles {
  /** Those that were asked for and exist. */
  readonly roles: readonly string[];
  /** They, and every role whose rights they have or can take on. */
  readonly withGroups: readonly string[];
}

/**
 * @throws UsageError when none of the roles exists; Refusal naming each that no fence can hold, and why.
 */
export async function readFencedRoles(session: Queryable, wanted: readonly string[]): Promise<FencedRoles> {
  const { rows } = await session.query<{
    name: string;
    superuser: boolean;
    may: boolean;
    me: string;
    groups: string[];
    supergroups: string[];
    owned: string[];
  }>(
    `SELECT r.rolname::text AS name, r.rolsuper AS superuser, ${maySetRole} AS may, current_user::text AS me,
            ARRAY(SELECT g.rolname::text FROM pg_roles g WHERE pg_has_role(r.oid, g.oid, 'MEMBER') ORDER BY 1) AS groups,
            ARRAY(SELECT g.rolname::text FROM pg_roles g WHERE g.rolsuper AND pg_has_role(r.oid, g.oid, 'MEMBER')) AS supergroups,
            ARRAY(SELECT n.nspname || '.' || c.relname FROM ${writableRelations}
                   WHERE pg_has_role(r.oid, c.relowner, 'MEMBER') ORDER BY 1 LIMIT 5) AS owned
       FROM pg_roles r WHERE r.rolname = ANY ($1::text[]) ORDER BY 1`,
    [[...wanted]],
  );
  if (rows.length === 0)
    throw new UsageError(
      `rollback.fencedRoles: found ${wanted.join(", ")}: no such role on this server: expected the roles that your application connects as`,
      { hint: "set rollback.fencedRoles in the settings (--settings, DBPROTECT_SETTINGS)" },
    );
  const reasons = rows.flatMap(({ name, superuser, may, me, groups, supergroups, owned }) => {
    if (superuser) return [`${name} is a superuser: nothing keeps it from writing`];
    if (groups.includes(me)) return [`${name} is, or can become, ${me}, the role of DATABASE_URL`];
    if (supergroups.length > 0) return [`${name} can become ${supergroups.join(", ")}: a superuser`];
    if (groups.includes("pg_write_all_data")) return [`${name} is a member of pg_write_all_data`];
    if (owned.length > 0) return [`${name} owns ${owned.join(", ")}: an owner can always write`];
    if (!may)
      return [
        `${name}: ${me} may not take on this role to prove the fence: GRANT ${quoteIdentifier(name)} TO ${quoteIdentifier(me)}`,
      ];
    return [];
  });
  if (reasons.length > 0)
    throw new Refusal("the write fence cannot hold every role: nothing was changed", {
      details: reasons,
      hint: "stop the application itself, or let it connect as a role that owns nothing (rollback.fencedRoles)",
    });
  return {
    roles: rows.map(({ name }) => name),
    withGroups: [...new Set(rows.flatMap(({ groups }) => groups))],
  };
}

/** What the fence does not hold, for people. */
export interface Holes {
  /** Functions that write with their owner's rights and that a fenced role may call. */
  readonly functions: readonly string[];
  /** Other roles that can log in and write. */
  readonly roles: readonly string[];
}

/** A function that is marked as STABLE or IMMUTABLE cannot write; one for a trigger runs only when somebody writes. */
export async function readHoles(session: Queryable, fenced: FencedRoles): Promise<Holes> {
  const functions = await session.query<{ name: string }>(
    `SELECT DISTINCT p.oid::regprocedure::text AS name
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, pg_roles r
      WHERE r.rolname = ANY ($1::text[]) AND p.prosecdef AND p.provolatile = 'v'
        AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
        AND NOT (pg_get_userbyid(p.proowner)::text = ANY ($2::text[]))
      ORDER BY 1`,
    [[...fenced.roles], [...fenced.withGroups]],
  );
  const roles = await session.query<{ name: string; why: string }>(
    `SELECT r.rolname::text AS name,
            CASE WHEN r.rolsuper THEN 'superuser' WHEN r.rolname = current_user THEN 'DATABASE_URL'
                 ELSE 'has rights of its own' END AS why
       FROM pg_roles r
      WHERE r.rolcanlogin AND NOT (r.rolname = ANY ($1::text[]))
        AND (r.rolsuper OR EXISTS (SELECT FROM ${writableRelations} AND c.relkind <> 'S'
              WHERE has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')))
      ORDER BY 1`,
    [[...fenced.withGroups]],
  );
  return {
    functions: functions.rows.map(({ name }) => name),
    roles: roles.rows.map(({ name, why }) => `${name} (${why})`),
  };
}

/**
 * Takes the rights away in the session's transaction, after it put them on record: whenever the run dies, a right that is
 * gone is recorded.
 *
 * @returns what was revoked just now, and from which relations (`schema.name`) the rights could not be taken.
 */
export async function fenceDatabase(
  session: StatementSession,
  fenced: FencedRoles,
  turn: MaintenanceTurn,
): Promise<{ revoked: readonly WriteGrant[]; unheld: readonly string[] }> {
  const { revoked, left } = await revokeWriteGrants(session, new Set(fenced.withGroups));
  if (revoked.length > 0) await turn.add(revoked);
  return { revoked, unheld: [...new Set(left.map(displayName))] };
}

export interface FenceProof {
  /** Writes that were tried and refused for lack of a right. */
  readonly refused: number;
  /** Why it does not hold; empty: it does. */
  readonly findings: readonly string[];
}

/**
 * In a transaction that the caller rolls back.
 *
 * @param taken what was taken away in this database: there each role tries to write.
 * @param unheld relations (`schema.name`) of which it is known, and was said, that the fence cannot hold them.
 */
export async function proveFence(
  session: StatementSession,
  fenced: FencedRoles,
  taken: readonly WriteGrant[],
  unheld: readonly string[],
): Promise<FenceProof> {
  const known = new Set(unheld);
  const possible = (await listPossibleWrites(session, fenced.withGroups)).filter(({ name }) => !known.has(name));
  const open = new Set([...known, ...possible.map(({ name }) => name)]);
  const tried = await tryWrites(
    session,
    fenced.roles,
    taken.filter((grant) => !open.has(displayName(grant))),
  );
  const findings = [...possible.map(({ role, name }) => `${role} may write to ${name}`), ...tried.unrefused];
  return { refused: tried.refused, findings };
}
