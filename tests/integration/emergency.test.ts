/** `db:emergency-restore`, `db:emergency-verify`, `db:verify:rollback`: the last known good state, back in its place. */
import assert from "node:assert/strict";
import type { Client } from "pg";
import { listBackups, listSuspects } from "../../scripts/backup/manifest";
import { readFreezes } from "../../scripts/control/freeze";
import { openStore } from "../../scripts/store/openStore";
import { type CliRun, runCli } from "../servers/cli";
import { closeCrmClients, deploymentVariables, freshCrm, freshStore } from "../servers/crm";
import { ask as askAt } from "../servers/postgres";

describe("an emergency", function () {
  this.timeout(180_000);
  let env: Record<string, string>;
  let live: string;
  let client: Client;
  let good: string;
  let lost: { client_id: string; title: string } | undefined;

  const cli = (...words: string[]): Promise<CliRun> => runCli(words, env);

  async function passes(...words: string[]): Promise<CliRun> {
    const run = await cli(...words);
    assert.equal(run.code, 0, run.stderr + run.stdout);
    return run;
  }

  const ask = <T>(sql: string): Promise<T[]> => askAt(env["DATABASE_URL"]!, sql);

  before(async () => {
    const crm = await freshCrm();
    client = crm.client;
    live = new URL(crm.url).pathname.slice(1);
    env = {
      DATABASE_URL: crm.url,
      BACKUP_STORE: freshStore(),
      ...deploymentVariables,
      DBPROTECT_RELEASE_VERSION: "v1",
    };
    await client.query(`
      ALTER DATABASE ${live} SET work_mem = '7MB';
      REVOKE ALL ON DATABASE ${live} FROM PUBLIC;
      COMMENT ON DATABASE ${live} IS 'the CRM'`);
  });
  after(closeCrmClients);

  it("has no last known good state before a release was verified: says so, and what could be had by name", async () => {
    await passes("db:backup");
    const run = await cli("db:emergency-restore", "--yes");
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stderr, /no release was ever verified/);
    const [backup] = await listBackups(openStore(env["BACKUP_STORE"]));
    assert.ok(run.stderr.includes(`name it: npm run db:emergency-restore -- ${backup?.name}`), run.stderr);
  });

  it("goes back to the newest verified backup of the last known good state, and not to a newer one", async () => {
    await passes("gate", "run");
    await passes("db:verify:post-deploy");
    good = (await listBackups(openStore(env["BACKUP_STORE"]))).at(-1)!.name;

    await client.query(`
      DELETE FROM clients WHERE id % 10 = 0; DROP VIEW winners; ALTER TABLE tasks DROP COLUMN title;
      ALTER DATABASE ${live} SET app.secret = 'not in any backup';
      ALTER DATABASE ${live} CONNECTION LIMIT 77`);
    await passes("db:backup");
    const newer = (await listBackups(openStore(env["BACKUP_STORE"]))).at(-1)!.name;

    const asked = await cli("db:emergency-restore");
    assert.equal(asked.code, 2, asked.stderr);
    const lines = asked.stderr.split("\n");
    assert.match(
      lines[0] ?? "",
      /^expected RTO: about \d+ s, the median of 3 restores of this store, scaled to \d+ MB/,
    );
    assert.match(asked.stderr, /last known good state: .* when release v1 was verified/);
    assert.ok(asked.stderr.includes(`newer verified backups, to be had by name: ${newer}`), asked.stderr);

    const run = await passes("db:emergency-restore", "--yes", "--json");
    const result = JSON.parse(run.stdout);
    assert.equal(result.backup, good);
    assert.equal(result.rows, 18_040);

    assert.deepEqual(
      await ask("SELECT count(*)::int AS clients, (SELECT count(title)::int FROM tasks) AS titles FROM clients"),
      [{ clients: 2_000, titles: 6_000 }],
    );
    assert.deepEqual(
      await ask(`SELECT current_setting('work_mem') AS memory, current_setting('app.secret') AS secret, datconnlimit AS connections,
                        shobj_description(oid, 'pg_database') AS comment, has_database_privilege('pg_monitor', oid, 'CONNECT') AS anybody
                   FROM pg_database WHERE datname = current_database()`),
      [{ memory: "7MB", secret: "not in any backup", connections: 77, comment: "the CRM", anybody: false }],
    );
    assert.deepEqual(await ask(`SELECT datname FROM pg_database WHERE datname = '${result.aside}'`), [
      { datname: result.aside },
    ]);
    const store = openStore(env["BACKUP_STORE"]);
    assert.ok((await listSuspects(store)).has(result.safetyBackup), "what was undone is nobody's latest");
    assert.deepEqual(
      (await readFreezes(store)).map(({ reason }) => reason),
      [`emergency restore of ${good}`],
    );
  });

  it("is verified against the backup that was restored, and by the checks", async () => {
    const run = await passes("db:emergency-verify");
    assert.match(run.stdout, new RegExp(`PASS: the restored database lacks nothing of ${good}`));

    [lost] = await ask<typeof lost>("DELETE FROM tasks WHERE id = 17 RETURNING client_id, title");
    const failing = await cli("db:emergency-verify");
    assert.equal(failing.code, 1, failing.stdout);
    assert.match(failing.stdout, /public\.tasks: 1 row\(s\) of the snapshot are missing .*"id" : "17"/);
  });

  it("after a rollback the same is asked of the receipt's snapshot", async () => {
    const failing = await cli("db:verify:rollback");
    assert.equal(failing.code, 1, failing.stdout);
    assert.match(failing.stderr, /recovery point of v1: /);
    await ask(`INSERT INTO tasks VALUES (17, ${lost?.client_id}, '${lost?.title}')`);
    const run = await passes("db:verify:rollback");
    assert.match(run.stdout, /PASS: the database after the rollback lacks nothing of backup_/);
  });
});
