/**
 * The signals that PostgreSQL itself tells. Reads only, and as a role without special rights: what needs pg_monitor says so.
 * Each question is asked by itself, so that one that is refused costs nothing else.
 */
import type { Client } from "pg";
import { z } from "zod";
import { codeOf, messageOf } from "../contract/failure";
import { quoteIdentifier } from "../database/sqlText";
import type { SignalName } from "../thresholds";
import type { Counters } from "./counters";
import { type Reading, absent, attempt, found, megabytes, unread } from "./reading";

/** Our own long reads (a backup's snapshot) are no news. Set in `database/target.ts`. */
const ownSessions = "dbprotect";

export interface DatabaseSignals {
  readonly readings: readonly Reading[];
  /** Without those of Supabase and the replica; or why they could not be read. */
  readonly counters: Omit<Counters, "supabase" | "replicaErrors"> | { readonly why: string };
}

const needsMonitor = "other sessions are hidden from this role: GRANT pg_monitor TO it";

export async function readDatabaseSignals(client: Client): Promise<DatabaseSignals> {
  // Whoever looks must not become the longest query.
  await client.query("SET statement_timeout = '10s'");
  const maySee = (await one(client, z.object({ may_see: z.boolean() }), mayQuery)).may_see;
  const readings: Reading[] = [];
  for (const [signals, read] of questions(client, maySee)) readings.push(...(await attempt(signals, read, explain)));
  const counters = await readCounters(client).catch((error: unknown) => ({ why: explain(error) }));
  readings.push(
    "why" in counters
      ? unread("databaseSize", counters.why)
      : found("databaseSize", counters.databaseBytes, megabytes(counters.databaseBytes)),
  );
  return { readings, counters };
}

type Question = readonly [signals: readonly SignalName[], read: () => Promise<readonly Reading[]>];

function questions(client: Client, maySee: boolean): readonly Question[] {
  return [
    [["connections"], () => connections(client, maySee)],
    [["longestQuery", "oldestTransaction"], () => longest(client, maySee)],
    [["lockSlots"], () => lockSlots(client)],
    [["blocked"], () => blocked(client)],
    [["deadTuples"], () => deadTuples(client)],
    [["wraparound"], () => wraparound(client)],
    [["replicaLag"], () => replicaLag(client, maySee)],
    [["slotRoom", "slotsLost", "slotInactive"], () => slots(client)],
  ];
}

function explain(error: unknown): string {
  return codeOf(error) === "42501" ? `${messageOf(error)}: GRANT pg_monitor TO this role` : messageOf(error);
}

const mayQuery = "SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS may_see";

async function all<T extends z.ZodType>(client: Client, schema: T, text: string): Promise<z.output<T>[]> {
  return z.array(schema).parse((await client.query(text)).rows);
}

async function one<T extends z.ZodType>(client: Client, schema: T, text: string): Promise<z.output<T>> {
  return schema.parse((await client.query(text)).rows[0]);
}

const number = z.coerce.number();

/** Sessions are counted cluster-wide, as the limit is; without pg_monitor their states are hidden, but not their number. */
async function connections(client: Client, maySee: boolean): Promise<Reading[]> {
  const { usable } = await one(
    client,
    z.object({ usable: number }),
    `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0) AS usable`,
  );
  const states = await all(
    client,
    z.object({ state: z.string(), sessions: number }),
    maySee
      ? `SELECT coalesce(state, 'unknown') AS state, count(*) AS sessions FROM pg_stat_activity
         WHERE backend_type = 'client backend' GROUP BY 1 ORDER BY 2 DESC`
      : "SELECT 'of unknown state' AS state, sum(numbackends) AS sessions FROM pg_stat_database",
  );
  const used = states.reduce((sum, { sessions }) => sum + sessions, 0);
  const listed = states.map(({ state, sessions }) => `${sessions} ${state}`).join(", ");
  return [found("connections", (100 * used) / Math.max(1, usable), `${used} of ${usable}: ${listed}`)];
}

async function longest(client: Client, maySee: boolean): Promise<Reading[]> {
  if (!maySee) return [unread("longestQuery", needsMonitor), unread("oldestTransaction", needsMonitor)];
  const oldest = async (column: string, condition: string): Promise<[number, string | undefined]> => {
    const [row] = await all(
      client,
      z.object({ seconds: number, pid: number, who: z.string() }),
      `SELECT extract(epoch FROM clock_timestamp() - ${column}) AS seconds, pid,
              concat_ws(' ', coalesce(usename, '?'), 'on', coalesce(datname, '?'), nullif(application_name, ''), state) AS who
       FROM pg_stat_activity
       WHERE backend_type = 'client backend' AND ${column} IS NOT NULL AND ${condition}
         AND pid <> pg_backend_pid() AND application_name <> '${ownSessions}'
       ORDER BY ${column} LIMIT 1`,
    );
    return row === undefined ? [0, undefined] : [Math.max(0, row.seconds), `process ${row.pid}, ${row.who}`];
  };
  return [
    found("longestQuery", ...(await oldest("query_start", "state = 'active'"))),
    found("oldestTransaction", ...(await oldest("xact_start", "true"))),
  ];
}

