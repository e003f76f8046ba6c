/**
 * `npm run bench:emergency`: how long each step of an emergency takes, by repair and by restore, on an embedded server that syncs as
 * in production. What it measures is committed, for docs/runbook.md to name.
 *
 * Usage: npm run bench:emergency -- [--megabytes 200]
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type MeasuredRun, type Measurements, measurementsFile } from "../docs/generate/measurements";
import { startCluster, urlOf } from "../scripts/scratch/cluster";

const program = resolve(__dirname, "../bin/dbprotect.js");

/** What is broken, and the way back that the plan takes. */
const damages = [
  { way: "db:repair", damage: "DELETE FROM orders WHERE id % 10 = 0" },
  { way: "db:emergency-restore", damage: "ALTER TABLE orders DROP COLUMN lines" },
] as const;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { megabytes: { type: "string", default: "200" } } });
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-bench-"));
  const cluster = await startCluster({
    ...{ listen: "loopback", lifetime: { kind: "parent" }, purpose: "test" },
    settings: {
      fsync: "on",
      synchronous_commit: "on",
      full_page_writes: "on",
      shared_buffers: "1GB",
      max_wal_size: "4GB",
    },
  });
  const psql = (url: string, ...words: string[]): string =>
    execFileSync(join(cluster.binDir, "psql"), [url, "-XqAt", "-v", "ON_ERROR_STOP=1", ...words], { encoding: "utf8" });
  try {
    psql(cluster.url, "-c", "CREATE DATABASE bench");
    const url = urlOf(cluster.place, "bench");
    psql(url, "-v", `megabytes=${values.megabytes}`, "-f", join(__dirname, "data.sql"));
    const runs: MeasuredRun[] = [];
    for (const { way, damage } of damages) {
      // A store of its own: what was restored before must not count as known.
      const env = environment(url, join(folder, way.replace(":", "-")));
      const run = (words: readonly string[]): string =>
        execFileSync("node", [program, ...words], { env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
      run(["db:backup"]);
      psql(url, "-c", damage);
      const plan = join(folder, "plan.json");
      writeFileSync(plan, JSON.stringify({ person: "bench", reason: "measured", recover: way }));
      const { steps } = JSON.parse(run(["emergency", "--plan", plan, "--yes", "--json"])) as MeasuredRun;
      runs.push({ way, damage, steps: steps.map(({ step, seconds }) => ({ step, seconds })) });
    }
    const [bytes, rows] = psql(
      url,
      "-c",
      "SELECT pg_database_size(current_database()), (SELECT sum(n) FROM (SELECT count(*) AS n FROM customers UNION ALL SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM events) AS counts)",
    )
      .trim()
      .split("|")
      .map(Number);
    const measured: Measurements = {
      ...{ schemaVersion: 1, at: new Date().toISOString(), bytes: bytes ?? 0, rows: rows ?? 0 },
      machine: { cores: cpus().length, cpu: cpus()[0]?.model.trim() ?? "", memoryBytes: totalmem() },
      ...{ postgres: psql(url, "-c", "SHOW server_version").trim(), node: process.version, runs },
    };
    writeFileSync(measurementsFile, `${JSON.stringify(measured, null, 2)}\n`);
    process.stderr.write(`bench: ${measurementsFile}: now npm run docs:generate\n`);
  } finally {
    await cluster.stop();
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

void main();
