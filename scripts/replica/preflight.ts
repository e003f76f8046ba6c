/** What stands in the way of a live replica, each with what to do about it. Looks only. */
import type { Client } from "pg";
import { messageOf } from "../contract/failure";
import { majorOf } from "../database/identity";
import { identifySystem } from "../database/replicationConnection";
import { displayName, quoteIdentifier, quoteName } from "../database/sqlText";
import { leftOutNames, readScope } from "../database/supabasePreset";
import { describeTarget } from "../database/target";
import { hasOwnSchema, readSlot } from "./link";
import { type PairIdentity, type ReplicaPair, ownSchema } from "./pair";
import { lackingOf } from "./replicaRole";
import { type ReplicatedTable, type TableChoice, chooseTables } from "./tables";

export interface Finding {
  /** Stable: `no-key`, `wal-level`. */
  readonly id: string;
  /** `halt`: there will be no replica like this. `warn`: it works, and somebody should know. */
  readonly severity: "halt" | "warn";
  readonly problem: string;
  readonly fix: string;
}

type Check = (look: Look) => Promise<Finding[]> | Finding[];

interface Look {
  readonly pair: ReplicaPair;
  readonly source: Client;
  readonly replica: Client;
  readonly identity: PairIdentity;
  readonly choice: TableChoice;
  readonly servers: { readonly source: ServerFacts; readonly replica: ServerFacts };
}

export interface Preflight {
  readonly findings: readonly Finding[];
  readonly choice: TableChoice;
}

/** Every check is made; one that finds something ends none of the others. */
export async function runPreflight(
  pair: ReplicaPair,
  source: Client,
  replica: Client,
  identity: PairIdentity,
): Promise<Preflight> {
  const choice = await chooseTables(source, pair.settings);
  const servers = { source: await readServer(source), replica: await readServer(replica) };
  const findings: Finding[] = [];
  for (const check of checks) findings.push(...(await check({ pair, source, replica, identity, choice, servers })));
  return { findings, choice };
}

const halt = (id: string, problem: string, fix: string): Finding => ({ id, severity: "halt", problem, fix });
const warn = (id: string, problem: string, fix: string): Finding => ({ id, severity: "warn", problem, fix });

interface ServerFacts {
  readonly role: string;
  readonly superuser: boolean;
  readonly replication: boolean;
  readonly mayCreate: boolean;
  readonly maySubscribe: boolean;
  readonly database: string;
  readonly walLevel: string;
  readonly slots: number;
  readonly freeSlots: number;
  readonly freeSenders: number;
  readonly freeOrigins: number;
  readonly freeWorkers: number;
  readonly workerProcesses: number;
  readonly logicalWorkers: number;
  readonly copyWorkers: number;
  readonly keepsWal: string;
}

/**
 * Amazon RDS hands out the attribute as the role `rds_replication`, and the right to subscribe with `rds_superuser`; from 16
 * on PostgreSQL has `pg_create_subscription`. Origins had no setting of their own before 18.
 */
async function readServer(client: Client): Promise<ServerFacts> {
  const member = (role: string): string =>
    `EXISTS (SELECT FROM pg_roles m WHERE m.rolname = '${role}' AND pg_has_role(r.oid, m.oid, 'MEMBER'))`;
  const setting = (name: string): string => `current_setting('${name}')::int`;
  const { rows } = await client.query<ServerFacts>(
    `SELECT r.rolname::text AS role, r.rolsuper AS superuser,
            r.rolsuper OR r.rolreplication OR ${member("rds_replication")} AS replication,
            has_database_privilege(current_database(), 'CREATE') AS "mayCreate",
            r.rolsuper OR ${member("pg_create_subscription")} OR ${member("rds_superuser")} AS "maySubscribe",
            current_database()::text AS database, current_setting('wal_level') AS "walLevel",
            ${setting("max_replication_slots")} AS slots,
            ${setting("max_replication_slots")} - (SELECT count(*) FROM pg_replication_slots)::int AS "freeSlots",
            ${setting("max_wal_senders")} - (SELECT count(*) FROM pg_stat_replication)::int AS "freeSenders",
            COALESCE(current_setting('max_active_replication_origins', true), current_setting('max_replication_slots'))::int
              - (SELECT count(*) FROM pg_replication_origin)::int AS "freeOrigins",
            ${setting("max_logical_replication_workers")}
              - (SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL)::int AS "freeWorkers",
            ${setting("max_worker_processes")} AS "workerProcesses", ${setting("max_logical_replication_workers")} AS "logicalWorkers",
            ${setting("max_sync_workers_per_subscription")} AS "copyWorkers",
            current_setting('max_slot_wal_keep_size') AS "keepsWal"
       FROM pg_roles r WHERE r.rolname = current_user`,
  );
  return rows[0]!;
}