/** Locks on the fast path take no slot (manual, "53.13 pg_locks"). */
async function lockSlots(client: Client): Promise<Reading[]> {
  const { used, slots } = await one(
    client,
    z.object({ used: number, slots: number }),
    `SELECT (SELECT count(*) FROM pg_locks WHERE NOT fastpath) AS used,
            current_setting('max_locks_per_transaction')::int
              * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) AS slots`,
  );
  return [found("lockSlots", (100 * used) / slots, `${used} of ${slots}`)];
}

async function blocked(client: Client): Promise<Reading[]> {
  const waiting = await all(
    client,
    z.object({ pid: number, seconds: number, blockers: z.array(z.number()) }),
    `SELECT pid, coalesce(extract(epoch FROM clock_timestamp() - waitstart), 0) AS seconds, pg_blocking_pids(pid) AS blockers
     FROM pg_locks WHERE NOT granted ORDER BY waitstart NULLS LAST`,
  );
  const [first] = waiting;
  if (first === undefined) return [found("blocked", 0)];
  const inTheWay = first.blockers.length === 0 ? "nobody any more" : `process ${first.blockers.join(", ")}`;
  return [found("blocked", first.seconds, `${waiting.length} waiting; process ${first.pid} for ${inTheWay}`)];
}

async function deadTuples(client: Client): Promise<Reading[]> {
  const [worst] = await all(
    client,
    z.object({ name: z.string(), dead: number, live: number }),
    `SELECT format('%I.%I', schemaname, relname) AS name, n_dead_tup AS dead, n_live_tup AS live
     FROM pg_stat_user_tables WHERE n_dead_tup >= 10000
     ORDER BY n_dead_tup::float8 / (n_dead_tup + n_live_tup) DESC LIMIT 1`,
  );
  if (worst === undefined) return [found("deadTuples", 0, "no table has 10,000")];
  const { name, dead, live } = worst;
  return [found("deadTuples", (100 * dead) / (dead + live), `${name}: ${dead} dead, ${live} live`)];
}

/** Of every database: one that nobody looks at stops the whole cluster. */
async function wraparound(client: Client): Promise<Reading[]> {
  const { name, xids, mxids } = await one(
    client,
    z.object({ name: z.string(), xids: number, mxids: number }),
    `SELECT datname AS name, age(datfrozenxid) AS xids, mxid_age(datminmxid) AS mxids
     FROM pg_database ORDER BY greatest(age(datfrozenxid), mxid_age(datminmxid)) DESC LIMIT 1`,
  );
  return [found("wraparound", Math.max(xids, mxids), `${name}${mxids > xids ? ", of multixacts" : ""}`)];
}

/** Those that take a base backup are connected in the same way, but are no replicas. */
async function replicaLag(client: Client, maySee: boolean): Promise<Reading[]> {
  const { standby, behind } = await one(
    client,
    z.object({ standby: z.boolean(), behind: number }),
    // What was received and replayed to its end is not behind, however long ago that was.
    `SELECT pg_is_in_recovery() AS standby,
            CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                 ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) END AS behind`,
  );
  if (standby) return [found("replicaLag", behind, "this server is a standby")];
  const replicas = await all(
    client,
    z.object({ name: z.string(), state: z.string().nullable(), lag: number, bytes: number }),
    `SELECT coalesce(nullif(application_name, ''), 'unnamed') AS name, state, coalesce(extract(epoch FROM replay_lag), 0) AS lag,
            coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0) AS bytes
     FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup' ORDER BY lag DESC`,
  );
  if (replicas.length === 0) return [absent("replicaLag", "no replica is connected")];
  // Without pg_monitor the rows are there, but empty.
  if (!maySee) return [unread("replicaLag", needsMonitor)];
  const listed = replicas.map(({ name, state, bytes }) => `${name} ${state ?? "?"}, ${megabytes(bytes)} behind`);
  return [found("replicaLag", replicas[0]!.lag, listed.join("; "))];
}

const slotSchema = z.object({
  name: z.string(),
  active: z.boolean(),
  /** Null: it has no position yet. */
  status: z.string().nullable(),
  /** Bytes that can still be written before it is lost; null: there is no limit. */
  safe: number.nullable(),
  limit: number,
  retained: number,
  /** Null before PostgreSQL 17. */
  idle: number.nullable(),
});

