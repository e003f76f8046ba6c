/**
 * One exported database snapshot that every reader shares, so that archive, counts and checksums describe
 * the same instant (PostgreSQL manual, "9.28.5 Snapshot Synchronization Functions").
 */
import type { Client } from "pg";
import { Unavailable, codeOf, messageOf } from "../contract/failure";
import { connect } from "./connect";
import { majorOf } from "./identity";
import { runInLanes } from "./lanes";
import { quoteLiteral, quoteName } from "./sqlText";
import { type ProtectedTable, listProtectedTables } from "./tables";
import { closeConnection } from "./stallWatch";
import type { DatabaseTarget } from "./target";

export interface DatabaseSnapshot {
  /** What `SET TRANSACTION SNAPSHOT` and `pg_dump --snapshot` take. */
  readonly id: string;
  /** `pg_current_snapshot()`: `xmin:xmax:xip_list`. */
  readonly visibility: string;
  /** Where the write-ahead log stood: `0/1A2B3C8`. */
  readonly lsn: string;
  /** The database's own clock, UTC. */
  readonly takenAt: Date;
  readonly serverMajor: number;
  readonly tables: readonly ProtectedTable[];
  /** The session that exported the snapshot; reading through it sees the snapshot. */
  readonly leader: Client;
  /** A further connection that reads the same snapshot; the caller ends it. */
  reader(): Promise<Client>;
  /** Ends the leader's transaction: releases its locks. The id is of no use afterwards. */
  close(): Promise<void>;
}

/** Tables named in one LOCK statement; keeps the statement's text small. */
const lockBatch = 200;

/**
 * Opens a REPEATABLE READ, READ ONLY transaction, takes ACCESS SHARE locks on all protected tables
 * **before** the snapshot is taken (so that no DDL slips in between), and exports the snapshot.
 *
 * @throws what `databaseFailure` calls unavailable when a table stays locked for longer than the session's lock_timeout.
 */
export async function openSnapshot(target: DatabaseTarget): Promise<DatabaseSnapshot> {
  const leader = await connect(target);
  try {
    const known = await listProtectedTables(leader);
    await leader.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    await lockTables(
      leader,
      known.filter((table) => table.readable),
    );
    const { rows } = await leader.query<{
      id: string;
      visibility: string;
      lsn: string;
      taken_at: Date;
      version: number;
    }>(
      `SELECT pg_export_snapshot() AS id, pg_current_snapshot()::text AS visibility,
              (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text AS lsn,
              clock_timestamp() AS taken_at, current_setting('server_version_num')::int AS version`,
    );
    const row = rows[0]!;
    return {
      id: row.id,
      visibility: row.visibility,
      lsn: row.lsn,
      takenAt: row.taken_at,
      serverMajor: majorOf(row.version),
      tables: await listProtectedTables(leader),
      leader,
      reader: () => joinSnapshot(target, row.id),
      close: async () => {
        await closeConnection(leader);
      },
    };
  } catch (error) {
    await closeConnection(leader);
    throw error;
  }
}

async function lockTables(leader: Client, tables: readonly ProtectedTable[]): Promise<void> {
  for (let start = 0; start < tables.length; start += lockBatch) {
    const names = tables.slice(start, start + lockBatch).map((table) => `ONLY ${quoteName(table)}`);
    await leader.query(`LOCK TABLE ${names.join(", ")} IN ACCESS SHARE MODE`);
  }
}

/** undefined_object; before PostgreSQL 17 invalid_parameter_value. */
const goneSnapshot: readonly string[] = ["42704", "22023"];

async function joinSnapshot(target: DatabaseTarget, id: string): Promise<Client> {
  const client = await connect(target);
  try {
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    await client.query(`SET TRANSACTION SNAPSHOT ${quoteLiteral(id)}`);
    return client;
  } catch (error) {
    await closeConnection(client);
    if (!goneSnapshot.includes(codeOf(error) ?? "")) throw error;
    throw new Unavailable(`the session that held the snapshot was ended: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Runs `work` for every item on up to `jobs` connections of the same snapshot, the leader among them; on fewer where
 * the server has no more to give.
 *
 * @returns the results in the order of the items.
 */
export async function readInParallel<T, R>(
  snapshot: DatabaseSnapshot,
  jobs: number,
  items: readonly T[],
  work: (client: Client, item: T) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const readers = await openReaders(snapshot, Math.max(0, Math.min(jobs, items.length) - 1));
  try {
    const lanes = [snapshot.leader, ...readers].map((client) => ({ client, items: 0 }));
    return await runInLanes(
      lanes,
      items,
      async (item, lane) => {
        if (lane.items % itemsOfLocks === 0) await letGoOfLocks(lane.client, lane.items === 0);
        lane.items += 1;
        return work(lane.client, item);
      },
      signal,
    );
  } finally {
    await Promise.allSettled(readers.map(closeConnection));
  }
}

/**
 * A transaction keeps the locks of every table, and of each of its indexes, that it has read: with thousands of tables
 * the server's lock table would be full. What was locked since the savepoint is let go of with it; the leader's own
 * locks, taken before, stay. Only now and then: each time is a round trip.
 */
const itemsOfLocks = 50;

async function letGoOfLocks(client: Client, first: boolean): Promise<void> {
  await client.query(first ? "SAVEPOINT reading" : "ROLLBACK TO SAVEPOINT reading");
}

async function openReaders(snapshot: DatabaseSnapshot, count: number): Promise<Client[]> {
  const opened = await Promise.allSettled(Array.from({ length: count }, () => snapshot.reader()));
  const readers = opened.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const failed = opened.find((outcome) => outcome.status === "rejected" && !(outcome.reason instanceof Unavailable)) as
    PromiseRejectedResult | undefined;
  if (failed === undefined) return readers;
  await Promise.allSettled(readers.map(closeConnection));
  throw failed.reason;
}
