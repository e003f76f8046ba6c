/**
 * The live replica's first copy against plain CREATE SUBSCRIPTION, between two embedded servers, and how far the replica is
 * behind while writers are at work.
 *
 * Usage: node --require tsx/cjs bench/replica.ts [--megabytes 512] [--rounds 3] [--seconds 30] [--writers 4]
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { withConnection } from "../scripts/database/connect";
import { parseTarget } from "../scripts/database/target";
import { beat, hasBeat } from "../scripts/replica/heartbeat";
import type { ReplicaPair } from "../scripts/replica/pair";
import { setUpReplica } from "../scripts/replica/setUp";
import { until } from "../scripts/replica/until";
import { type Cluster, startCluster, urlOf } from "../scripts/scratch/cluster";
import { replicaSettingsSchema } from "../scripts/settings";

const settings = {
  ...{ fsync: "on", synchronous_commit: "on", full_page_writes: "on", shared_buffers: "512MB", max_wal_size: "4GB" },
  ...{ wal_level: "logical", max_worker_processes: "24", max_logical_replication_workers: "12" },
  max_sync_workers_per_subscription: "4",
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      megabytes: { type: "string", default: "512" },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "30" },
      writers: { type: "string", default: "4" },
    },
  });
  const start = (): Promise<Cluster> =>
    startCluster({ listen: "loopback", lifetime: { kind: "parent" }, purpose: "test", settings });
  const source = await start();
  const replica = await start();
  const psql = (url: string, ...words: string[]): string =>
    execFileSync(join(source.binDir, "psql"), [url, "-XAtq", "-v", "ON_ERROR_STOP=1", ...words], { encoding: "utf8" });
  try {
    const sourceUrl = urlOf(source.place, "bench");
    psql(source.url, "-c", "CREATE DATABASE bench");
    say(`loading ${values.megabytes} MB`);
    psql(sourceUrl, "-v", `megabytes=${values.megabytes}`, "-f", join(__dirname, "data.sql"));
    const heap = Number(
      psql(
        sourceUrl,
        "-c",
        "SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
      ),
    );
    const ours: number[] = [];
    const plain: number[] = [];
    let last: ReplicaPair | undefined;
    for (let round = 1; round <= Number(values.rounds); round++) {
      for (const name of [`plain_${round}`, `ours_${round}`]) psql(replica.url, "-c", `CREATE DATABASE ${name}`);
      plain.push(await seconds(() => copyPlainly(psql, source, urlOf(replica.place, `plain_${round}`), sourceUrl)));
      last = pairOf(sourceUrl, urlOf(replica.place, `ours_${round}`), `ours_${round}`);
      const pair = last;
      ours.push(await seconds(() => setUpReplica(pair)));
      say(`${round}: ours ${ours.at(-1)?.toFixed(1)} s, plain ${plain.at(-1)?.toFixed(1)} s`);
      dropPlain(psql, sourceUrl, urlOf(replica.place, `plain_${round}`));
      // The last one is measured under load.
      if (round < Number(values.rounds)) dropOurs(psql, sourceUrl, pair, urlOf(replica.place, pair.settings.name));
    }
    const lags = await lagUnderLoad(last!, sourceUrl, Number(values.writers), Number(values.seconds));
    const speed = (runs: readonly number[]): string => {
      const middle = quantile(runs, 0.5);
      return `${middle.toFixed(1)} | ${(heap / 1e6 / middle).toFixed(1)}`;
    };
    console.log(`${(heap / 1e6).toFixed(0)} MB of heap, medians of ${values.rounds} alternating rounds\n`);
    console.log("| first copy | seconds | MB/s |\n| --- | --- | --- |");
    console.log(`| dbprotect replication:setup | ${speed(ours)} |`);
    console.log(`| pg_dump -s, CREATE SUBSCRIPTION | ${speed(plain)} |`);
    console.log(
      `\nunder ${values.writers} writers, ${lags.perSecond.toFixed(0)} transactions a second, of ${lags.seen.length} heartbeats:`,
    );
    for (const [what, part] of [
      ["median", 0.5],
      ["95 %", 0.95],
      ["worst", 1],
    ] as const)
      console.log(`${what} ${(quantile(lags.seen, part) * 1000).toFixed(0)} ms`);
  } finally {
    await Promise.all([source.stop(), replica.stop()]);
  }
}

const say = (line: string): void => void process.stderr.write(`bench: ${line}\n`);

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** @param part 0.5: the median; 1: the largest. */
function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN;
}

