/**
 * `npm run bench`: this project's backup against what a user would run instead, side by side on embedded servers.
 * Every contender runs in turn, the whole round several times, and the table holds medians.
 *
 * Usage: npm run bench -- [--megabytes 2048] [--rounds 3] [--only <regular expression of names>]
 */
import { execFileSync, spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startCluster, urlOf } from "../scripts/scratch/cluster";
import { startSeaweed } from "../tests/servers/seaweedfs";
import { type Contender, contenders } from "./contenders";
import { type Measurement, measure } from "./measure";
import { recoveryContenders } from "./recovery";

interface Result {
  readonly name: string;
  readonly runs: readonly Measurement[];
  readonly megabytes: number | undefined;
  readonly against: string | undefined;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      megabytes: { type: "string", default: "2048" },
      rounds: { type: "string", default: "3" },
      only: { type: "string", default: "" },
    },
  });
  const only = new RegExp(values.only);
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-bench-"));
  const [cluster, seaweed] = await Promise.all([
    // As a server in production: everything synced, room for what a small one has.
    startCluster({
      listen: "loopback",
      lifetime: { kind: "parent" },
      purpose: "test",
      settings: {
        fsync: "on",
        synchronous_commit: "on",
        full_page_writes: "on",
        shared_buffers: "1GB",
        max_wal_size: "4GB",
      },
    }),
    startSeaweed(),
  ]);
  try {
    const psql = join(cluster.binDir, "psql");
    const url = urlOf(cluster.place, "bench");
    execFileSync(psql, [cluster.url, "-Xqc", "CREATE DATABASE bench"]);
    say(`loading ${values.megabytes} MB`);
    execFileSync(psql, [
      url,
      "-Xq",
      "-v",
      "ON_ERROR_STOP=1",
      "-v",
      `megabytes=${values.megabytes}`,
      "-f",
      join(__dirname, "data.sql"),
    ]);
    const heap = execFileSync(psql, [
      url,
      "-XAtc",
      "SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    ]);
    await seaweed.createBucket("bench");
    const env = { ...process.env, ...seaweed.env, DATABASE_URL: url, AWS_DEFAULT_REGION: seaweed.region };
    // Its sources are bundled at the first start, which no user waits for twice.
    execFileSync("node", [join(__dirname, "../bin/dbprotect.js"), "--version"]);
    const results = new Map<string, Result>();
    for (let round = 1; round <= Number(values.rounds); round++) {
      const place = {
        folder: join(folder, `round-${round}`),
        bucket: `s3://bench/round-${round}`,
        binDir: cluster.binDir,
      };
      mkdirSync(place.folder);
      const all = [...contenders(place), ...recoveryContenders(place)];
      for (const contender of all.filter(({ name }) => only.test(name))) {
        if (contender.needs !== undefined && spawnSync("which", [contender.needs]).status !== 0) {
          if (round === 1) say(`left out, there is no ${contender.needs} here: ${contender.name}`);
          continue;
        }
        if (contender.prepare !== undefined) await measure(contender.prepare, env);
        const run = await measure(contender.command, env);
        if (contender.after !== undefined) await measure(contender.after, env);
        say(`${round} ${contender.name}: ${run.seconds.toFixed(1)} s`);
        const before = results.get(contender.name)?.runs ?? [];
        results.set(contender.name, {
          name: contender.name,
          runs: [...before, run],
          megabytes: sizeOf(contender, env),
          against: contender.against,
        });
      }
      rmSync(place.folder, { recursive: true });
    }
    const version = execFileSync(psql, [url, "-XAtc", "SHOW server_version"], { encoding: "utf8" }).trim();
    console.log(
      `${cpus().length} cores, PostgreSQL ${version}, ${(Number(heap) / 1e6).toFixed(0)} MB of heap, medians of ${values.rounds} alternating runs\n`,
    );
    console.log(table([...results.values()]));
  } finally {
    await Promise.all([cluster.stop(), seaweed.stop()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}

function sizeOf({ leaves }: Contender, env: NodeJS.ProcessEnv): number | undefined {
  if (leaves === undefined) return undefined;
  if (!leaves.startsWith("s3://")) return bytesBelow(leaves) / 1e6;
  const words = ["--endpoint-url", env["AWS_ENDPOINT_URL_S3"] ?? "", "s3", "ls", "--recursive", "--summarize", leaves];
  const listed = spawnSync("aws", words, { env, encoding: "utf8" });
  const bytes = /Total Size: (\d+)/.exec(listed.stdout ?? "")?.[1];
  return bytes === undefined ? undefined : Number(bytes) / 1e6;
}

function bytesBelow(path: string): number {
  const entry = lstatSync(path);
  if (!entry.isDirectory()) return entry.size;
  return readdirSync(path).reduce((sum, name) => sum + bytesBelow(join(path, name)), 0);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Markdown, for docs/benchmarks.md; speed against the plain `pg_dump -Fc`, or the time as a multiple of another's. */
function table(results: readonly Result[]): string {
  const wall = ({ runs }: Result): number => median(runs.map(({ seconds }) => seconds));
  const reference = results.find(({ name }) => name === "pg_dump -Fc to a file");
  const ratioOf = (result: Result): string => {
    const other = results.find(({ name }) => name === result.against);
    if (other !== undefined) return `${(wall(result) / wall(other)).toFixed(2)} times ${other.name}`;
    return reference === undefined ? "" : `${(wall(reference) / wall(result)).toFixed(2)}x`;
  };
  const lines = results.map((result) => {
    const cells = [
      result.name,
      wall(result).toFixed(1),
      ratioOf(result),
      median(result.runs.map(({ cpuSeconds }) => cpuSeconds)).toFixed(1),
      Math.max(...result.runs.map(({ peakMegabytes }) => peakMegabytes)).toFixed(0),
      result.megabytes?.toFixed(0) ?? "",
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return [
    "| command | seconds | speed | CPU s | peak MB | MB out |",
    "| --- | --- | --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}

void main();
