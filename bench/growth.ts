/**
 * `npm run bench:growth`: how a backup to S3 and the restore of it grow with the size of a database, and with the number of its tables:
 * time, memory, requests. What it measures is committed, for docs/benchmarks.md to tell and draw.
 */
import { writeFileSync } from "node:fs";
import { Command } from "commander";
import { type Cost, type Growth, type Grown, growthFile, readGrowth, withMeasured } from "../docs/generate/growth";
import { thisMachine } from "../docs/generate/machine";
import { runProgram } from "../scripts/commandLine";
import { startS3FaultProxy } from "../tests/servers/s3FaultProxy";
import { startSeaweed } from "../tests/servers/seaweedfs";
import { measure } from "./measure";
import { say, wholeNumbers } from "./options";
import { bin, startOnce } from "./program";
import { BenchServer, productionSettings } from "./server";

/** Rows of each of many tables. */
const rowsPerTable = 10;

/** A transaction that makes more locks more tables than the server has room for. */
const tablesPerTransaction = 500;

const settings = {
  ...productionSettings,
  // Dumping 20,000 tables takes that many locks (PostgreSQL manual, "19.12 Lock Management").
  max_locks_per_transaction: "1024",
};

interface Options {
  readonly megabytes: readonly number[];
  readonly tables: readonly number[];
}

const command = new Command("npm run bench:growth --")
  .description("How backup and restore grow with the size of a database and the number of its tables.")
  .option("--megabytes <numbers>", "sizes of heap, with commas between", wholeNumbers, [100, 500, 2000, 10_000])
  .option("--tables <numbers>", "numbers of tables, with commas between", wholeNumbers, [10, 100, 1000, 10_000, 20_000])
  .action(measureGrowth);

/** What was measured is kept size by size: a long run that ends early was not for nothing. */
async function measureGrowth({ megabytes, tables }: Options): Promise<void> {
  startOnce();
  for (const each of megabytes) keep("bySize", await grow({ megabytes: each }));
  for (const each of tables) keep("byTables", await grow({ tables: each }));
  say(`${growthFile}: now npm run docs:generate`);
}

interface Measured {
  readonly postgres: string;
  readonly grown: Grown;
}

/** On servers of its own: nothing of a larger one is left in any cache of theirs. */
async function grow(wanted: { readonly megabytes: number } | { readonly tables: number }): Promise<Measured> {
  const [server, seaweed] = await Promise.all([BenchServer.start(settings), startSeaweed()]);
  const proxy = await startS3FaultProxy(seaweed.endpoint, () => undefined);
  try {
    say(`loading ${JSON.stringify(wanted)}`);
    if ("tables" in wanted) server.psql(["-c", manyTables(wanted.tables), "-c", "CALL make_tables()"]);
    else server.load(wanted.megabytes);
    const size = "tables" in wanted ? wanted.tables : Math.round(server.heapMegabytes());
    await seaweed.createBucket("bench");
    const env = {
      ...{ ...process.env, ...seaweed.env, AWS_ENDPOINT_URL_S3: proxy.endpoint },
      ...{ DATABASE_URL: server.url, BACKUP_STORE: "s3://bench/store" },
    };
    const counted = async (line: string): Promise<Cost> => {
      const before = proxy.requests.length;
      const { seconds, cpuSeconds, peakMegabytes } = await measure(line, env);
      return {
        ...{ seconds: hundredths(seconds), cpuSeconds: hundredths(cpuSeconds) },
        ...{ peakMegabytes: Math.round(peakMegabytes), requests: proxy.requests.length - before },
      };
    };
    const backup = await counted(`${bin} db:backup --depth 1`);
    const restore = await counted(`${bin} db:restore latest --database bench_restored --yes`);
    say(`${size}: backup ${backup.seconds.toFixed(1)} s, restore ${restore.seconds.toFixed(1)} s`);
    return { postgres: server.version(), grown: { size, on: new Date().toISOString().slice(0, 10), backup, restore } };
  } finally {
    await Promise.all([server.stop(), seaweed.stop(), proxy.stop()]);
  }
}

/** More of them says nothing. */
function hundredths(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}

function manyTables(count: number): string {
  return `CREATE PROCEDURE make_tables() LANGUAGE plpgsql AS $$
    BEGIN
      FOR number IN 1..${count} LOOP
        EXECUTE format('CREATE TABLE t%s (id bigint PRIMARY KEY, name text NOT NULL, at timestamptz DEFAULT now())', number);
        EXECUTE format('INSERT INTO t%s SELECT n, ''row '' || n FROM generate_series(1, ${rowsPerTable}) n', number);
        IF number % ${tablesPerTransaction} = 0 THEN COMMIT; END IF;
      END LOOP;
    END $$`;
}

function keep(how: "bySize" | "byTables", { postgres, grown }: Measured): void {
  const measured: Growth = {
    ...{ schemaVersion: 1, machine: thisMachine(), postgres, node: process.version },
    ...{ bySize: [], byTables: [], [how]: [grown] },
  };
  writeFileSync(growthFile, `${JSON.stringify(withMeasured(readGrowth(), measured), null, 2)}\n`);
}

void runProgram(command);