async function slots(client: Client): Promise<Reading[]> {
  const list = await all(
    client,
    slotSchema,
    `SELECT slot_name AS name, active, wal_status AS status, safe_wal_size AS safe,
            (SELECT setting::int8 * 1024 * 1024 FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS limit,
            coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                          ELSE pg_current_wal_lsn() END, restart_lsn), 0) AS retained,
            extract(epoch FROM clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz) AS idle
     FROM pg_replication_slots s ORDER BY slot_name`,
  );
  if (list.length === 0) {
    return (["slotRoom", "slotsLost", "slotInactive"] as const).map((signal) => absent(signal, "no replication slot"));
  }
  const lost = list.filter(({ status }) => status === "lost");
  return [slotRoom(list), found("slotsLost", lost.length, namesOf(lost)), slotInactive(list)];
}

type Slot = z.infer<typeof slotSchema>;

function slotRoom(list: readonly Slot[]): Reading {
  const limited = list.filter(({ safe, status }) => safe !== null && status !== "lost");
  if (limited.length === 0) {
    const most = Math.max(...list.map(({ retained }) => retained));
    return absent(
      "slotRoom",
      `max_slot_wal_keep_size sets no limit; the log that slots keep back is ${megabytes(most)}`,
    );
  }
  const roomOf = ({ safe, limit }: Slot): number => Math.min(100, Math.max(0, (100 * (safe ?? 0)) / limit));
  const least = limited.reduce((a, b) => (roomOf(b) < roomOf(a) ? b : a));
  return found(
    "slotRoom",
    roomOf(least),
    `${least.name}: ${least.status ?? "?"}, keeps back ${megabytes(least.retained)}`,
  );
}

function slotInactive(list: readonly Slot[]): Reading {
  const idle = list.filter(({ active }) => !active);
  if (idle.length === 0) return found("slotInactive", 0);
  const known = idle.map((slot) => slot.idle);
  if (known.some((seconds) => seconds === null)) {
    return unread("slotInactive", `without a reader: ${namesOf(idle)}; since when, PostgreSQL tells from 17 on`);
  }
  return found("slotInactive", Math.max(...known.map((seconds) => seconds ?? 0)) / 60, namesOf(idle));
}

function namesOf(list: readonly Slot[]): string | undefined {
  return list.length === 0 ? undefined : list.map(({ name }) => name).join(", ");
}

const countersRow = z.object({
  at: number,
  system_identifier: z.string(),
  database: z.string(),
  reset: number.nullable(),
  commits: number,
  rollbacks: number,
  deadlocks: number,
  hit: number,
  read: number,
  bytes: number,
});

async function readCounters(client: Client): Promise<Omit<Counters, "supabase" | "replicaErrors">> {
  const row = await one(
    client,
    countersRow,
    `SELECT extract(epoch FROM clock_timestamp()) * 1000 AS at,
            (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier, datname AS database,
            extract(epoch FROM stats_reset) AS reset, xact_commit AS commits, xact_rollback AS rollbacks, deadlocks,
            blks_hit AS hit, blks_read AS read, pg_database_size(datid) AS bytes
     FROM pg_stat_database WHERE datname = current_database()`,
  );
  return {
    at: new Date(row.at).toISOString(),
    systemIdentifier: row.system_identifier,
    database: row.database,
    statsReset: row.reset,
    commits: row.commits,
    rollbacks: row.rollbacks,
    deadlocks: row.deadlocks,
    blocksHit: row.hit,
    blocksRead: row.read,
    databaseBytes: row.bytes,
    statements: await readStatements(client).catch(() => null),
  };
}

/** Wherever the extension was put; without `pg_stat_statements_info` (before 1.9) nobody knows of a reset. */
async function readStatements(client: Client): Promise<Counters["statements"]> {
  const [extension] = await all(
    client,
    z.object({ schema: z.string(), tells_reset: z.boolean() }),
    `SELECT n.nspname AS schema, to_regclass(format('%I.pg_stat_statements_info', n.nspname)) IS NOT NULL AS tells_reset
     FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'`,
  );
  if (extension === undefined) return null;
  const schema = quoteIdentifier(extension.schema);
  const reset = extension.tells_reset
    ? `(SELECT extract(epoch FROM stats_reset) FROM ${schema}.pg_stat_statements_info)`
    : "NULL::float8";
  return one(
    client,
    z.object({ calls: number, milliseconds: number, reset: number.nullable() }),
    `SELECT coalesce(sum(calls), 0) AS calls, coalesce(sum(total_exec_time), 0) AS milliseconds, ${reset} AS reset
     FROM ${schema}.pg_stat_statements
     WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  );
}
