/**
 * Cancels what a session is running when a signal is aborted. Closing the connection would not do: the server
 * notices that only when it next writes to it, and a long statement keeps its locks until then.
 */
import { Client } from "pg";

/**
 * Runs `work` on `client`; an abort makes its running statement fail with 57014 (query_canceled). `work` itself looks
 * at the signal between statements.
 */
export async function cancelOnAbort<T>(
  client: Client,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (signal === undefined) return work();
  const { rows } = await client.query<{ pid: number }>("SELECT pg_catalog.pg_backend_pid() AS pid");
  let cancelling: Promise<void> | undefined;
  const cancel = (): void => void (cancelling = cancelBackend(client, rows[0]!.pid));
  signal.addEventListener("abort", cancel, { once: true });
  try {
    return await work();
  } finally {
    signal.removeEventListener("abort", cancel);
    await cancelling; // or it would hit a later statement
  }
}

/** From a second session of the same login, which may do that; where none is to be had, the first one is cut off. */
async function cancelBackend(client: Client, pid: number): Promise<void> {
  const { host, port, user, password, database, ssl } = client;
  const second = new Client({ host, port, user, password, database, ssl, connectionTimeoutMillis: 5_000 });
  second.on("error", () => undefined);
  try {
    await second.connect();
    await second.query("SELECT pg_catalog.pg_cancel_backend($1)", [pid]);
  } catch {
    await client.end().catch(() => undefined);
  } finally {
    await second.end().catch(() => undefined);
  }
}
