/** `db:restore`: what bears the final name is proven, and what a killed run leaves behind says that it is not. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { runCli, startCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 30_000; !holds(); await sleep(10)) {
    assert.ok(Date.now() < end, `waited in vain until ${what}`);
  }
}

describe("restoring beside the live database", function () {
  this.timeout(90_000);
  let client: Client;
  let env: { DATABASE_URL: string; BACKUP_STORE: string };
  /** Of a name of its own: the server is shared. */
  let live: string;

  beforeEach(async () => {
    const crm = await freshCrm(20_000);
    client = crm.client;
    env = { DATABASE_URL: crm.url, BACKUP_STORE: freshStore() };
    live = new URL(crm.url).pathname.slice(1);
  });
  after(closeCrmClients);

  async function backUp(): Promise<void> {
    const run = await runCli(["db:backup", "--depth", "1"], env);
    assert.equal(run.code, 0, run.stderr);
  }

  async function databases(): Promise<string[]> {
    const { rows } = await client.query<{ datname: string }>(
      "SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1",
      [`${live}_`],
    );
    return rows.map(({ datname }) => datname);
  }

  const restore = ["db:restore", "latest", "--yes"];

  it("killed: what is left says that it is unverified, and the next run replaces it", async () => {
    await backUp();
    const killed = startCli(restore, env);
    await until("the rows are being restored", () => killed.stderr().includes("schema-pre.dump.zst restored"));
    killed.process.kill("SIGKILL");
    await killed.ended;
    const [left, ...others] = await databases();
    assert.match(left ?? "", /_restored_\d{8}_\d{6}_unverified$/);
    assert.deepEqual(others, []);

    const next = await runCli(restore, env);
    assert.equal(next.code, 0, next.stderr);
    assert.ok(next.stderr.includes(`dropping ${left}`), next.stderr);
    assert.deepEqual(await databases(), [left!.replace(/_unverified$/, "")]);
  });

  it("drops no database of that name that is not its own, and says which is in the way", async () => {
    await backUp();
    await client.query(`CREATE DATABASE ${live}_mine_unverified`);
    const run = await runCli([...restore, "--database", `${live}_mine`], env);
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stderr, new RegExp(`${live}_mine_unverified exists already`));
    assert.deepEqual(await databases(), [`${live}_mine_unverified`]);
  });

  it("refuses a second run into the same name while the first is at work", async () => {
    await backUp();
    const first = startCli(restore, env);
    await until("the first restores", () => first.stderr().includes("schema-pre.dump.zst restored"));
    const second = await runCli(restore, env);
    assert.equal((await first.ended).code, 0);
    assert.ok([1, 3].includes(second.code ?? 0), second.stderr);
    assert.match(second.stderr, /another run restores into|exists already/);
    assert.equal((await databases()).length, 1);
  });

  it("cuts a long name so that both names fit, and refuses one that PostgreSQL would cut", async () => {
    await backUp();
    const longest = `${live}_`.padEnd(63, "x");
    const run = await runCli([...restore, "--database", longest], env);
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(await databases(), [longest]);
    assert.equal((await runCli([...restore, "--database", `${longest}x`], env)).code, 2);
  });

  it("names the roles that it will create on the server before it asks", async () => {
    const role = `owner_of_${live}`;
    await client.query(`CREATE ROLE ${role}; ALTER TABLE tasks OWNER TO ${role}`);
    await backUp();
    await client.query(`REASSIGN OWNED BY ${role} TO CURRENT_USER; DROP OWNED BY ${role}; DROP ROLE ${role}`);
    const asked = await runCli(["db:restore", "latest"], env);
    assert.equal(asked.code, 2);
    assert.match(asked.stderr, new RegExp(`creates the roles that its server lacks, without login: ${role}`));
    assert.equal((await client.query("SELECT FROM pg_roles WHERE rolname = $1", [role])).rowCount, 0);

    const run = await runCli(restore, env);
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stderr, new RegExp(`roles created on the server, without login: ${role}`));
  });

  it("a verification that keeps nothing takes its scratch server along, also when it is killed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dbt-"));
    chmodSync(folder, 0o755); // the server's user has to reach its own folder below
    const run = startCli(["db:backup", "--depth", "4"], { ...env, TMPDIR: folder });
    await until("the copy is being made", () => run.stderr().includes("schema-pre.dump.zst restored"));
    const servers = (): string[] => readdirSync(folder).filter((name) => name.startsWith("dbp-"));
    assert.equal(servers().length, 1);
    run.process.kill("SIGKILL");
    await run.ended;
    await until("its server is gone", () => servers().length === 0);
  });
});
