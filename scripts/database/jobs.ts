/** How many sessions work at the same time: from the cores of this machine and the connections that the server has left. */
import { availableParallelism } from "node:os";
import type { ClientBase } from "pg";
import { majorOf } from "./identity";

/** Beyond it, a server that others use as well would feel nothing but us. */
const mostJobs = 8;

export interface Capacity {
  readonly serverMajor: number;
  /** Connections that the server, its role and its database would still give to us. */
  readonly freeConnections: number;
}

/** Counts the sessions that are there now, this one among them. */
export async function readCapacity(client: ClientBase): Promise<Capacity> {
  const { rows } = await client.query<{ version: number; free: number }>(
    `SELECT current_setting('server_version_num')::int AS version,
            LEAST(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - s.all_sessions,
                  NULLIF(r.rolconnlimit, -1) - s.of_role, NULLIF(d.datconnlimit, -1) - s.of_database)::int AS free
       FROM pg_roles r, pg_database d,
            (SELECT count(*) AS all_sessions, count(*) FILTER (WHERE usename = current_user) AS of_role,
                    count(*) FILTER (WHERE datname = current_database()) AS of_database
               FROM pg_stat_activity WHERE backend_type = 'client backend') s
      WHERE r.rolname = current_user AND d.datname = current_database()`,
  );
  const row = rows[0]!;
  return { serverMajor: majorOf(row.version), freeConnections: row.free };
}

/**
 * As many as wished for, by default one for each core and at most 8; fewer where the server has too few connections
 * left. At least one.
 *
 * @param sessions connections that one job takes, and those that are needed whatever the number of jobs.
 */
export function chooseJobs(
  wish: number | undefined,
  freeConnections: number,
  sessions: { readonly each: number; readonly once: number },
  cores: number = availableParallelism(),
): number {
  const affordable = Math.floor((freeConnections - sessions.once) / sessions.each);
  return Math.max(1, Math.min(wish ?? Math.min(cores, mostJobs), affordable));
}