const checks: readonly Check[] = [
  ({ identity: { source, replica } }) =>
    source.systemIdentifier === replica.systemIdentifier
      ? [halt("same-server", "source and replica are on one server, and are lost together", "name another server")]
      : [],

  ({ identity: { source, replica } }) => {
    const [from, to] = [majorOf(source.serverVersion), majorOf(replica.serverVersion)];
    return to >= from
      ? []
      : [halt("older-server", `the replica is PostgreSQL ${to}, the source ${from}`, `take ${from} or newer`)];
  },

  ({ servers: { source, replica } }) => [
    ...(source.walLevel === "logical"
      ? []
      : [halt("wal-level", `wal_level of the source is ${source.walLevel}`, setAndRestart("wal_level", "logical"))]),
    ...(replica.walLevel === "logical"
      ? []
      : [
          warn(
            "wal-level",
            `wal_level of the replica is ${replica.walLevel}: after a failover there is no way back without a new copy`,
            setAndRestart("wal_level", "logical"),
          ),
        ]),
  ],

  checkRoute,
  checkRights,
  async ({ pair, source, replica }) =>
    (await lackingOf(pair, source, replica)).map(({ problem, fix }) => halt("rights", problem, fix)),
  checkRoom,

  ({ servers: { source } }) =>
    source.keepsWal === "-1"
      ? [
          warn(
            "wal-limit",
            "max_slot_wal_keep_size of the source is -1: a replica that is gone for long fills its disk",
            "set max_slot_wal_keep_size to what the disk can spare, and reload",
          ),
        ]
      : [],

  checkTables,
  checkLargeObjects,
  checkOtherSide,
  checkEmpty,
  checkTriggers,
];

const setAndRestart = (name: string, value: string): string => `set ${name} = ${value} and restart the server`;

/** By the way that the replica's server will take; where that is another one than ours, we may not be able to go it. */
async function checkRoute({ pair: { route, source: own }, identity }: Look): Promise<Finding[]> {
  const where = `${route.source}: ${describeTarget(route)}`;
  try {
    const system = await identifySystem(route);
    if (system === identity.source.systemIdentifier) return [];
    return [halt("route", `${where} is another server (system ${system})`, `let it lead to the source`)];
  } catch (error) {
    const message = messageOf(error);
    if (/unsupported startup parameter|replication.*(pooler|not supported)|Tenant or user not found/i.test(message))
      return [
        halt(
          "pooler",
          `${where} is a pooler, which carries no replication: ${message}`,
          "use the direct host (Supabase: db.<ref>.supabase.co:5432, IPv6 or its IPv4 add-on)",
        ),
      ];
    if (/must be superuser or replication|permission denied to start WAL sender|REPLICATION attribute/i.test(message))
      return [
        halt(
          "rights",
          `${where}: role ${route.user} may not replicate`,
          `ALTER ROLE ${quoteIdentifier(route.user)} REPLICATION (Amazon RDS: GRANT rds_replication)`,
        ),
      ];
    const line = `${where} does not take a replication connection: ${message}`;
    return route === own
      ? [halt("route", line, "allow it in pg_hba.conf, and name the direct host, not a pooler")]
      : [warn("route", `${line} (tried from here)`, "make sure that the replica's server reaches it")];
  }
}

