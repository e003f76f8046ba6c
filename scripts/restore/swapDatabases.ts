/**
 * Puts a restored database in the place of the live one: both renames, and all that belongs to the database itself, in
 * one transaction. At no moment is there no live database, and the old one stays, under another name.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { Refusal, Unavailable, codeOf } from "../contract/failure";
import { withConnection } from "../database/connect";
import { settingStatement } from "../database/databaseProperties";
import { connectOutside } from "../database/connectOutside";
import { quoteIdentifier, quoteLiteral } from "../database/sqlText";
import { type DatabaseTarget, describeTarget } from "../database/target";
import { compactUtc } from "../store/layout";
import { withSuffix } from "./databaseNames";

export interface SwapOptions {
  /** The live database, by its name. */
  readonly live: DatabaseTarget;
  /** Name of the restored database on the same server; nobody is connected to it. */
  readonly restored: string;
  /** What the live database is called afterwards. */
  readonly aside: string;
  /** Comment of the restored database where the live one has none. */
  readonly comment: string;
  /** Heeded until the transaction is about to be committed. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

/** `crm_replaced_20261122_170212`: what was the live database until then, UTC. */
export function asideName(live: string, now: Date): string {
  return withSuffix(live, `_replaced_${compactUtc(now).replace("T", "_").replace("Z", "")}`);
}

/**
 * Why this role cannot rename the live database; null: it can, as far as can be told without doing it.
 *
 * @throws Unavailable when the server cannot be reached.
 */
export async function whyNoSwap(live: DatabaseTarget): Promise<string | null> {
  const { superuser, creates, owns, platform } = await withConnection(live, readRights);
  if (superuser) return null;
  if (platform) return "the platform's services hold on to the database by its name (role supabase_admin)";
  if (!creates) return `role ${live.user} has no CREATEDB, which PostgreSQL demands of whoever renames a database`;
  if (!owns) return `role ${live.user} does not own the database`;
  return null;
}

interface Rights {
  readonly superuser: boolean;
  readonly creates: boolean;
  readonly owns: boolean;
  readonly platform: boolean;
}

async function readRights(client: Client): Promise<Rights> {
  const { rows } = await client.query<Rights>(
    `SELECT r.rolsuper AS superuser, r.rolcreatedb AS creates, pg_has_role(d.datdba, 'USAGE') AS owns,
            EXISTS (SELECT FROM pg_roles WHERE rolname = 'supabase_admin') AS platform
       FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`,
  );
  return rows[0]!;
}

/**
 * Every session of the live database is ended: the renaming holds a lock that keeps new ones waiting, and those find
 * the restored database under the name that they asked for. What was written until then stays in the old one.
 *
 * @returns lines on what differs from the live database's own settings.
 * @throws Refusal when something of the live database cannot be given to the restored one; Unavailable when a session
 *   does not end. Nothing has changed then.
 */
export async function swapDatabases(options: SwapOptions): Promise<string[]> {
  const { live, restored, aside, signal, onProgress } = options;
  const client = await connectOutside(live);
  try {
    const properties = await readProperties(client, live.database, restored);
    const before = await oidOf(client, restored);
    signal?.throwIfAborted();
    onProgress?.(`swapping: ${live.database} becomes ${aside}, the restored database becomes ${live.database}`);
    try {
      await client.query("BEGIN");
      await carryOver(client, properties, options);
      await endSessionsWhile(options, async () => {
        await client.query(`ALTER DATABASE ${quoteIdentifier(live.database)} RENAME TO ${quoteIdentifier(aside)}`);
      });
      await client.query(`ALTER DATABASE ${quoteIdentifier(restored)} RENAME TO ${quoteIdentifier(live.database)}`);
      signal?.throwIfAborted();
      await client.query("COMMIT");
    } catch (error) {
      // A connection that broke at COMMIT leaves open whether it was done.
      if (await isSwapped(live, before)) return properties.notes;
      throw swapFailure(error, options);
    }
    return properties.notes;
  } finally {
    await client.end().catch(() => undefined);
  }
}

interface Properties {
  readonly owner: string;
  readonly connectionLimit: number;
  readonly comment: string | null;
  /** Statements of `GRANT` and `REVOKE` without the database's name: `%I` stands for it. */
  readonly rights: readonly string[];
  readonly settings: readonly Setting[];
  readonly notes: string[];
}

interface Setting {
  readonly role: string | null;
  readonly name: string;
  readonly value: string;
}

/**
 * Owner, rights, connection limit and comment are the live database's. Its settings too, but for those that the
 * backup holds: they are restored like everything else.
 */
async function readProperties(client: Client, live: string, restored: string): Promise<Properties> {
  const database = await client.query<{ owner: string; limit: number; comment: string | null }>(
    `SELECT pg_get_userbyid(datdba) AS owner, datconnlimit AS limit, shobj_description(oid, 'pg_database') AS comment
       FROM pg_database WHERE datname = $1`,
    [live],
  );
  const row = database.rows[0];
  if (row === undefined) throw new Unavailable(`database ${live} is gone`);
  const known = new Map((await readSettings(client, restored)).map((setting) => [idOf(setting), setting.value]));
  const settings = await readSettings(client, live);
  const notes = settings
    .filter((setting) => (known.get(idOf(setting)) ?? setting.value) !== setting.value)
    .map((setting) => `the setting ${describeSetting(setting)} is that of the backup, not what it was lately`);
  return {
    owner: row.owner,
    connectionLimit: row.limit,
    comment: row.comment,
    rights: await readRightStatements(client, live, restored),
    settings: settings.filter((setting) => !known.has(idOf(setting))),
    notes,
  };
}

