/**
 * `npm run bench:replica`: the live replica's first copy against plain CREATE SUBSCRIPTION, between two embedded servers, and how far the replica is
 * behind while writers are at work.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { markdownTable } from "../docs/generate/markdown";
import { runProgram, wholeNumber } from "../scripts/commandLine";
import { withConnection } from "../scripts/database/connect";
import { parseTarget } from "../scripts/database/target";
import { beat, hasBeat } from "../scripts/replica/heartbeat";
import type { ReplicaPair } from "../scripts/replica/pair";
import { setUpReplica } from "../scripts/replica/setUp";
import { until } from "../scripts/replica/until";
import { replicaSettingsSchema } from "../scripts/settings";
import { megabytes, rounds, say } from "./options";
import { BenchServer, productionSettings } from "./server";
import { median, quantile } from "../docs/generate/statistics";

/** Two servers share the machine's memory. */
const settings = {
  ...{ ...productionSettings, shared_buffers: "512MB" },
  ...{ wal_level: "logical", max_worker_processes: "24", max_logical_replication_workers: "12" },
  max_sync_workers_per_subscription: "4",
};

interface Options {
  readonly megabytes: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly writers: number;
}

const command = new Command("npm run bench:replica --")
  .description("The live replica's first copy against CREATE SUBSCRIPTION, and how far it is behind under load.")
  .addOption(megabytes(512))
  .addOption(rounds(3))
  .option("--seconds <number>", "how long writers are at work", wholeNumber(1, 3600), 30)
  .option("--writers <number>", "how many", wholeNumber(1, 50), 4)
  .action(measureReplica);

async function measureReplica(options: Options): Promise<void> {
  const source = await BenchServer.start(settings);
  const replica = await BenchServer.start(settings);
  try {
    say(`loading ${options.megabytes} MB`);
    source.load(options.megabytes);
    const heap = source.heapMegabytes();
    const ours: number[] = [];
    const plain: number[] = [];
    let last: ReplicaPair | undefined;
    for (let round = 1; round <= options.rounds; round++) {
      const [plainCopy, ourCopy] = [replica.createDatabase(`plain_${round}`), replica.createDatabase(`ours_${round}`)];
      plain.push(await seconds(() => copyPlainly(source, plainCopy)));
      const pair = pairOf(source.url, ourCopy, `ours_${round}`);
      ours.push(await seconds(() => setUpReplica(pair)));
      say(`${round}: ours ${ours.at(-1)?.toFixed(1)} s, plain ${plain.at(-1)?.toFixed(1)} s`);
      drop(source, plainCopy, "plain");
      // The last one is measured under load.
      if (round < options.rounds) drop(source, ourCopy, pair.settings.name);
      last = pair;
    }
    const lags = await lagUnderLoad(last!, options.writers, options.seconds);
    const row = (what: string, runs: readonly number[]): string[] => {
      const middle = median(runs);
      return [what, middle.toFixed(1), (heap / middle).toFixed(1)];
    };
    console.log(`${heap.toFixed(0)} MB of heap, medians of ${options.rounds} alternating rounds\n`);
    console.log(
      markdownTable(
        ["first copy", "seconds", "MB/s"],
        [row("dbprotect replication:setup", ours), row("pg_dump -s, CREATE SUBSCRIPTION", plain)],
      ),
    );
    console.log(
      `\nunder ${options.writers} writers, ${lags.perSecond.toFixed(0)} transactions a second, of ${lags.seen.length} heartbeats:`,
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

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

function pairOf(sourceUrl: string, replicaUrl: string, name: string): ReplicaPair {
  return {
    source: parseTarget(sourceUrl, "DATABASE_URL"),
    route: parseTarget(sourceUrl, "DATABASE_URL"),
    replica: parseTarget(replicaUrl, "REPLICA_DATABASE_URL"),
    settings: replicaSettingsSchema.parse({ name }),
  };
}

/** As the manual has it: definitions, publication, subscription; until every table is ready. */
async function copyPlainly(source: BenchServer, copy: string): Promise<void> {
  const dump = execFileSync(join(source.binDir, "pg_dump"), [
    ...[source.url, "--schema-only", "--no-publications", "--schema=public"],
  ]);
  execFileSync(join(source.binDir, "psql"), [copy, "-Xq"], { input: dump, stdio: ["pipe", "ignore", "ignore"] });
  source.psql(["-c", "CREATE PUBLICATION plain FOR TABLE customers, orders, events"]);
  source.psql(["-c", `CREATE SUBSCRIPTION plain CONNECTION '${libpqOf(source.url)}' PUBLICATION plain`], copy);
  await withConnection(parseTarget(copy, "REPLICA_DATABASE_URL"), (client) =>
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

/** What replicates into a copy, on both sides, and the copy's tables. */
function drop(source: BenchServer, copy: string, name: string): void {
  source.psql(["-c", `DROP SUBSCRIPTION ${name}`], copy);
  source.psql(["-c", `DROP PUBLICATION ${name}`]);
  source.psql(["-c", "DROP TABLE customers, orders, events"], copy);
}

/** From a heartbeat's commit on the source until the replica has it, one after the other. */
async function lagUnderLoad(
  pair: ReplicaPair,
  writers: number,
  duration: number,
): Promise<{ seen: number[]; perSecond: number }> {
  const end = performance.now() + duration * 1000;
  let committed = 0;
  const write = (): Promise<void> =>
    withConnection(pair.source, async (client) => {
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

void runProgram(command);
