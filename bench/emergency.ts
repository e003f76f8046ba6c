/**
 * `npm run bench:emergency`: how long each step of an emergency takes, by repair and by restore, on an embedded server that syncs as
 * in production. What it measures is committed, for docs/runbook.md to name.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { thisMachine } from "../docs/generate/machine";
import { type MeasuredRun, type Measurements, measurementsFile } from "../docs/generate/measurements";
import { runProgram } from "../scripts/commandLine";
import { megabytes, say } from "./options";
import { BenchServer, productionSettings } from "./server";

const program = resolve(__dirname, "../bin/dbprotect.js");

/** What is broken, and the way back that the plan takes. */
const damages = [
  { way: "db:repair", damage: "DELETE FROM orders WHERE id % 10 = 0" },
  { way: "db:emergency-restore", damage: "ALTER TABLE orders DROP COLUMN lines" },
] as const;

const command = new Command("npm run bench:emergency --")
  .description("How long each step of an emergency takes, by repair and by restore.")
  .addOption(megabytes(200))
  .action(measureEmergencies);

async function measureEmergencies(options: { readonly megabytes: number }): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-bench-"));
  const server = await BenchServer.start(productionSettings);
  try {
    server.load(options.megabytes);
    const runs: MeasuredRun[] = [];
    for (const { way, damage } of damages) {
      // A store of its own: what was restored before must not count as known.
      const env = environment(server.url, join(folder, way.replace(":", "-")));
      const run = (words: readonly string[]): string =>
        execFileSync("node", [program, ...words], { env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
      run(["db:backup"]);
      server.psql(["-c", damage]);
      const plan = join(folder, "plan.json");
      writeFileSync(plan, JSON.stringify({ person: "bench", reason: "measured", recover: way }));
      const { steps } = JSON.parse(run(["emergency", "--plan", plan, "--yes", "--json"])) as MeasuredRun;
      runs.push({ way, damage, steps: steps.map(({ step, seconds }) => ({ step, seconds })) });
    }
    const [bytes = 0, rows = 0] = server
      .psql([
        "-c",
        "SELECT pg_database_size(current_database()), (SELECT sum(n) FROM (SELECT count(*) AS n FROM customers UNION ALL SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM events) AS counts)",
      ])
      .split("|")
      .map(Number);
    const measured: Measurements = {
      ...{ schemaVersion: 1, at: new Date().toISOString(), bytes, rows },
      ...{ machine: thisMachine(), postgres: server.version(), node: process.version, runs },
    };
    writeFileSync(measurementsFile, `${JSON.stringify(measured, null, 2)}\n`);
    say(`${measurementsFile}: now npm run docs:generate`);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function environment(url: string, store: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    ...{ DATABASE_URL: url, BACKUP_STORE: `file://${store}`, DBPROTECT_REPORTS: `${store}-reports` },
    BACKUP_PASSPHRASE: "bench",
    DBPROTECT_SETTINGS: JSON.stringify({ checks: "none", environment: { required: [], critical: [] } }),
  };
}

void runProgram(command);
