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
  await withSession(cluster.url, (client) => client.query(`CREATE DATABASE ${client.escapeIdentifier(database)}`));
  return urlOf(cluster.place, database);
}

/** One session for one piece of work; an error that comes on its own is that of the next query. */
export async function withSession<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await session(url);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** To be ended by whoever asks. */
export async function session(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** The rows of one query in a session of its own. */
export async function ask<T = Record<string, any>>(url: string, sql: string, values: unknown[] = []): Promise<T[]> {
  return withSession(url, async (client) => (await client.query(sql, values)).rows as T[]);
}
