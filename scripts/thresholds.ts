/**
 * Every signal that `db:health` reads, and from which value on it matters, with the source of each number: the one place
 * that the command, the alarms in AWS, the dashboard and docs/monitoring.md take them from.
 */

/** In the order in which a dashboard shows them: is it well, is it serving, what runs full, does the replica follow, could it be brought back. */
export const signalGroups = ["verdict", "golden", "saturation", "replica", "backup"] as const;

export type SignalGroup = (typeof signalGroups)[number];

/** How a value is written after its number. */
export type SignalUnit = "" | "%" | "s" | "min" | "h" | "days" | "per min" | "bytes" | "times";

export interface SignalDefinition {
  readonly group: SignalGroup;
  readonly title: string;
  readonly unit: SignalUnit;
  /** Where the value comes from. */
  readonly read: string;
  /** Which way is bad: at or above a threshold, or below it. Default `above`. */
  readonly bad?: "above" | "below";
  /** From here on somebody should look. Absent: nothing to warn of. */
  readonly warn?: number;
  /** From here on somebody is woken, and `db:health` exits 1. Absent: never. */
  readonly critical?: number;
  /** Where the thresholds come from; absent where there are none. */
  readonly source?: string;
  /** What to do about it. */
  readonly advice?: string;
  /** No value at all is an alarm too: that it is not heard of is what it is there to tell. */
  readonly heartbeat?: true;
}

const mixin = "postgres_exporter's mixin";
const inspect = "supabase inspect db";
const grafana = "supabase-grafana's example alerts";
const manual = "PostgreSQL manual";