function checkRights({ servers: { source, replica }, choice, pair: { route } }: Look): Finding[] {
  const create = (side: string, { role, database }: ServerFacts): Finding =>
    halt(
      "rights",
      `role ${role} may not create anything in the ${side}'s database ${database}`,
      `GRANT CREATE ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(role)}`,
    );
  const foreign = choice.chosen.filter(({ owned }) => !owned);
  return [
    ...(source.mayCreate ? [] : [create("source", source)]),
    ...(replica.mayCreate ? [] : [create("replica", replica)]),
    ...(source.replication
      ? []
      : [
          halt(
            "rights",
            `role ${source.role} may not make a replication slot on the source`,
            `ALTER ROLE ${quoteIdentifier(source.role)} REPLICATION (Amazon RDS: GRANT rds_replication)`,
          ),
        ]),
    ...(replica.maySubscribe
      ? []
      : [
          halt(
            "rights",
            `role ${replica.role} may not subscribe on the replica`,
            `GRANT pg_create_subscription TO ${quoteIdentifier(replica.role)} (16 and newer; before, a superuser)`,
          ),
        ]),
    ...foreign.map((table) =>
      halt(
        "rights",
        `role ${source.role} may not publish ${displayName(table)}: it belongs to ${table.owner}`,
        `GRANT ${quoteIdentifier(table.owner)} TO ${quoteIdentifier(source.role)}, or ${declareIt(table)}`,
      ),
    ),
    ...choice.chosen
      .filter((table) => table.filtered || !table.readable)
      .map((table) =>
        halt(
          "rights",
          `role ${source.role} cannot read every row of ${displayName(table)}`,
          `GRANT SELECT on it; where row security filters: ALTER ROLE ${quoteIdentifier(route.user)} BYPASSRLS; or ${declareIt(table)}`,
        ),
      ),
  ];
}

const declareIt = (table: ReplicatedTable): string =>
  `declare it in replica.uncovered: ${JSON.stringify(displayName(table))}`;

/** The subscription itself, and the tables that are copied at the same time: each has slot, sender, origin and worker. */
async function checkRoom({ servers, source, pair, replica }: Look): Promise<Finding[]> {
  const needed = 1 + servers.replica.copyWorkers;
  const own = (await readSlot(source, pair.settings.name)) === undefined ? 0 : needed;
  const subscribed = (await replica.query("SELECT FROM pg_subscription WHERE subname = $1", [pair.settings.name])).rows
    .length;
  const ours = subscribed > 0 ? needed : 0;
  const lacks = (side: "source" | "replica", setting: string, free: number, used: number): Finding[] =>
    free + used >= needed
      ? []
      : [
          halt(
            "room",
            `${setting} of the ${side} leaves ${free}, needed are ${needed}`,
            `raise ${setting} by ${needed - free} and restart the ${side}`,
          ),
        ];
  const { freeWorkers, freeOrigins, workerProcesses, logicalWorkers } = servers.replica;
  return [
    ...lacks("source", "max_replication_slots", servers.source.freeSlots, own),
    ...lacks("source", "max_wal_senders", servers.source.freeSenders, own),
    ...lacks("replica", "max_replication_slots", freeOrigins, ours),
    ...lacks("replica", "max_logical_replication_workers", freeWorkers, ours),
    // The launcher is a worker process itself.
    ...(workerProcesses > logicalWorkers
      ? []
      : [
          halt(
            "room",
            `max_worker_processes of the replica is ${workerProcesses}, no more than max_logical_replication_workers (${logicalWorkers})`,
            setAndRestart("max_worker_processes", String(logicalWorkers + 4)),
          ),
        ]),
  ];
}

function checkTables({ choice: { chosen }, pair }: Look): Finding[] {
  if (chosen.length === 0)
    return [halt("no-tables", "there is no table to replicate", `see replica.uncovered of ${pair.settings.name}`)];
  return chosen.flatMap((table) => {
    const name = displayName(table);
    if (table.unlogged)
      return [
        halt(
          "unlogged",
          `${name} is unlogged: it is never replicated`,
          `ALTER TABLE ${quoteName(table)} SET LOGGED, or ${declareIt(table)}`,
        ),
      ];
    if (table.identified) return [];
    const fix =
      table.candidate === null
        ? `give it a primary key; or ALTER TABLE ${quoteName(table)} REPLICA IDENTITY FULL (its updates write far more log); or ${declareIt(table)}`
        : `ALTER TABLE ${quoteName(table)} REPLICA IDENTITY USING INDEX ${quoteIdentifier(table.candidate)}`;
    return [
      halt("no-key", `${name} has no primary key: once published, every UPDATE and DELETE on it would fail`, fix),
    ];
  });
}

