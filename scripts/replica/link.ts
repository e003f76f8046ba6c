/** What connects source and replica, as it stands: publication, slot, subscription, and how far each table is. */
import type { Client } from "pg";
import { Refusal } from "../contract/failure";
import type { Queryable } from "../database/queryable";

export interface Slot {
  readonly active: boolean;
  readonly activePid: number | null;
  /** `reserved`, `extended`, `unreserved`, `lost`; null: it holds nothing yet (PostgreSQL manual, "pg_replication_slots"). */
  readonly walStatus: string | null;
  /** Bytes that may still be written before the slot can be lost; null: there is no limit, or it is lost. */
  readonly safeWalBytes: number | null;
  /** Bytes of write-ahead log that it keeps on the source. */
  readonly retainedBytes: number;
  /** Bytes that the replica has not confirmed. */
  readonly lagBytes: number;
  readonly confirmedLsn: string | null;
}

/** Where a table is on its way into the replica (PostgreSQL manual, "pg_subscription_rel", `srsubstate`). */
export type TableState = "waiting" | "copying" | "copied" | "caught up" | "ready";

export interface SubscribedTable {
  readonly name: string;
  readonly state: TableState;
}

export interface Subscription {
  readonly oid: number;
  readonly enabled: boolean;
  /** The slot that it is tied to; null: none. */
  readonly slot: string | null;
  /** Whether its worker runs. */
  readonly working: boolean;
  readonly receivedLsn: string | null;
  readonly tables: readonly SubscribedTable[];
  /** Errors since the statistics were last reset, while applying and while copying; null: this server does not count them. */
  readonly applyErrors: number | null;
  readonly copyErrors: number | null;
  /** Conflicts by kind, where the server counts them (PostgreSQL 18 and newer). */
  readonly conflicts: Readonly<Record<string, number>>;
}

export interface Publication {
  /** `schema.name`, sorted. */
  readonly tables: readonly string[];
}

export async function readPublication(source: Queryable, name: string): Promise<Publication | undefined> {
  const { rows } = await source.query<{ tables: string[] }>(
    `SELECT ARRAY(SELECT n.nspname || '.' || c.relname FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
                    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = p.oid ORDER BY 1) AS tables
       FROM pg_publication p WHERE p.pubname = $1`,
    [name],
  );
  return rows[0];
}

interface SlotRow {
  active: boolean;
  pid: number | null;
  status: string | null;
  safe: string | null;
  retained: string | null;
  lag: string | null;
  confirmed: string | null;
}

export async function readSlot(source: Queryable, name: string): Promise<Slot | undefined> {
  const { rows } = await source.query<SlotRow>(
    `SELECT active, active_pid AS pid, wal_status AS status, safe_wal_size::text AS safe,
            pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text AS retained,
            pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::text AS lag, confirmed_flush_lsn::text AS confirmed
       FROM pg_replication_slots WHERE slot_name = $1`,
    [name],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    active: row.active,
    activePid: row.pid,
    walStatus: row.status,
    safeWalBytes: row.safe === null ? null : Number(row.safe),
    retainedBytes: Number(row.retained ?? 0),
    lagBytes: Math.max(0, Number(row.lag ?? 0)),
    confirmedLsn: row.confirmed,
  };
}

/** A slot that can give nothing any more: its log is gone, or it is gone itself. */
export function isLost(slot: Slot | undefined): boolean {
  return slot === undefined || slot.walStatus === "lost";
}

const stateOf: Readonly<Record<string, TableState>> = {
  i: "waiting",
  d: "copying",
  f: "copied",
  s: "caught up",
  r: "ready",
};

interface SubscriptionRow {
  oid: string;
  enabled: boolean;
  slot: string | null;
  working: boolean;
  received: string | null;
  states: { name: string; state: string }[];
}

export async function readSubscription(replica: Queryable, name: string): Promise<Subscription | undefined> {
  const { rows } = await replica.query<SubscriptionRow>(
    `SELECT s.oid::int8::text AS oid, s.subenabled AS enabled, s.subslotname::text AS slot,
            -- A worker that copies a table has its relid; the one that applies has none.
            EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.relid IS NULL AND w.pid IS NOT NULL) AS working,
            (SELECT max(w.received_lsn)::text FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.relid IS NULL) AS received,
            COALESCE((SELECT json_agg(json_build_object('name', n.nspname || '.' || c.relname, 'state', r.srsubstate)
                                      ORDER BY n.nspname || '.' || c.relname)
                        FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid
                        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.srsubid = s.oid), '[]') AS states
       FROM pg_subscription s
      WHERE s.subname = $1 AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    [name],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    ...{ oid: Number(row.oid), enabled: row.enabled, slot: row.slot, working: row.working },
    receivedLsn: row.received,
    tables: row.states.map(({ name, state }) => ({ name, state: stateOf[state] ?? "waiting" })),
    ...(await readErrors(replica, row.oid)),
  };
}

/** `pg_stat_subscription_stats`: since 15; its `confl_` columns since 18. */
async function readErrors(
  replica: Queryable,
  oid: string,
): Promise<Pick<Subscription, "applyErrors" | "copyErrors" | "conflicts">> {
  const { rows: known } = await replica.query("SELECT WHERE to_regclass('pg_stat_subscription_stats') IS NOT NULL");
  if (known.length === 0) return { applyErrors: null, copyErrors: null, conflicts: {} };
  const { rows } = await replica.query<{ stats: Record<string, unknown> }>(
    "SELECT to_jsonb(t) AS stats FROM pg_stat_subscription_stats t WHERE subid = $1::oid",
    [oid],
  );
  const stats = rows[0]?.stats ?? {};
  const count = (name: string): number => Number(stats[name] ?? 0);
  const conflicts = Object.keys(stats).filter((name) => name.startsWith("confl_") && count(name) > 0);
  return {
    applyErrors: count("apply_error_count"),
    copyErrors: count("sync_error_count"),
    conflicts: Object.fromEntries(conflicts.map((name) => [name.slice("confl_".length), count(name)])),
  };
}

/** Slots that the copying of tables left on the source: `pg_<subscription>_sync_<table>_<system>` (tablesync.c). */
export async function readCopySlots(source: Queryable, subscription: number, replicaSystem: string): Promise<string[]> {
  const { rows } = await source.query<{ name: string }>(
    `SELECT slot_name::text AS name FROM pg_replication_slots
      WHERE slot_name ~ ('^pg_' || $1 || '_sync_[0-9]+_' || $2 || '$') ORDER BY 1`,
    [String(subscription), replicaSystem],
  );
  return rows.map(({ name }) => name);
}

export async function currentLsn(source: Client): Promise<string> {
  const { rows } = await source.query<{ lsn: string }>("SELECT pg_current_wal_lsn()::text AS lsn");
  return rows[0]!.lsn;
}

export async function hasOwnSchema(client: Queryable): Promise<boolean> {
  const { rows } = await client.query("SELECT FROM pg_namespace WHERE nspname = 'dbprotect_replica'");
  return rows.length > 0;
}

export function noReplica(name: string): Refusal {
  return new Refusal(`there is no live replica ${name}`, { hint: "run: npm run replication:setup" });
}