const definitions = {
  up: {
    ...{ group: "verdict", title: "The database answers", unit: "", bad: "below", critical: 1, heartbeat: true },
    read: "a connection within 15 s: 1, else 0",
    source: `${mixin} (1 min); ${grafana} (5 min)`,
    advice: "look at the platform's status, the network, the number of connections",
  },
  failedVerifications: {
    ...{ group: "verdict", title: "Releases that lost rows", unit: "", critical: 1 },
    read: "freezes of failed verifications that stand in the store",
    source: "ours",
    advice: "db:repair, or docs/emergency.md",
  },
  freezes: {
    ...{ group: "verdict", title: "Freezes that stand", unit: "", warn: 1 },
    read: "`control/freeze.json` in the store",
    source: "ours",
    advice: "deploy:unfreeze, with person and reason",
  },
  leaseHours: {
    ...{ group: "verdict", title: "Hours that a release holds the lease", unit: "h", warn: 8 },
    read: "`control/lease.json` in the store",
    source: "ours: the longest gate and the longest migration, 4 h each",
    advice: "see whether that release is still under way; what died loses its lease by itself",
  },
  transactions: {
    ...{ group: "golden", title: "Transactions", unit: "per min" },
    read: "difference of `xact_commit + xact_rollback` of `pg_stat_database`",
  },
  rollbacks: {
    ...{ group: "golden", title: "Transactions rolled back", unit: "%", warn: 10 },
    read: "difference of `xact_rollback / (xact_commit + xact_rollback)`",
    source: mixin,
    advice: "look for errors in the application's and the server's log",
  },
  deadlocks: {
    ...{ group: "golden", title: "Deadlocks", unit: "per min", warn: 5 },
    read: "difference of `pg_stat_database.deadlocks`",
    source: mixin,
    advice: "the server's log names the statements: have all lock rows in the same order",
  },
  longestQuery: {
    ...{ group: "golden", title: "Longest running query", unit: "s", warn: 300 },
    read: "`clock_timestamp() - query_start` of active sessions but our own",
    source: inspect,
    advice: "pg_stat_activity shows it; pg_cancel_backend ends it",
  },
  blocked: {
    ...{ group: "golden", title: "Longest wait for a lock", unit: "s", warn: 120 },
    read: "`pg_locks.waitstart`; who is in the way by `pg_blocking_pids`",
    source: inspect,
    advice: "end the session that is in the way, or wait for it",
  },
  queryTime: {
    ...{ group: "golden", title: "Mean query time against the hour before", unit: "times", warn: 2 },
    read: "differences of `total_exec_time / calls` of `pg_stat_statements`: a mean, no percentile",
    source: "ours",
    advice: "a plan may have changed: compare what pg_stat_statements says by statement",
  },
  apiRequests: {
    ...{ group: "golden", title: "API requests", unit: "per min" },
    read: "Supabase's `usage.api-counts` of the last 15 minutes: rest, auth, storage, realtime",
  },
  apiPoolTimeouts: {
    ...{ group: "golden", title: "API requests that got no connection", unit: "per min", warn: 1 },
    read: "difference of `pgrst_db_pool_timeouts_total` of Supabase's metrics",
    source: "ours: each is an answer 504",
    advice: "shorten slow queries, or raise the API's pool size",
  },
  authRequests: {
    ...{ group: "golden", title: "Authentication requests", unit: "per min" },
    read: "difference of `http_status_codes_total` of `gotrue` without `/health`, of Supabase's metrics",
  },
  authErrors: {
    ...{ group: "golden", title: "Authentication requests answered 5xx", unit: "%", warn: 5 },
    read: "the same, by `code`",
    source: "ours",
    advice: "look at the authentication service's log at the platform",
  },
  failedLogins: {
    ...{ group: "golden", title: "Wrong passwords", unit: "per min" },
    read: 'difference of `gotrue_compare_hash_and_password_completed_total{match="false"}`',
  },
  connections: {
    ...{ group: "saturation", title: "Connections in use", unit: "%", warn: 80, critical: 100 },
    read: "`pg_stat_activity` against `max_connections` without those reserved",
    source: `${mixin} (10 min; at the limit 1 min)`,
    advice: "end idle sessions, use a pooler, then raise max_connections",
  },
  lockSlots: {
    ...{ group: "saturation", title: "Lock table in use", unit: "%", warn: 20 },
    read: "`pg_locks` against `max_locks_per_transaction * (max_connections + max_prepared_transactions)`",
    source: mixin,
    advice: "raise max_locks_per_transaction: a backup locks every table",
  },
  cacheHits: {
    ...{ group: "saturation", title: "Blocks found in memory", unit: "%", bad: "below", warn: 98 },
    read: "difference of `blks_hit / (blks_hit + blks_read)`, of 10,000 blocks or more",
    source: `${mixin}; ${inspect} says 94`,
    advice: "more memory, or an index where whole tables are read",
  },
  oldestTransaction: {
    ...{ group: "saturation", title: "Oldest open transaction", unit: "s", warn: 300 },
    read: "`clock_timestamp() - xact_start` of client sessions but our own",
    source: inspect,
    advice: "it keeps vacuum from removing anything younger: end it",
  },
  disk: {
    ...{ group: "saturation", title: "Disk in use", unit: "%", warn: 80, critical: 90 },
    read: "Supabase's metrics, else its Management API; PostgreSQL itself does not tell",
    source: "supabase-grafana's dashboard",
    advice: "grow the disk: full, the database stops writing",
  },
  databaseSize: {
    ...{ group: "saturation", title: "Size of the database", unit: "bytes" },
    read: "`pg_database_size`",
  },
  growth: {
    ...{ group: "saturation", title: "Growth within 12 hours", unit: "%", warn: 20 },
    read: "`pg_database_size` against that of 12 hours before",
    source: grafana,
    advice: "see which table grew, and whether disk and backup window are still enough",
  },
  deadTuples: {
    ...{ group: "saturation", title: "Dead rows of the worst table", unit: "%", warn: 40 },
    read: "`n_dead_tup` against all rows in `pg_stat_user_tables`, of tables with 10,000 dead ones or more",
    source: `ours: twice autovacuum_vacuum_scale_factor (${manual}, 19.10)`,
    advice: "see what keeps autovacuum from it: an old transaction, a slot, its own settings",
  },
  wraparound: {
    ...{ group: "saturation", title: "Age of the oldest transaction id", unit: "", warn: 1.5e9, critical: 1.6e9 },
    read: "`age(datfrozenxid)`, `mxid_age(datminmxid)` of all databases",
    source: `common practice; vacuum_failsafe_age (${manual}, 19.10)`,
    advice: "VACUUM the oldest tables now: at 2.1e9 the server stops writing",
  },
  replicaLag: {
    ...{ group: "saturation", title: "Replica behind", unit: "s", warn: 600, critical: 3600 },
    read: "`pg_stat_replication.replay_lag`, the worst; on a standby the age of what was replayed last",
    source: `${grafana} (and rising); ${mixin}`,
    advice: "look for a long query or full disk at the replica, and at the network",
  },
  slotRoom: {
    ...{ group: "saturation", title: "Log that a slot may still keep back", unit: "%", bad: "below", warn: 25 },
    read: "`pg_replication_slots.safe_wal_size` against `max_slot_wal_keep_size`, the least",
    source: `${mixin}; ours`,
    advice: "have its reader catch up: past the limit the slot is lost",
  },
  slotsLost: {
    ...{ group: "saturation", title: "Replication slots lost", unit: "", critical: 1 },
    read: "`wal_status = 'lost'` in `pg_replication_slots`",
    source: mixin,
    advice: "build that replica anew, then drop the slot",
  },
  slotInactive: {
    ...{ group: "saturation", title: "Replication slot without a reader", unit: "min", warn: 30 },
    read: "`pg_replication_slots.inactive_since` (PostgreSQL 17), the longest",
    source: "ours",
    advice: "start its reader, or drop the slot before the log fills the disk",
  },
  replicaFollows: {
    ...{ group: "replica", title: "The live replica follows", unit: "", bad: "below", critical: 1 },
    read: "`replication:status` without findings but those of lag: 1, else 0",
    source: "ours",
    advice: "replication:status says what is wrong; docs/replica.md what mends it",
  },
  replicaSeconds: {
    ...{ group: "replica", title: "Live replica behind", unit: "s", warn: 600, critical: 3600 },
    read: "age of the first heartbeat that the replica lacks",
    source: `as replicaLag: ${grafana}; ${mixin}`,
    advice: "look for a long transaction at the source, locks and full disk at the replica, and at the network",
  },
  replicaBytes: {
    ...{ group: "replica", title: "Log that the live replica has not confirmed", unit: "bytes", warn: 2 ** 30 },
    read: "`pg_replication_slots.confirmed_flush_lsn` against `pg_current_wal_lsn()`",
    source: "ours: a quarter of what hosted Supabase lets a slot keep back",
    advice: "as for replicaSeconds",
  },
  replicaSlotBytes: {
    ...{ group: "replica", title: "Log that the live replica's slot keeps back", unit: "bytes", warn: 2 * 2 ** 30 },
    read: "`pg_replication_slots.restart_lsn` against `pg_current_wal_lsn()`",
    source: "ours: half of what hosted Supabase lets a slot keep back",
    advice: "it fills the source's disk: have the replica catch up, or drop it: replication:drop",
  },
  replicaSlotRoom: {
    group: "replica",
    title: "Log until the live replica's slot can be lost",
    ...{ unit: "bytes", bad: "below", warn: 2 ** 30, critical: 2 ** 28 },
    read: "`pg_replication_slots.safe_wal_size`",
    source: "ours: a quarter of hosted Supabase's limit, and a quarter of that",
    advice: "past it the replica is copied anew: have it catch up, or raise max_slot_wal_keep_size",
  },
  replicaConflicts: {
    ...{ group: "replica", title: "Errors and conflicts of the live replica", unit: "per min", warn: 0.2 },
    read: "difference of `pg_stat_subscription_stats` (15; conflicts 18)",
    source: "ours: one in five minutes",
    advice: "the replica's server log names table and row: replication:sync, or replication:setup -- --resync",
  },
  backupAge: {
    ...{ group: "backup", title: "Age of the newest verified backup", unit: "h", critical: 26, heartbeat: true },
    read: "the store: depth 4 or more, not suspect, not expiring",
    source: "ours: a daily one, and two hours to take it",
    advice: "see the log of the scheduled dump; take one: db:backup",
  },
  backupDepth: {
    ...{ group: "backup", title: "Depth of the newest backup", unit: "", bad: "below", warn: 4 },
    read: "the store: the deepest verification of the newest backup",
    source: "ours: verified means 4 or 5",
    advice: "db:verify latest",
  },
  backupShrink: {
    ...{ group: "backup", title: "Newest backup smaller than the one before", unit: "%", warn: 30 },
    read: "the store: the size of the newest verified backup against the one before it",
    source: "ours",
    advice: "see whether a table was emptied, before retention lets the larger one go",
  },
  drillAge: {
    ...{ group: "backup", title: "Since the last restore drill that passed", unit: "days", warn: 8 },
    read: "`drills/` in the store",
    source: "ours: a weekly one, and a day",
    advice: "db:drill",
  },
  drillRto: {
    ...{ group: "backup", title: "Restore time of the last drill against the target", unit: "%", warn: 100 },
    read: "`drills/` in the store, against `rtoMinutes`",
    source: "ours",
    advice: "more cores and disk for the restore, or a larger target",
  },
} as const satisfies Readonly<Record<string, SignalDefinition>>;

