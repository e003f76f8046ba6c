/** PostgreSQL for tests: one real server a mocha process, and a new database for whoever asks. */
import { Client } from "pg";
import { type Cluster, startCluster, urlOf } from "../../scripts/scratch/cluster";
import { atProcessEnd } from "./atEnd";

let shared: Promise<Cluster> | undefined;
let databases = 0;

/**
 * The server that all tests of this process share: the preferred major, loopback, production-like settings.
 * Roles and settings are shared too: a test that changes them undoes it, or starts a cluster of its own.
 */
export function sharedCluster(): Promise<Cluster> {
  shared ??= start();
  return shared;
}

async function start(): Promise<Cluster> {
  const cluster = await startCluster({
    listen: "loopback",
    lifetime: { kind: "parent" },
    purpose: "test",
    settings: { max_connections: "200" },
  });
  atProcessEnd(() => cluster.stop());
  return cluster;
}

/** The superuser's URL of a new, empty database; `name` only makes it recognisable. Gone with the server. */
export async function freshDatabase(name = "test"): Promise<string> {
  const cluster = await sharedCluster();
  databases += 1;
  const database = `${name}_${databases}`;
  const client = new Client({ connectionString: cluster.url });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`);
  } finally {
    await client.end();
  }
  return urlOf(cluster.place, database);
}
