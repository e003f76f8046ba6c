/** The database's clock: what backups are named by, so what their ages are told by. */
import type { Client } from "pg";

export async function readClock(client: Client): Promise<Date> {
  const { rows } = await client.query<{ milliseconds: number }>(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS milliseconds",
  );
  return new Date(rows[0]!.milliseconds);
}