function idOf({ role, name }: Setting): string {
  return JSON.stringify([role, name]);
}

function describeSetting({ role, name }: Setting): string {
  return role === null ? name : `${name} of role ${role}`;
}

async function readSettings(client: Client, database: string): Promise<Setting[]> {
  const { rows } = await client.query<Setting>(
    `SELECT CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole)::text END AS role,
            split_part(c.entry, '=', 1) AS name, substr(c.entry, strpos(c.entry, '=') + 1) AS value
       FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c(entry)
      WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = $1)`,
    [database],
  );
  return rows;
}

/** Takes away whatever the restored database grants, then gives what the live one does; the owner has all anyway. */
async function readRightStatements(client: Client, live: string, restored: string): Promise<string[]> {
  const { rows } = await client.query<{
    taken: boolean;
    grantee: string | null;
    privilege: string;
    grantable: boolean;
  }>(
    `SELECT DISTINCT d.datname = $2 AS taken, CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END AS grantee,
            a.privilege_type AS privilege, a.is_grantable AS grantable
       FROM pg_database d CROSS JOIN LATERAL aclexplode(COALESCE(d.datacl, acldefault('d', d.datdba))) a
      WHERE d.datname IN ($1, $2) AND a.grantee <> d.datdba ORDER BY 2 NULLS FIRST, 3`,
    [live, restored],
  );
  const who = (grantee: string | null): string => (grantee === null ? "PUBLIC" : quoteIdentifier(grantee));
  const taken = new Set(rows.filter((row) => row.taken).map(({ grantee }) => who(grantee)));
  return [
    ...[...taken].map((grantee) => `REVOKE ALL ON DATABASE %I FROM ${grantee}`),
    ...rows
      .filter((row) => !row.taken)
      .map(
        ({ grantee, privilege, grantable }) =>
          `GRANT ${privilege} ON DATABASE %I TO ${who(grantee)}${grantable ? " WITH GRANT OPTION" : ""}`,
      ),
  ];
}

async function carryOver(client: Client, properties: Properties, options: SwapOptions): Promise<void> {
  const name = quoteIdentifier(options.restored);
  for (const setting of properties.settings) {
    try {
      await client.query(settingStatement(name, setting));
    } catch (error) {
      // The value may be a secret: neither it nor the statement is repeated.
      throw new Refusal(
        `the database's setting ${describeSetting(setting)} cannot be carried over (${codeOf(error)})`,
        {
          hint: "run the restore as a role that may set it: a parameter of an application's own takes a superuser",
        },
      );
    }
  }
  for (const statement of properties.rights) await client.query(statement.replace("%I", () => name));
  await client.query(`ALTER DATABASE ${name} CONNECTION LIMIT ${properties.connectionLimit}`);
  await client.query(`COMMENT ON DATABASE ${name} IS ${quoteLiteral(properties.comment ?? options.comment)}`);
  const replaced = `dbprotect: replaced at ${new Date().toISOString()}; ${options.comment}`;
  await client.query(
    `COMMENT ON DATABASE ${quoteIdentifier(options.live.database)} IS ${quoteLiteral(properties.comment === null ? replaced : `${properties.comment}\n${replaced}`)}`,
  );
  // Last: afterwards a role that is no superuser may no longer be the owner.
  if (properties.owner !== options.live.user)
    await client.query(`ALTER DATABASE ${name} OWNER TO ${quoteIdentifier(properties.owner)}`);
}

/** Milliseconds between two rounds of ending sessions. */
const pause = 50;

/**
 * The renaming waits, for at most 5 seconds, until all sessions are gone (procarray.c: CountOtherDBBackends), and keeps
 * new ones out by its lock: so the old ones are ended meanwhile, by a session of our own.
 */
async function endSessionsWhile({ live }: SwapOptions, rename: () => Promise<void>): Promise<void> {
  const ender = await connectOutside(live);
  let renaming = true;
  const renamed = rename().finally(() => (renaming = false));
  try {
    while (renaming) {
      await ender
        .query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [live.database])
        .catch(() => undefined); // a session that may not be ended fails the renaming, which says so
      await Promise.race([sleep(pause), renamed.catch(() => undefined)]);
    }
  } finally {
    await ender.end().catch(() => undefined);
  }
  await renamed;
}

async function oidOf(client: Client, database: string): Promise<string | undefined> {
  const { rows } = await client.query<{ oid: string }>("SELECT oid::text FROM pg_database WHERE datname = $1", [
    database,
  ]);
  return rows[0]?.oid;
}

async function isSwapped(live: DatabaseTarget, restoredOid: string | undefined): Promise<boolean> {
  const client = await connectOutside(live);
  try {
    return restoredOid !== undefined && (await oidOf(client, live.database)) === restoredOid;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** object_in_use, duplicate_database (PostgreSQL manual, appendix A). */
const objectInUse = "55006";
const duplicateDatabase = "42P04";

function swapFailure(error: unknown, { live, aside }: SwapOptions): unknown {
  const code = codeOf(error);
  if (code === objectInUse)
    return new Unavailable(`somebody stays connected to ${describeTarget(live)}: nothing was changed`, {
      hint: `end that session (role ${live.user} may not, or it is a prepared transaction or a replication slot), then try again`,
      cause: error,
    });
  if (code === duplicateDatabase)
    return new Refusal(`database ${aside} exists already: nothing was changed`, {
      hint: "try again: the name ends with the time",
      cause: error,
    });
  return error;
}
