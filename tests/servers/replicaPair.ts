/** Two real clusters for a live replica, a network between them that can be cut, and writers that never pause. */
import { randomInt } from "node:crypto";
import type { Client } from "pg";
import { parseTarget } from "../../scripts/database/target";
import type { ReplicaPair } from "../../scripts/replica/pair";
import { type Cluster, startCluster, urlOf } from "../../scripts/scratch/cluster";
import { type ReplicaSettings, replicaSettingsSchema } from "../../scripts/settings";
import { atEnd, atProcessEnd } from "./atEnd";
import { type Network, startNetwork } from "./network";
import { ask, session } from "./postgres";

/** As `initdb` makes it, but quick to notice: a subscription's worker that ended is started again after this time. */
const settings = {
  wal_level: "logical",
  wal_retrieve_retry_interval: "200ms",
  max_worker_processes: "24",
  max_logical_replication_workers: "12",
  max_sync_workers_per_subscription: "4",
  max_connections: "80",
  max_replication_slots: "20",
  max_wal_senders: "20",
  wal_sender_timeout: "10s",
  wal_receiver_timeout: "10s",
  // Read by the test that looks for passwords.
  logging_collector: "on",
  log_statement: "ddl",
};

let clusters: Promise<readonly [Cluster, Cluster]> | undefined;

/** The two clusters that all tests of this process share: source and replica. */
function pairOfClusters(): Promise<readonly [Cluster, Cluster]> {
  clusters ??= startBoth();
  return clusters;
}

async function startBoth(): Promise<readonly [Cluster, Cluster]> {
  return [await startOne(), await startOne()];
}

let third: Promise<Cluster> | undefined;

/** A third one, for those who need it. */
export function thirdCluster(): Promise<Cluster> {
  third ??= startOne();
  return third;
}

async function startOne(): Promise<Cluster> {
  const cluster = await startCluster({ listen: "loopback", lifetime: { kind: "parent" }, purpose: "test", settings });
  atProcessEnd(() => cluster.stop());
  return cluster;
}

let pairs = 0;

export interface TestPair {
  readonly pair: ReplicaPair;
  readonly sourceUrl: string;
  readonly replicaUrl: string;
  readonly network: Network;
  /** For the command line. */
  readonly env: Record<string, string>;
  readonly source: Cluster;
  readonly replica: Cluster;
}

/** A database with the schema on the source and an empty one on the replica; the subscription goes through the network. */
export async function freshPair(schema: string, wanted: Partial<ReplicaSettings> = {}): Promise<TestPair> {
  const [source, replica] = await pairOfClusters();
  pairs += 1;
  const name = `pair_${process.pid}_${pairs}`;
  for (const { url } of [source, replica]) await ask(url, `CREATE DATABASE ${name}`);
  const [sourceUrl, replicaUrl] = [urlOf(source.place, name), urlOf(replica.place, name)];
  await ask(sourceUrl, schema);
  const network = await startNetwork({ host: "127.0.0.1", port: source.place.port });
  atEnd(() => network.close());
  const route = new URL(sourceUrl);
  route.port = String(network.port);
  const settings = replicaSettingsSchema.parse({ name: `r_${name}`, ...wanted });
  return {
    ...{ sourceUrl, replicaUrl, network, source, replica },
    pair: {
      source: parseTarget(sourceUrl, "DATABASE_URL"),
      replica: parseTarget(replicaUrl, "REPLICA_DATABASE_URL"),
      route: parseTarget(route.href, "REPLICATION_SOURCE_URL"),
      settings,
    },
    env: {
      ...{ DATABASE_URL: sourceUrl, REPLICA_DATABASE_URL: replicaUrl, REPLICATION_SOURCE_URL: route.href },
      DBPROTECT_SETTINGS: JSON.stringify({ replica: settings }),
    },
  };
}

/** A small CRM: every kind of key, an enum, a generated column, partitions, a table that only its index identifies. */
export const replicatedSchema = `
  CREATE TYPE stage AS ENUM ('lead', 'won');
  CREATE TABLE clients (id bigserial PRIMARY KEY, name text NOT NULL, stage stage DEFAULT 'lead', balance numeric(12, 2) DEFAULT 0,
    lower_name text GENERATED ALWAYS AS (lower(name)) STORED);
  CREATE TABLE messages (client_id bigint REFERENCES clients ON DELETE CASCADE, number int, body text, PRIMARY KEY (client_id, number));
  CREATE TABLE coded (code text NOT NULL UNIQUE, note text);
  ALTER TABLE coded REPLICA IDENTITY USING INDEX coded_code_key;
  CREATE TABLE measured (at date NOT NULL, place int NOT NULL, value float8, PRIMARY KEY (at, place)) PARTITION BY RANGE (at);
  CREATE TABLE measured_old PARTITION OF measured FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
  CREATE TABLE measured_new PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
  CREATE INDEX clients_name ON clients (lower_name);
  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.balance := NEW.balance + 1; RETURN NEW; END';
  CREATE TRIGGER touch BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION touch();
  INSERT INTO clients (name, balance) SELECT 'Client ' || n, n FROM generate_series(1, 3000) n;
  INSERT INTO messages SELECT 1 + n % 3000, n, repeat('hello ', n % 50) FROM generate_series(1, 9000) n;
  INSERT INTO coded SELECT 'c' || n, 'note' FROM generate_series(1, 50) n;
  INSERT INTO measured SELECT '2025-06-01'::date + n, n % 7, n FROM generate_series(1, 400) n;`;

export interface Writers {
  /** Transactions that were committed so far. */
  committed(): number;
  /** Ends them, and tells of errors other than a lost connection. */
  stop(): Promise<void>;
}

/** Sessions that insert, update and delete until they are stopped; one that is cut off connects again. */
export function startWriters(url: string, count: number): Writers {
  let committed = 0;
  let stopped = false;
  const write = async (writer: number): Promise<void> => {
    let client: Client | undefined;
    for (let round = 0; !stopped; round++) {
      try {
        client ??= await session(url);
        const id = randomInt(1, 3000);
        await client.query(
          `BEGIN; INSERT INTO clients (name) VALUES ('new ${writer} ${round}');
           UPDATE clients SET balance = balance + 1, name = name || '.' WHERE id = ${id};
           INSERT INTO messages VALUES (${id}, ${1_000_000 + writer * 100_000 + round}, 'hi');
           DELETE FROM messages WHERE client_id = ${id} AND number < 1_000_000 AND number % 8 = ${writer};
           INSERT INTO measured VALUES ('2026-02-01'::date + ${round}, ${writer}, 1) ON CONFLICT DO NOTHING; COMMIT`,
        );
        committed += 1;
      } catch {
        await client?.end().catch(() => undefined);
        client = undefined;
      }
    }
    await client?.end();
  };
  const writers = Array.from({ length: count }, (_, writer) => write(writer));
  return {
    committed: () => committed,
    stop: async () => {
      stopped = true;
      await Promise.all(writers);
    },
  };
}
