/**
 * How a backup to S3 and the restore of it grow with the size of a database, and with the number of its tables: time,
 * memory, requests.
 *
 * Usage: node --require tsx/cjs bench/growth.ts [--megabytes 100,500,2000,10000] [--tables 10,100,1000,10000,20000]
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startCluster, urlOf } from "../scripts/scratch/cluster";
import { startS3FaultProxy } from "../tests/servers/s3FaultProxy";
import { startSeaweed } from "../tests/servers/seaweedfs";
import { lineChart } from "./chart";
import { bin } from "./contenders";
import { type Measurement, measure } from "./measure";

/** What one database took, there and back. */
interface Grown {
  /** Megabytes of heap, or tables. */
  readonly size: number;
  readonly backup: Measurement & { readonly requests: number };
  readonly restore: Measurement & { readonly requests: number };
}

/** Rows of each of many tables. */
const rowsPerTable = 10;

/** A transaction that makes more locks more tables than the server has room for. */
const tablesPerTransaction = 500;

const serverSettings = {
  ...{ fsync: "on", synchronous_commit: "on", full_page_writes: "on", shared_buffers: "1GB", max_wal_size: "4GB" },
  // Dumping 20,000 tables takes that many locks (PostgreSQL manual, "19.12 Lock Management").
  max_locks_per_transaction: "1024",
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      megabytes: { type: "string", default: "100,500,2000,10000" },
      tables: { type: "string", default: "10,100,1000,10000,20000" },
    },
  });
  const bySize: Grown[] = [];
  for (const megabytes of numbers(values.megabytes)) bySize.push(await grow({ megabytes }));
  const byTables: Grown[] = [];
  for (const tables of numbers(values.tables)) byTables.push(await grow({ tables }));
  if (bySize.length > 0) report("MB of heap", bySize);
  if (byTables.length > 0) report("tables", byTables);
}

function numbers(text: string): number[] {
  return text
    .split(",")
    .filter((word) => word !== "")
    .map(Number);
}

/** On servers of its own: nothing of a larger one is left in any cache of theirs. */
async function grow(wanted: { readonly megabytes: number } | { readonly tables: number }): Promise<Grown> {
  const [cluster, seaweed] = await Promise.all([
    startCluster({ listen: "loopback", lifetime: { kind: "parent" }, purpose: "test", settings: serverSettings }),
    startSeaweed(),
  ]);
  const proxy = await startS3FaultProxy(seaweed.endpoint, () => undefined);
  try {
    const url = urlOf(cluster.place, "bench");
    const psql = (place: string, ...words: string[]): string =>
      execFileSync(join(cluster.binDir, "psql"), [place, "-XAtq", "-v", "ON_ERROR_STOP=1", ...words], {
        encoding: "utf8",
      });
    psql(cluster.url, "-c", "CREATE DATABASE bench");
    say(`loading ${JSON.stringify(wanted)}`);
    if ("tables" in wanted) psql(url, "-c", manyTables(wanted.tables), "-c", "CALL make_tables()");
    else psql(url, "-v", `megabytes=${wanted.megabytes}`, "-f", join(__dirname, "data.sql"));
    const heap = Number(
      psql(
        url,
        "-c",
        "SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
      ),
    );
    await seaweed.createBucket("bench");
    const env = {
      ...{ ...process.env, ...seaweed.env, AWS_ENDPOINT_URL_S3: proxy.endpoint },
      ...{ DATABASE_URL: url, BACKUP_STORE: "s3://bench/store" },
    };
    const counted = async (command: string): Promise<Grown["backup"]> => {
      const before = proxy.requests.length;
      const measured = await measure(command, env);
      return { ...measured, requests: proxy.requests.length - before };
    };
    const backup = await counted(`${bin} db:backup --depth 1`);
    const restore = await counted(`${bin} db:restore latest --database bench_restored --yes`);
    const size = "tables" in wanted ? wanted.tables : Math.round(heap / 1e6);
    say(`${size}: backup ${backup.seconds.toFixed(1)} s, restore ${restore.seconds.toFixed(1)} s`);
    return { size, backup, restore };
  } finally {
    await Promise.all([cluster.stop(), seaweed.stop(), proxy.stop()]);
  }
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

/** Markdown, for docs/benchmarks.md. */
function report(what: string, grown: readonly Grown[]): void {
  console.log(`| ${what} | backup s | CPU s | peak MB | requests | restore s | CPU s | peak MB | requests |`);
  console.log("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
  for (const { size, backup, restore } of grown) {
    const cells = [backup, restore].flatMap(({ seconds, cpuSeconds, peakMegabytes, requests }) => [
      seconds.toFixed(1),
      cpuSeconds.toFixed(1),
      peakMegabytes.toFixed(0),
      String(requests),
    ]);
    console.log(`| ${size.toLocaleString("en-US")} | ${cells.join(" | ")} |`);
  }
  const chartOf = (title: string, unit: string, value: (measured: Grown["backup"]) => number): string =>
    lineChart({
      ...{ title, unit, axis: what, sizes: grown.map(({ size }) => size) },
      lines: [grown.map(({ backup }) => value(backup)), grown.map(({ restore }) => value(restore))],
    });
  console.log(`\n${chartOf("Seconds: backup, restore", "s", ({ seconds }) => seconds)}`);
  console.log(`\n${chartOf("Memory: backup, restore", "MB", ({ peakMegabytes }) => peakMegabytes)}`);
  console.log(`\n${chartOf("Requests to S3: backup, restore", "requests", ({ requests }) => requests)}\n`);
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

void main();
