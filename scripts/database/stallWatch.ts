/**
 * Ends a wait that nothing will end: a network that drops what it carried and says nothing leaves a connection open for
 * hours, while at the other end a session keeps snapshot and locks. Slow is not stalled: the server is asked.
 */
import type { Socket } from "node:net";
import { type Connection, Client, type ClientConfig } from "pg";
import { UsageError } from "../contract/failure";

const defaultSeconds = 600;

/**
 * How long nothing may come through before a connection, or a program of PostgreSQL's, counts as stalled:
 * `DBPROTECT_STALL_SECONDS`, default 600.
 *
 * @throws UsageError when it is no number above 0.
 */
export function stallSeconds(env: NodeJS.ProcessEnv = process.env): number {
  const value = env["DBPROTECT_STALL_SECONDS"];
  if (value === undefined || value === "") return defaultSeconds;
  const seconds = Number(value);
  if (!(seconds > 0)) throw new UsageError(`DBPROTECT_STALL_SECONDS: found ${value}: expected seconds above 0`);
  return seconds;
}

/** What pg keeps of a client and does not declare: whether an answer is awaited, and the socket. */
type Inside = Client & {
  readonly readyForQuery: boolean;
  readonly processID: number | null;
  readonly connection: Connection;
};

/**
 * Watches `client` until it ends. A statement to which nothing came for so long is ended, with its session, unless the
 * server says on a second connection that it is still at work for it.
 */
export function watchForStall(client: Client, config: ClientConfig): void {
  const inside = client as Inside;
  const seconds = stallSeconds();
  let seen = { bytes: -1, at: performance.now() };
  let asking = false;
  const look = async (): Promise<void> => {
    const bytes = (inside.connection.stream as Socket).bytesRead;
    if (inside.readyForQuery || bytes !== seen.bytes) seen = { bytes, at: performance.now() };
    if (asking || performance.now() - seen.at < seconds * 1000) return;
    asking = true;
    if ((await askServer(inside.processID ?? 0, config)) === "stalled") {
      inside.connection.stream.destroy(new Error(`Connection terminated: nothing came through for ${seconds} s`));
    }
    asking = false;
  };
  const timer = setInterval(() => void look(), (seconds * 1000) / 4).unref();
  client.once("end", () => clearInterval(timer));
}

/** Seconds in which a second connection must be there and have answered. */
const answerSeconds = 15;

/**
 * A session that waits for a client to read is as stalled as one that thinks it has answered; it is ended. No such
 * session, behind a pooler say, tells nothing: then it is waited for.
 */
async function askServer(pid: number, config: ClientConfig): Promise<"at work" | "stalled"> {
  const second = new Client({
    ...config,
    connectionTimeoutMillis: answerSeconds * 1000,
    query_timeout: answerSeconds * 1000,
  });
  second.on("error", () => undefined);
  try {
    await second.connect();
    const { rows } = await second.query<{ working: boolean }>(
      `SELECT state = 'active' AND wait_event IS DISTINCT FROM 'ClientWrite' AS working
         FROM pg_catalog.pg_stat_activity WHERE pid = $1`,
      [pid],
    );
    if (rows[0] === undefined || rows[0].working) return "at work";
    await second.query("SELECT pg_catalog.pg_terminate_backend($1)", [pid]);
    return "stalled";
  } catch {
    return "stalled";
  } finally {
    await closeConnection(second);
  }
}

/** Seconds that an orderly end may take. */
const endSeconds = 5;

/** Ends the session, at once where the other end does not answer; never throws. */
export async function closeConnection(client: Client): Promise<void> {
  const timer = setTimeout(() => (client as Inside).connection.stream.destroy(), endSeconds * 1000);
  await client.end().catch(() => undefined);
  clearTimeout(timer);
}