async function checkLargeObjects({ source, pair }: Look): Promise<Finding[]> {
  if (pair.settings.withoutLargeObjects) return [];
  const { rows } = await source.query<{ count: number }>("SELECT count(*)::int AS count FROM pg_largeobject_metadata");
  const count = rows[0]!.count;
  return count === 0
    ? []
    : [
        halt(
          "large-objects",
          `${count} large object(s): logical replication never carries them`,
          "keep them in a bytea column or a store; or declare it: replica.withoutLargeObjects: true",
        ),
      ];
}

async function checkOtherSide({ source, replica, choice }: Look): Promise<Finding[]> {
  const scope = await readScope(source);
  const extensions = await source.query<{ name: string }>(
    "SELECT extname::text AS name FROM pg_extension WHERE extname <> ALL ($1::text[]) ORDER BY 1",
    [leftOutNames(scope, "extension")],
  );
  const available = await replica.query<{ name: string }>("SELECT name::text FROM pg_available_extensions");
  const there = new Set(available.rows.map(({ name }) => name));
  // Of schemas that are not copied, for the platform manages them.
  const types = await source.query<{ name: string }>(
    `SELECT DISTINCT format_type(t.oid, NULL) AS name
       FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
      WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname = ANY ($2::text[]) ORDER BY 1`,
    [choice.chosen.map(({ oid }) => oid), leftOutNames(scope, "schema")],
  );
  const known = await replica.query<{ name: string }>(
    "SELECT w.name FROM unnest($1::text[]) AS w(name) WHERE to_regtype(w.name) IS NOT NULL",
    [types.rows.map(({ name }) => name)],
  );
  const knownTypes = new Set(known.rows.map(({ name }) => name));
  return [
    ...extensions.rows
      .filter(({ name }) => !there.has(name))
      .map(({ name }) =>
        halt(
          "extension",
          `the replica's server has no extension ${name}`,
          "install its package there (Amazon RDS: choose an engine version that has it)",
        ),
      ),
    ...types.rows
      .filter(({ name }) => !knownTypes.has(name))
      .map(({ name }) =>
        halt(
          "type",
          `the replica has no type ${name}, which columns of replicated tables have`,
          "create it there first",
        ),
      ),
  ];
}

/** Tables with rows of somebody else would mix with ours. */
async function checkEmpty({ replica, choice }: Look): Promise<Finding[]> {
  if (await hasOwnSchema(replica)) return [];
  const { rows } = await replica.query<{ name: string }>(
    `SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname || '.' || c.relname = ANY ($1::text[]) ORDER BY 1`,
    [choice.chosen.map(displayName)],
  );
  if (rows.length === 0) return [];
  const some = rows.slice(0, 5).map(({ name }) => name);
  return [
    halt(
      "not-empty",
      `the replica's database has ${rows.length} of the tables already: ${some.join(", ")}`,
      "name an empty database in REPLICA_DATABASE_URL",
    ),
  ];
}

async function checkTriggers({ source, choice }: Look): Promise<Finding[]> {
  const { rows } = await source.query<{ name: string }>(
    `SELECT tgrelid::regclass || ': ' || tgname AS name FROM pg_trigger
      WHERE tgrelid = ANY ($1::oid[]) AND NOT tgisinternal AND tgenabled IN ('A', 'R') ORDER BY 1`,
    [choice.chosen.filter(({ schema }) => schema !== ownSchema).map(({ oid }) => oid)],
  );
  return rows.map(({ name }) =>
    warn(
      "trigger",
      `trigger ${name} fires on the replica too: what it writes there is written twice`,
      "ALTER TABLE … ENABLE TRIGGER (not ALWAYS, not REPLICA), unless it is meant so",
    ),
  );
}