export type SignalName = keyof typeof definitions;

export const signalDefinitions: Readonly<Record<SignalName, SignalDefinition>> = definitions;

/** Group by group. */
export const signalNames: readonly SignalName[] = signalGroups.flatMap((group) =>
  (Object.keys(definitions) as SignalName[]).filter((name) => definitions[name].group === group),
);

/** Changes of one signal's thresholds; null takes one away. */
export interface ThresholdChange {
  readonly warn?: number | null | undefined;
  readonly critical?: number | null | undefined;
}

export type ThresholdChanges = Readonly<Partial<Record<SignalName, ThresholdChange | undefined>>>;

export interface Thresholds {
  readonly bad: "above" | "below";
  /** Null: none. */
  readonly warn: number | null;
  readonly critical: number | null;
}

/** What counts for a signal: as configured, else as defined. */
export function thresholdsOf(name: SignalName, changes: ThresholdChanges = {}): Thresholds {
  const { bad = "above", warn = null, critical = null } = signalDefinitions[name];
  const change = changes[name] ?? {};
  return {
    bad,
    warn: change.warn === undefined ? warn : change.warn,
    critical: change.critical === undefined ? critical : change.critical,
  };
}

/** Where the metrics of all signals lie in CloudWatch: never `AWS/`, which is AWS's own. */
export const metricNamespace = "DatabaseProtection";

/** `BackupAge` of `backupAge`. */
export function metricName(name: SignalName): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** What a metric of CloudWatch is told apart by: `project/stack` in two, and nothing else, so that alarms find it. */
export function metricDimensions(stack: string): { readonly Project: string; readonly Environment: string } {
  const slash = stack.indexOf("/");
  return { Project: stack.slice(0, Math.max(0, slash)) || "none", Environment: stack.slice(slash + 1) };
}
