/**
 * `npm run bench`: this project's backup against what a user would run instead, side by side on embedded servers.
 * Every contender runs in turn, the whole round several times; what it measures is kept for docs/benchmarks.md.
 */
import { spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { format, resolveConfig } from "prettier";
import { thisMachine } from "../docs/generate/machine";
import {
  type Group,
  type MeasuredContender,
  type MeasuredGroup,
  groups,
  readSideBySide,
  sideBySideFile,
  tableOf,
  withMeasured,
} from "../docs/generate/sideBySide";
import { runProgram } from "../scripts/commandLine";
import { startSeaweed } from "../tests/servers/seaweedfs";
import { type Contender, type Place, backupContenders } from "./contenders";
import { type Measurement, measure } from "./measure";
import { megabytes, regularExpression, rounds, say } from "./options";
import { startOnce } from "./program";
import { recoveryContenders } from "./recovery";
import { BenchServer, productionSettings } from "./server";

interface Options {
  readonly megabytes: number;
  readonly rounds: number;
  readonly only: RegExp;
}

const command = new Command("npm run bench --")
  .description("This project's backup and restore against what a user would run instead.")
  .addOption(megabytes(2048))
  .addOption(rounds(3))
  .option(
    "--only <pattern>",
    "a regular expression of those that run, as in 'backup: pg_dump -Fc'",
    regularExpression,
    /(?:)/,
  )
  .action(compare);

async function compare(options: Options): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-bench-"));
  const [server, seaweed] = await Promise.all([BenchServer.start(productionSettings), startSeaweed()]);
  try {
    say(`loading ${options.megabytes} MB`);
    server.load(options.megabytes);
    const conditions = { heapMegabytes: Math.round(server.heapMegabytes()), postgres: server.version() };
    await seaweed.createBucket("bench");
    const env = { ...process.env, ...seaweed.env, DATABASE_URL: server.url, AWS_DEFAULT_REGION: seaweed.region };
    startOnce();
    const results = new Map<Group, Map<string, MeasuredContender>>(groups.map((group) => [group, new Map()]));
    for (let round = 1; round <= options.rounds; round++) {
      const place = {
        folder: join(folder, `round-${round}`),
        bucket: `s3://bench/round-${round}`,
        binDir: server.binDir,
      };
      mkdirSync(place.folder);
      for (const [group, contender] of contendersOf(place)) {
        if (!options.only.test(`${group}: ${contender.name}`)) continue;
        if (contender.needs !== undefined && spawnSync("which", [contender.needs]).status !== 0) {
          if (round === 1) say(`left out, there is no ${contender.needs} here: ${contender.name}`);
          continue;
        }
        if (contender.prepare !== undefined) await measure(contender.prepare, env);
        const run = await measure(contender.command, env);
        const megabytes = sizeOf(contender, env);
        if (contender.after !== undefined) await measure(contender.after, env);
        say(`${round} ${contender.name}: ${run.seconds.toFixed(1)} s`);
        const measured = results.get(group)!;
        measured.set(contender.name, withRun(measured.get(contender.name), contender, { ...run, megabytes }));
      }
      rmSync(place.folder, { recursive: true });
    }
    for (const [group, measured] of results) {
      if (measured.size > 0) await keep(group, { ...conditions, contenders: [...measured.values()] });
    }
  } finally {
    await Promise.all([server.stop(), seaweed.stop()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

function contendersOf(place: Place): (readonly [Group, Contender])[] {
  const all = { backup: backupContenders(place), "after a release": recoveryContenders(place) };
  return groups.flatMap((group) => all[group].map((contender) => [group, contender] as const));
}

function withRun(
  before: MeasuredContender | undefined,
  { name, ours, against }: Contender,
  { seconds, cpuSeconds, peakMegabytes, megabytes }: Measurement & { megabytes: number | undefined },
): MeasuredContender {
  const hundredths = (value: number): number => Math.round(value * 100) / 100;
  return {
    ...{ name, ours, against: against ?? null, megabytes: megabytes === undefined ? null : Math.round(megabytes) },
    seconds: [...(before?.seconds ?? []), hundredths(seconds)],
    cpuSeconds: [...(before?.cpuSeconds ?? []), hundredths(cpuSeconds)],
    peakMegabytes: [...(before?.peakMegabytes ?? []), Math.round(peakMegabytes)],
  };
}

/** What is measured is committed, for docs/benchmarks.md to tell and draw. */
async function keep(
  group: Group,
  measured: Pick<MeasuredGroup, "postgres" | "heapMegabytes" | "contenders">,
): Promise<void> {
  const figures = {
    ...{ machine: thisMachine(), node: process.version, on: new Date().toISOString().slice(0, 10) },
    ...measured,
  };
  console.log(`${tableOf(figures)}\n`);
  const file = withMeasured(readSideBySide(), group, figures);
  const style = await resolveConfig(sideBySideFile);
  writeFileSync(sideBySideFile, await format(JSON.stringify(file), { ...style, parser: "json" }));
  say(`${group}: kept in ${sideBySideFile}; now npm run docs:generate`);
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

void runProgram(command);
