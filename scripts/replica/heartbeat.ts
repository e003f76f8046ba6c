/**
 * The heartbeat: rows of a small replicated table, written on the source in turn. Which of them the replica has tells how
 * many seconds it is behind, whatever the servers' views say. Rows are updated, never deleted: a release may not lose rows.
 */
import type { Client } from "pg";
import type { Queryable } from "../database/queryable";
import { ownSchema } from "./pair";

/** Beats that are remembered: one a minute is an hour. */
const beats = 64;

/** The schema of ours on the source: the beats, and which slots we made. One simple query is one transaction. */
export async function ensureOwnSchema(source: Client): Promise<void> {
  await source.query(`
    CREATE SCHEMA IF NOT EXISTS ${ownSchema};
    CREATE TABLE IF NOT EXISTS ${ownSchema}.heartbeat (
      place int PRIMARY KEY, beat bigint NOT NULL UNIQUE, at timestamptz NOT NULL);
    CREATE TABLE IF NOT EXISTS ${ownSchema}.slots (
      name text PRIMARY KEY, made_at timestamptz NOT NULL, active_at timestamptz NOT NULL, dropped_at timestamptz);
    INSERT INTO ${ownSchema}.heartbeat SELECT n, n - ${beats}, clock_timestamp() FROM generate_series(1, ${beats}) n
      ON CONFLICT DO NOTHING`);
}

/** Writes the next beat over the oldest one; one at a time. @returns its number. */
export async function beat(source: Client): Promise<string> {
  await source.query("BEGIN");
  try {
    await source.query("SELECT pg_advisory_xact_lock(hashtextextended('dbprotect heartbeat', 0))");
    const { rows } = await source.query<{ beat: string }>(
      `UPDATE ${ownSchema}.heartbeat SET beat = (SELECT max(beat) + 1 FROM ${ownSchema}.heartbeat), at = clock_timestamp()
        WHERE place = (SELECT place FROM ${ownSchema}.heartbeat ORDER BY beat LIMIT 1) RETURNING beat::text`,
    );
    await source.query("COMMIT");
    return rows[0]!.beat;
  } catch (error) {
    await source.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}

async function lastBeat(client: Queryable): Promise<string | undefined> {
  const { rows } = await client.query<{ beat: string | null }>(
    `SELECT max(beat)::text AS beat FROM ${ownSchema}.heartbeat`,
  );
  return rows[0]?.beat ?? undefined;
}

/**
 * Seconds since the first beat that the replica lacks was written; 0: it has them all; null: it has none, for the first
 * copy is under way.
 */
export async function heartbeatLag(source: Client, replica: Queryable): Promise<number | null> {
  const arrived = await lastBeat(replica);
  if (arrived === undefined) return null;
  const { rows } = await source.query<{ seconds: number | null }>(
    `SELECT extract(epoch FROM clock_timestamp() - min(at))::float8 AS seconds
       FROM ${ownSchema}.heartbeat WHERE beat > $1::bigint`,
    [arrived],
  );
  return rows[0]?.seconds ?? 0;
}

/** Whether this beat has arrived, and with it everything that was committed before it. */
export async function hasBeat(replica: Queryable, wanted: string): Promise<boolean> {
  const arrived = await lastBeat(replica);
  return arrived !== undefined && BigInt(arrived) >= BigInt(wanted);
}

/** When the newest beat on the replica was written, by the source's clock; null: there is none. */
export async function lastBeatAt(replica: Queryable): Promise<string | null> {
  const { rows } = await replica.query<{ at: Date | null }>(`SELECT max(at) AS at FROM ${ownSchema}.heartbeat`);
  return rows[0]?.at?.toISOString() ?? null;
}