function pairOf(sourceUrl: string, replicaUrl: string, name: string): ReplicaPair {
  return {
    source: parseTarget(sourceUrl, "DATABASE_URL"),
    route: parseTarget(sourceUrl, "DATABASE_URL"),
    replica: parseTarget(replicaUrl, "REPLICA_DATABASE_URL"),
    settings: replicaSettingsSchema.parse({ name }),
  };
}

type Psql = (url: string, ...words: string[]) => string;

/** As the manual has it: definitions, publication, subscription; until every table is ready. */
async function copyPlainly(psql: Psql, source: Cluster, replicaUrl: string, sourceUrl: string): Promise<void> {
  const dump = execFileSync(join(source.binDir, "pg_dump"), [
    sourceUrl,
    "--schema-only",
    "--no-publications",
    "--schema=public",
  ]);
  execFileSync(join(source.binDir, "psql"), [replicaUrl, "-Xq"], { input: dump, stdio: ["pipe", "ignore", "ignore"] });
  psql(sourceUrl, "-c", "CREATE PUBLICATION plain FOR TABLE customers, orders, events");
  psql(replicaUrl, "-c", `CREATE SUBSCRIPTION plain CONNECTION '${libpqOf(sourceUrl)}' PUBLICATION plain`);
  await withConnection(parseTarget(replicaUrl, "REPLICA_DATABASE_URL"), (client) =>
    until(
      async () => {
        const { rows } = await client.query("SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r'");
        return rows.length === 0 ? true : undefined;
      },
      { seconds: Infinity, every: 50 },
    ),
  );
}

function libpqOf(url: string): string {
  const { hostname, port, username, password, pathname } = new URL(url);
  return `host=${hostname} port=${port} user=${username} password=${password} dbname=${pathname.slice(1)}`;
}

function dropPlain(psql: Psql, sourceUrl: string, replicaUrl: string): void {
  psql(replicaUrl, "-c", "DROP SUBSCRIPTION plain");
  psql(sourceUrl, "-c", "DROP PUBLICATION plain");
  psql(replicaUrl, "-c", "DROP TABLE customers, orders, events");
}

function dropOurs(psql: Psql, sourceUrl: string, { settings: { name } }: ReplicaPair, replicaUrl: string): void {
  psql(replicaUrl, "-c", `DROP SUBSCRIPTION ${name}`);
  psql(sourceUrl, "-c", `DROP PUBLICATION ${name}`);
  psql(replicaUrl, "-c", "DROP TABLE customers, orders, events");
}

/** From a heartbeat's commit on the source until the replica has it, one after the other. */
async function lagUnderLoad(
  pair: ReplicaPair,
  sourceUrl: string,
  writers: number,
  duration: number,
): Promise<{ seen: number[]; perSecond: number }> {
  const end = performance.now() + duration * 1000;
  let committed = 0;
  const write = (): Promise<void> =>
    withConnection(parseTarget(sourceUrl, "DATABASE_URL"), async (client) => {
      while (performance.now() < end) {
        await client.query(
          `INSERT INTO public.events (customer_id, kind, payload, message, token, happened_at)
             SELECT customer_id, kind, payload, message, token, now() FROM public.events WHERE id = 1 + floor(random() * 1000)::int;
           UPDATE public.orders SET total = total + 1 WHERE id = 1 + floor(random() * 1000)::int`,
        );
        committed += 1;
      }
    });
  const seen: number[] = [];
  const watch = withConnection(pair.source, (source) =>
    withConnection(pair.replica, async (replica) => {
      while (performance.now() < end) {
        const sent = await beat(source);
        seen.push(
          await seconds(() =>
            until(async () => ((await hasBeat(replica, sent)) ? true : undefined), { seconds: 60, every: 2 }),
          ),
        );
        await sleep(50);
      }
    }),
  );
  await Promise.all([watch, ...Array.from({ length: writers }, write)]);
  return { seen, perSecond: committed / duration };
}

void main();
