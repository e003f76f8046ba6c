/**
 * What belongs to a database itself and not to anything in it: its settings, for all and for single roles, and the
 * rights on it. pg_dump keeps them with `CREATE DATABASE` only, under the old name: so they are read and applied here.
 */
import type { ClientBase } from "pg";
import { z } from "zod";
import { messageOf } from "../contract/failure";
import { quoteIdentifier, quoteLiteral } from "./sqlText";

export const databasePropertiesSchema = z.object({
  /** `ALTER DATABASE … SET`, and with a role `ALTER ROLE … IN DATABASE … SET`. Values as the catalog keeps them. */
  settings: z.array(z.object({ role: z.string().nullable(), name: z.string(), value: z.string() })),
  /** Rights on the database; `grantee` null stands for PUBLIC. Null: PostgreSQL's own, nobody changed them. */
  rights: z
    .array(
      z.object({
        grantee: z.string().nullable(),
        privilege: z.enum(["CONNECT", "CREATE", "TEMPORARY"]),
        grantable: z.boolean(),
      }),
    )
    .nullable(),
});

export type DatabaseProperties = z.infer<typeof databasePropertiesSchema>;

/**
 * The owner's rights are left out: another database has another owner. So are parameters that applications made up
 * (`app.jwt_secret`): they often hold secrets, and a manifest is no place for one.
 */
export async function readDatabaseProperties(client: ClientBase): Promise<DatabaseProperties> {
  const settings = await client.query<{ role: string | null; name: string; value: string }>(
    `SELECT CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole)::text END AS role,
            split_part(c.entry, '=', 1) AS name, substr(c.entry, strpos(c.entry, '=') + 1) AS value
       FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c(entry)
      WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND split_part(c.entry, '=', 1) !~ '[.]'
      ORDER BY 1 NULLS FIRST, 2`,
  );
  const rights = await client.query<NonNullable<DatabaseProperties["rights"]>[number]>(
    `SELECT DISTINCT CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END AS grantee,
            a.privilege_type AS privilege, a.is_grantable AS grantable
       FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) a
      WHERE d.datname = current_database() AND a.grantee <> d.datdba ORDER BY 1 NULLS FIRST, 2`,
  );
  const changed = await client.query<{ changed: boolean }>(
    "SELECT datacl IS NOT NULL AS changed FROM pg_database WHERE datname = current_database()",
  );
  return { settings: settings.rows, rights: changed.rows[0]?.changed === true ? rights.rows : null };
}

/**
 * Applies them to the database that `client` is connected to.
 *
 * @returns a line for each that this server or role does not take.
 */
export async function applyDatabaseProperties(client: ClientBase, properties: DatabaseProperties): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>("SELECT current_database() AS name");
  const database = quoteIdentifier(rows[0]!.name);
  const notes: string[] = [];
  for (const statement of statementsFor(database, properties)) {
    try {
      await client.query(statement);
    } catch (error) {
      notes.push(`not carried over: ${statement}: ${messageOf(error)}`);
    }
  }
  return notes;
}

function statementsFor(database: string, { settings, rights }: DatabaseProperties): string[] {
  const set = settings.map((setting) => settingStatement(database, setting));
  if (rights === null) return set;
  const granted = rights.map(
    ({ grantee, privilege, grantable }) =>
      `GRANT ${privilege} ON DATABASE ${database} TO ${grantee === null ? "PUBLIC" : quoteIdentifier(grantee)}${grantable ? " WITH GRANT OPTION" : ""}`,
  );
  return [...set, `REVOKE ALL ON DATABASE ${database} FROM PUBLIC`, ...granted];
}

/** @param database quoted. */
export function settingStatement(
  database: string,
  { role, name, value }: DatabaseProperties["settings"][number],
): string {
  const whose = role === null ? `DATABASE ${database}` : `ROLE ${quoteIdentifier(role)} IN DATABASE ${database}`;
  return `ALTER ${whose} SET ${settingName(name)} TO ${settingValue(name, value)}`;
}

/** `app.jwt_secret` is two names (PostgreSQL manual, "20.16 Customized Options"). */
function settingName(name: string): string {
  return name.split(".").map(quoteIdentifier).join(".");
}

/** Parameters whose value is a list of quoted names: variable_is_guc_list_quote() in PostgreSQL's dumputils.c. */
const listParameters = [
  "local_preload_libraries",
  "search_path",
  "session_preload_libraries",
  "shared_preload_libraries",
  "temp_tablespaces",
  "unix_socket_directories",
];

/** The catalog keeps a list as `"$user", public`: each name of it becomes a literal of its own. */
function settingValue(name: string, value: string): string {
  if (!listParameters.includes(name.toLowerCase())) return quoteLiteral(value);
  const names = [...value.matchAll(/"((?:[^"]|"")*)"|[^\s,"]+/g)].map(([bare, quoted]) =>
    quoteLiteral(quoted === undefined ? bare : quoted.replaceAll('""', '"')),
  );
  return names.length === 0 ? "''" : names.join(", ");
}
