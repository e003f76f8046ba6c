/**
 * What is not the backup: the gate's other steps, the start of the command line, the program's preview at Level 3.
 *
 * Usage: node --require tsx/cjs bench/overhead.ts [--rounds 5] [--megabytes 100]
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { startCluster, urlOf } from "../scripts/scratch/cluster";
import { bin } from "./contenders";
import { measure } from "./measure";

/** Steps that read and write the data itself; everything else of a gate is overhead. */
const dataSteps = new Set(["backup", "verification", "trial"]);

const gateSchema = z.object({ steps: z.array(z.object({ step: z.string(), seconds: z.number() })) });

/** Nothing but the data is looked at: no platform is asked. */
const settings = JSON.stringify({
  environment: { required: [], critical: [] },
  platform: { kind: "postgres", level: 1, requirements: { backup: "ignore" } },
  checks: "none",
});

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: "string", default: "5" }, megabytes: { type: "string", default: "100" } },
  });
  const rounds = Array.from({ length: Number(values.rounds) }, (_, round) => round);
  const cluster = await startCluster({ listen: "loopback", lifetime: { kind: "parent" }, purpose: "test" });
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-bench-"));
  try {
    const url = urlOf(cluster.place, "bench");
    const psql = (place: string, ...words: string[]): void =>
      void execFileSync(join(cluster.binDir, "psql"), [place, "-Xq", "-v", "ON_ERROR_STOP=1", ...words]);
    psql(cluster.url, "-c", "CREATE DATABASE bench");
    psql(url, "-v", `megabytes=${values.megabytes}`, "-f", join(__dirname, "data.sql"));
    const env = {
      ...{ ...process.env, DATABASE_URL: url, BACKUP_PASSPHRASE: "bench", DBPROTECT_SETTINGS: settings },
      BACKUP_STORE: `file://${join(folder, "store")}`,
    };
    const whole: number[] = [];
    const others: number[] = [];
    for (const round of rounds) {
      const document = join(folder, `gate-${round}.json`);
      const { seconds } = await measure(`${bin} gate run --take-over --json > ${document}`, env);
      const { steps } = gateSchema.parse(JSON.parse(readFileSync(document, "utf8")));
      const data = steps.filter(({ step }) => dataSteps.has(step)).reduce((sum, step) => sum + step.seconds, 0);
      whole.push(seconds);
      others.push(seconds - data);
    }
    const help: number[] = [];
    const preview: number[] = [];
    for (let round = 0; round < rounds.length; round++) {
      help.push((await measure(`${bin} --help > /dev/null`, env)).seconds);
      preview.push((await measure(previewOfLevel3(join(folder, "recorded.json")), process.env)).seconds);
    }
    console.log("| what | seconds, median | lowest | highest |\n| --- | --- | --- | --- |");
    row(`gate run of ${values.megabytes} MB, all of it`, whole);
    row("the same without backup, verification and trial", others);
    row("dbprotect --help", help);
    row("the program of a Level 3 stack, in preview, under Pulumi's mocks", preview);
  } finally {
    await cluster.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Process start, loading of SDK and program, and every resource registered; no engine and no provider take part. */
function previewOfLevel3(output: string): string {
  const host = resolve(__dirname, "../tests/components/recordHost.ts");
  const job = { declaration: "exampleOfLevelThree", preview: true, failing: [], halting: false };
  return `node --require tsx/cjs ${host} '${JSON.stringify(job)}' ${output}`;
}

function row(what: string, seconds: readonly number[]): void {
  const sorted = [...seconds].sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1] ?? Number.NaN;
  console.log(`| ${[what, ...[median, sorted[0]!, sorted.at(-1)!].map((value) => value.toFixed(2))].join(" | ")} |`);
}

// Its sources are bundled at the first start, which no user waits for twice.
spawnSync("bash", ["-c", `${bin} --version`]);
void main();
