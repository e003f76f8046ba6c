/**
 * A new database beside the live one, which bears its final name only once it was proven. The live database is not
 * touched.
 */
import type { Client } from "pg";
import { Refusal, Unavailable, UsageError, codeOf } from "../contract/failure";
import { withConnection } from "../database/connect";
import { quoteIdentifier, quoteLiteral } from "../database/sqlText";
import { type DatabaseTarget, withDatabase } from "../database/target";
import { type ScratchNeeds, createDatabaseLike } from "../scratch/scratchServer";
import { longestName, withSuffix } from "./databaseNames";

export interface NewDatabase {
  /** The live database: names the server and the role. */
  readonly live: DatabaseTarget;
  /** Name of the new database. */
  readonly database: string;
  readonly like: Pick<ScratchNeeds, "encoding" | "collate" | "ctype" | "localeProvider" | "locale">;
  /** The comment of the proven database. */
  readonly mark: string;
  /**
   * What becomes of the proven copy, which still bears its unverified name and has nobody connected to it. Default: it
   * gets its final name.
   */
  readonly place?: (unverified: string) => Promise<void>;
  readonly onProgress?: (line: string) => void;
}

/** What the database is called until it is proven: also what a killed run leaves behind. */
function unverifiedName(database: string): string {
  return withSuffix(database, "_unverified");
}

/** The comment by which a later run knows a database as an unfinished one of ours. */
const unverifiedMark = "dbprotect: restore in progress, not compared with its backup";

/**
 * Whatever goes wrong, the new database is dropped again; what a killed run left behind is dropped by the next one of
 * the same name.
 *
 * @param fill fills the new database and proves it: whoever throws here has it dropped.
 * @returns what `fill` returned, and what of the new database differs from `like`.
 * @throws Refusal when the database exists already, or the role may not create one; Unavailable when another run makes
 *   one of the same name.
 */
export async function makeBeside<T>(
  options: NewDatabase,
  fill: (target: DatabaseTarget) => Promise<T>,
): Promise<{ filled: T; notes: readonly string[] }> {
  return withConnection(options.live, async (guard) => {
    await holdName(guard, options);
    await demandFreeName(guard, options);
    const unverified = unverifiedName(options.database);
    await dropLeftover(guard, unverified, options);
    const notes = await createDatabaseLike(options.live, unverified, options.like);
    try {
      await guard.query(`COMMENT ON DATABASE ${quoteIdentifier(unverified)} IS ${quoteLiteral(unverifiedMark)}`);
      const filled = await fill(withDatabase(options.live, unverified));
      await (options.place ?? ((name) => giveFinalName(options, name)))(unverified);
      return { filled, notes };
    } catch (error) {
      // On a connection of its own: the guard's may be what was lost.
      await withConnection(options.live, (client) =>
        client.query(`DROP DATABASE IF EXISTS ${quoteIdentifier(unverified)} WITH (FORCE)`),
      );
      throw error;
    }
  });
}

/** Held by the session until it ends: whatever bears the unverified name without it is of a run that is dead. */
async function holdName(guard: Client, { database, live }: NewDatabase): Promise<void> {
  const { rows } = await guard.query<{ held: boolean }>(
    "SELECT pg_try_advisory_lock(hashtext('dbprotect'), hashtext('restore ' || $1)) AS held",
    [unverifiedName(database)],
  );
  if (rows[0]?.held !== true) {
    throw new Unavailable(`another run restores into ${database} on ${live.host}: nothing was changed`, {
      hint: "wait for it to end, or choose another name with --database",
    });
  }
}

async function demandFreeName(guard: Client, { database, live }: NewDatabase): Promise<void> {
  const bytes = Buffer.byteLength(database);
  if (bytes > longestName) {
    throw new UsageError(`--database ${database}: found ${bytes} bytes, expected at most ${longestName}`);
  }
  const { rows } = await guard.query<{ taken: boolean; may_create: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) AS taken,
            (SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_create`,
    [database],
  );
  if (rows[0]?.taken === true) throw nameTaken(database, live);
  if (rows[0]?.may_create !== true) {
    throw new Refusal(`role ${live.user} may not create a database on ${live.host}`, {
      hint: `ALTER ROLE ${quoteIdentifier(live.user)} CREATEDB, or run the restore as a role that has it`,
    });
  }
}

function nameTaken(database: string, live: DatabaseTarget, cause?: unknown): Refusal {
  return new Refusal(`database ${database} exists already on ${live.host}: nothing was changed`, {
    hint: "drop it, or choose another name with --database",
    cause,
  });
}

/** Only what carries our mark, and only while nobody is connected: a person may be looking at it. */
async function dropLeftover(guard: Client, unverified: string, options: NewDatabase): Promise<void> {
  const { rows } = await guard.query<{ mark: string | null }>(
    "SELECT shobj_description(oid, 'pg_database') AS mark FROM pg_database WHERE datname = $1",
    [unverified],
  );
  const [found] = rows;
  if (found === undefined) return;
  if (found.mark !== unverifiedMark) throw nameTaken(unverified, options.live);
  options.onProgress?.(`dropping ${unverified}: a restore that was interrupted left it, unfinished`);
  try {
    // Without FORCE the server itself refuses while somebody is connected.
    await guard.query(`DROP DATABASE ${quoteIdentifier(unverified)}`);
  } catch (error) {
    if (codeOf(error) !== objectInUse) throw error;
    throw new Unavailable(`somebody is connected to ${unverified}, which an interrupted restore left behind`, {
      hint: "end that connection and try again, or choose another name with --database",
      cause: error,
    });
  }
}

const objectInUse = "55006";
const duplicateDatabase = "42P04";

/** Name and comment in one transaction: no moment at which one speaks of a proven copy and the other does not. */
async function giveFinalName(options: NewDatabase, unverified: string): Promise<void> {
  await withConnection(options.live, async (client) => {
    try {
      await client.query("BEGIN");
      await client.query(`COMMENT ON DATABASE ${quoteIdentifier(unverified)} IS ${quoteLiteral(options.mark)}`);
      await client.query(
        `ALTER DATABASE ${quoteIdentifier(unverified)} RENAME TO ${quoteIdentifier(options.database)}`,
      );
      await client.query("COMMIT");
    } catch (error) {
      if (codeOf(error) === duplicateDatabase) throw nameTaken(options.database, options.live, error);
      if (codeOf(error) !== objectInUse) throw error;
      throw new Unavailable(`somebody is connected to ${unverified}: it cannot get its final name`, { cause: error });
    }
  });
}
