/** Ended at any moment, a gate or backup leaves nothing half-done that looks done, and the next run passes. */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { listBackups } from "../../scripts/backup/manifest";
import { readLease } from "../../scripts/control/lease";
import { openStore } from "../../scripts/store/openStore";
import { runCli, startCli } from "../servers/cli";
import { closeCrmClients, deploymentVariables, freshCrm, freshStore } from "../servers/crm";

/** Large enough that a dump takes a moment. */
const clients = 20_000;

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (await holds()) return;
    await sleep(25);
  }
  assert.fail(`never happened: ${what}`);
}

describe("interruption", () => {
  let url: string;
  let client: Awaited<ReturnType<typeof freshCrm>>["client"];
  before(async function () {
    this.timeout(60_000);
    ({ url, client } = await freshCrm(clients));
  });
  after(closeCrmClients);

  /** Nothing of ours may stay connected: a leftover snapshot would hold back vacuum, a leftover lock the next run. */
  async function noSessionLeft(): Promise<void> {
    await until("our sessions are gone", async () => {
      const { rows } = await client.query<{ left: number }>(
        "SELECT count(*)::int AS left FROM pg_stat_activity WHERE datname = current_database() AND application_name IN ('dbprotect', 'pg_dump')",
      );
      return rows[0]!.left === 0;
    });
  }

  for (const signal of ["SIGTERM", "SIGHUP", "SIGKILL"] as const) {
    it(`${signal} in the middle of a backup: no manifest, and the next run passes`, async function () {
      this.timeout(90_000);
      const storeUrl = freshStore();
      const env = { DATABASE_URL: url, BACKUP_STORE: storeUrl };
      const run = startCli(["db:backup", "--depth", "3"], env);
      await until("pg_dump copies the rows", () => run.stderr().includes("schema-pre.dump.zst"));
      run.process.kill(signal);
      const { code, stderr } = await run.ended;
      assert.equal(code, signal === "SIGKILL" ? null : 130, stderr);
      assert.deepEqual(await listBackups(openStore(storeUrl)), []);
      assert.deepEqual(globSync(`${new URL(storeUrl).pathname}/**/manifest.json`), []);
      await noSessionLeft();
      const next = await runCli(["db:backup", "--depth", "3"], env);
      assert.equal(next.code, 0, next.stderr);
      assert.equal((await listBackups(openStore(storeUrl))).length, 1);
    });
  }

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    it(`${signal} in the middle of a gate: the lease is free again, no receipt, and the next gate passes`, async function () {
      this.timeout(120_000);
      const storeUrl = freshStore();
      const env = {
        DATABASE_URL: url,
        BACKUP_STORE: storeUrl,
        DBPROTECT_RELEASE_VERSION: "v1",
        // A gate that was killed leaves its scratch server to its deadline: a near one here.
        DBPROTECT_SETTINGS: JSON.stringify({ verification: { scratchHours: 0.01 } }),
        ...deploymentVariables,
      };
      const run = startCli(["gate", "run"], env);
      await until("the backup is being restored", () => run.stderr().includes("schema-pre.dump.zst restored"));
      run.process.kill(signal);
      const { code, stderr } = await run.ended;
      if (signal === "SIGTERM") {
        assert.equal(code, 130, stderr);
        assert.equal((await readLease(openStore(storeUrl)))?.phase, "released");
      }
      assert.deepEqual(globSync(`${new URL(storeUrl).pathname}/receipts/*`), []);
      await noSessionLeft();
      const next = await runCli(["gate", "run", "--json"], env);
      assert.equal(next.code, 0, next.stderr);
      assert.equal((JSON.parse(next.stdout) as { verdict: string }).verdict, "pass");
    });
  }

  it("two gates at once: one passes, the other is told who holds the lease (3)", async function () {
    this.timeout(90_000);
    const env = {
      DATABASE_URL: url,
      BACKUP_STORE: freshStore(),
      DBPROTECT_RELEASE_VERSION: "v1",
      ...deploymentVariables,
    };
    const runs = await Promise.all([1, 2].map((n) => runCli(["gate", "run"], { ...env, DBPROTECT_STACK: `crm/${n}` })));
    assert.deepEqual(runs.map(({ code }) => code).sort(), [0, 3], runs.map(({ stderr }) => stderr).join("\n"));
    assert.match(runs.find(({ code }) => code === 3)!.stderr, /held by/);
    assert.equal((await listBackups(openStore(env.BACKUP_STORE))).length, 1);
  });

  it("SIGTERM or SIGINT in the middle of a restore: the new database is gone again", async function () {
    this.timeout(120_000);
    const env = { DATABASE_URL: url, BACKUP_STORE: freshStore() };
    assert.equal((await runCli(["db:backup", "--depth", "1"], env)).code, 0);
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const run = startCli(["db:restore", "latest", "--yes"], env);
      await until("the rows are being restored", () => run.stderr().includes("schema-pre.dump.zst restored"));
      run.process.kill(signal);
      assert.equal((await run.ended).code, 130, signal);
      const { rows } = await client.query("SELECT datname FROM pg_database WHERE datname LIKE '%restored%'");
      assert.deepEqual(rows, [], signal);
    }
    const next = await runCli(["db:restore", "latest", "--yes"], env);
    assert.equal(next.code, 0, next.stderr);
  });
});
