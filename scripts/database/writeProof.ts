/** Whether roles can write: what the catalog says of every table, and what the server says when they try. */
import { quoteIdentifier, quoteLiteral, quoteName } from "./sqlText";
import { type StatementSession, type WriteGrant, writableRelations } from "./writeGrants";
import type { Queryable } from "./queryable";

/** One role that may still write to one table, by whatever way. */
export interface PossibleWrite {
  readonly role: string;
  /** `schema.name`. */
  readonly name: string;
}

/** By grants to the role itself, to PUBLIC, or to a role whose rights it has. */
export async function listPossibleWrites(session: Queryable, roles: readonly string[]): Promise<PossibleWrite[]> {
  const { rows } = await session.query<PossibleWrite>(
    `SELECT r.rolname::text AS role, n.nspname || '.' || c.relname AS name
       FROM ${writableRelations} JOIN pg_roles r ON r.rolname = ANY ($1::text[])
      WHERE CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(r.oid, c.oid, 'USAGE, UPDATE')
                 ELSE has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                      OR has_any_column_privilege(r.oid, c.oid, 'INSERT, UPDATE') END
      ORDER BY 1, 2`,
    [[...roles]],
  );
  return rows;
}

/** Tables on which each role tries to write. */
const triedTables = 500;

/**
 * Each role tries to write to the tables that were taken from it: statements that touch no row, for the server asks for
 * the right before it looks for rows; undone by the block that they run in, whatever comes of them.
 *
 * @param roles to which the session may SET ROLE.
 * @returns what was not refused for lack of a right, a line each, and how many writes were refused.
 */
export async function tryWrites(
  session: StatementSession,
  roles: readonly string[],
  revoked: readonly WriteGrant[],
): Promise<{ refused: number; unrefused: string[] }> {
  const tables = new Map(
    revoked.filter(({ kind }) => kind === "table").map((grant) => [quoteName(grant), statementOf(grant)]),
  );
  const tries = roles.flatMap((role) =>
    [...tables.values()]
      .slice(0, triedTables)
      .map((statement) => `(${quoteLiteral(role)}, ${quoteLiteral(statement)})`),
  );
  if (tries.length === 0) return { refused: 0, unrefused: [] };
  // Policies answer with the same SQLSTATE where row_security is off.
  await session.run(`SET LOCAL row_security = on;
DO $dbprotect$
DECLARE tried record; unrefused text := '';
BEGIN
  FOR tried IN SELECT * FROM (VALUES ${tries.join(", ")}) AS t(role, statement) LOOP
    PERFORM pg_catalog.set_config('role', tried.role, true);
    BEGIN
      EXECUTE tried.statement;
      RAISE EXCEPTION 'the server let it write' USING ERRCODE = 'DBP00';
    EXCEPTION WHEN insufficient_privilege THEN NULL;
              WHEN OTHERS THEN unrefused := unrefused || tried.role || ': ' || tried.statement || ': ' || SQLERRM || E'\\n';
    END;
    PERFORM pg_catalog.set_config('role', 'none', true);
  END LOOP;
  PERFORM pg_catalog.set_config('dbprotect.unrefused', unrefused, true);
END $dbprotect$;
SET LOCAL row_security = off`);
  const { rows } = await session.query<{ lines: string }>("SELECT current_setting('dbprotect.unrefused') AS lines");
  const unrefused = (rows[0]?.lines ?? "").split("\n").filter((line) => line !== "");
  return { refused: tries.length - unrefused.length, unrefused };
}

function statementOf(grant: WriteGrant): string {
  const name = quoteName(grant);
  if (grant.privilege === "INSERT") return `INSERT INTO ${name} DEFAULT VALUES`;
  if (grant.privilege === "UPDATE" && grant.column !== null)
    return `UPDATE ONLY ${name} SET ${quoteIdentifier(grant.column)} = DEFAULT WHERE false`;
  return `DELETE FROM ONLY ${name} WHERE false`;
}
