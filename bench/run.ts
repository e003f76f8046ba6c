/**
 * `npm run bench`: this project's backup against what a user would run instead, side by side on embedded servers.
 * Every contender runs in turn, the whole round several times, and the table holds medians.
 */
import { spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { markdownTable } from "../docs/generate/markdown";
import { runProgram } from "../scripts/commandLine";
import { startSeaweed } from "../tests/servers/seaweedfs";
import { type Contender, contenders } from "./contenders";
import { type Measurement, measure } from "./measure";
import { megabytes, regularExpression, rounds, say } from "./options";
import { startOnce } from "./program";
import { recoveryContenders } from "./recovery";
import { BenchServer, productionSettings } from "./server";
import { median } from "./statistics";

interface Result {
  readonly name: string;
  readonly runs: readonly Measurement[];
  readonly megabytes: number | undefined;
  readonly against: string | undefined;
}

interface Options {
  readonly megabytes: number;
  readonly rounds: number;
  readonly only: RegExp;
}

const command = new Command("npm run bench --")
  .description("This project's backup and restore against what a user would run instead.")
  .addOption(megabytes(2048))
  .addOption(rounds(3))
  .option("--only <pattern>", "a regular expression of the names of those that run", regularExpression, /(?:)/)
  .action(compare);

async function compare(options: Options): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-bench-"));
  const [server, seaweed] = await Promise.all([BenchServer.start(productionSettings), startSeaweed()]);
  try {
    say(`loading ${options.megabytes} MB`);
    server.load(options.megabytes);
    const heap = server.heapMegabytes();
    await seaweed.createBucket("bench");
    const env = { ...process.env, ...seaweed.env, DATABASE_URL: server.url, AWS_DEFAULT_REGION: seaweed.region };
    startOnce();
    const results = new Map<string, Result>();
    for (let round = 1; round <= options.rounds; round++) {
      const place = {
        folder: join(folder, `round-${round}`),
        bucket: `s3://bench/round-${round}`,
        binDir: server.binDir,
      };
      mkdirSync(place.folder);
      const all = [...contenders(place), ...recoveryContenders(place)];
      for (const contender of all.filter(({ name }) => options.only.test(name))) {
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
    console.log(
      `${cpus().length} cores, PostgreSQL ${server.version()}, ${heap.toFixed(0)} MB of heap, medians of ${options.rounds} alternating runs\n`,
    );
    console.log(table([...results.values()]));
  } finally {
    await Promise.all([server.stop(), seaweed.stop()]);
    rmSync(folder, { recursive: true, force: true });
  }
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

/** Markdown, for docs/benchmarks.md; speed against the plain `pg_dump -Fc`, or the time as a multiple of another's. */
function table(results: readonly Result[]): string {
  const wall = ({ runs }: Result): number => median(runs.map(({ seconds }) => seconds));
  const reference = results.find(({ name }) => name === "pg_dump -Fc to a file");
  const ratioOf = (result: Result): string => {
    const other = results.find(({ name }) => name === result.against);
    if (other !== undefined) return `${(wall(result) / wall(other)).toFixed(2)} times ${other.name}`;
    return reference === undefined ? "" : `${(wall(reference) / wall(result)).toFixed(2)}x`;
  };
  return markdownTable(
    ["command", "seconds", "speed", "CPU s", "peak MB", "MB out"],
    results.map((result) => [
      result.name,
      wall(result).toFixed(1),
      ratioOf(result),
      median(result.runs.map(({ cpuSeconds }) => cpuSeconds)).toFixed(1),
      Math.max(...result.runs.map(({ peakMegabytes }) => peakMegabytes)).toFixed(0),
      result.megabytes?.toFixed(0) ?? "",
    ]),
  );
}

void runProgram(command);
