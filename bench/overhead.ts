/**
 * `npm run bench:overhead`: what is not the backup: the gate's other steps, the start of the command line, the program's preview at
 * Level 3.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { z } from "zod";
import { markdownTable } from "../docs/generate/markdown";
import { runProgram } from "../scripts/commandLine";
import { measure } from "./measure";
import { megabytes, rounds } from "./options";
import { bin, startOnce } from "./program";
import { BenchServer } from "./server";
import { median } from "../docs/generate/statistics";

/** Steps that read and write the data itself; everything else of a gate is overhead. */
const dataSteps = new Set(["backup", "verification", "trial"]);

const gateSchema = z.object({ steps: z.array(z.object({ step: z.string(), seconds: z.number() })) });

/** Nothing but the data is looked at: no platform is asked. */
const settings = JSON.stringify({
  environment: { required: [], critical: [] },
  platform: { kind: "postgres", level: 1, requirements: { backup: "ignore" } },
  checks: "none",
});

const command = new Command("npm run bench:overhead --")
  .description("What a gate costs besides the backup, the start of the command line, a preview at Level 3.")
  .addOption(megabytes(100))
  .addOption(rounds(5))
  .action(measureOverhead);

interface Options {
  readonly megabytes: number;
  readonly rounds: number;
}

async function measureOverhead(options: Options): Promise<void> {
  startOnce();
  // What the gate writes besides the backup is a few rows: nothing that syncing would slow.
  const server = await BenchServer.start({});
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-bench-"));
  try {
    server.load(options.megabytes);
    const env = {
      ...{ ...process.env, DATABASE_URL: server.url, BACKUP_PASSPHRASE: "bench", DBPROTECT_SETTINGS: settings },
      BACKUP_STORE: `file://${join(folder, "store")}`,
    };
    const whole: number[] = [];
    const others: number[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      const document = join(folder, `gate-${round}.json`);
      const { seconds } = await measure(`${bin} gate run --take-over --json > ${document}`, env);
      const { steps } = gateSchema.parse(JSON.parse(readFileSync(document, "utf8")));
      const data = steps.filter(({ step }) => dataSteps.has(step)).reduce((sum, step) => sum + step.seconds, 0);
      whole.push(seconds);
      others.push(seconds - data);
    }
    const help: number[] = [];
    const preview: number[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      help.push((await measure(`${bin} --help > /dev/null`, env)).seconds);
      preview.push((await measure(previewOfLevel3(join(folder, "recorded.json")), process.env)).seconds);
    }
    console.log(
      markdownTable(
        ["what", "seconds, median", "lowest", "highest"],
        [
          row(`gate run of ${options.megabytes} MB, all of it`, whole),
          row("the same without backup, verification and trial", others),
          row("dbprotect --help", help),
          row("the program of a Level 3 stack, in preview, under Pulumi's mocks", preview),
        ],
      ),
    );
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Process start, loading of SDK and program, and every resource registered; no engine and no provider take part. */
function previewOfLevel3(output: string): string {
  const host = resolve(__dirname, "../tests/components/recordHost.ts");
  const job = { declaration: "exampleOfLevelThree", preview: true, failing: [], halting: false };
  return `node --require tsx/cjs ${host} '${JSON.stringify(job)}' ${output}`;
}

function row(what: string, seconds: readonly number[]): string[] {
  return [what, ...[median(seconds), Math.min(...seconds), Math.max(...seconds)].map((value) => value.toFixed(2))];
}

void runProgram(command);
