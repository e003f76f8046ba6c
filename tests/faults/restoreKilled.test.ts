/**
 * A restore over the live database is killed at each of its steps: what was live is there and serves, and the next run
 * succeeds.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { findPostgres } from "../../scripts/database/postgresPrograms";
import { runCli, startCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { temporaryFolder } from "../servers/stores";

const restored = { tasks: 60_000, object: "contract" };
const damaged = { tasks: 30_000, object: "lost" };

describe("a restore that is killed", function () {
  this.timeout(180_000);
  let env: Record<string, string>;
  let live: string;
  let backup: string;
  /** A dump of pg_dump's, of the same moment. */
  let file: string;

  /** Of the live database, by its name, on a connection of its own: it may be another database by now. */
  async function state(): Promise<typeof restored> {
    const client = new Client({ connectionString: env["DATABASE_URL"] });
    await client.connect();
    try {
      const { rows } = await client.query<typeof restored>(
        "SELECT count(*)::int AS tasks, convert_from(lo_get(4711), 'UTF8') AS object FROM tasks",
      );
      // It takes what is written.
      await client.query("CREATE TABLE served (id int); DROP TABLE served");
      return rows[0]!;
    } finally {
      await client.end();
    }
  }

  /** A server goes on for a moment with what a dead client asked for. */
  async function settled(): Promise<void> {
    const client = new Client({ connectionString: env["DATABASE_URL"] });
    await client.connect();
    for (let tries = 0; ; tries++) {
      const { rows } = await client.query(
        "SELECT FROM pg_stat_activity WHERE application_name = 'dbprotect' AND datname IN (SELECT datname FROM pg_database WHERE starts_with(datname, $1))",
        [live],
      );
      if (rows.length === 0) break;
      assert.ok(tries < 1000, "sessions of the killed run stay");
      await sleep(20);
    }
    await client.end();
  }

  async function databases(): Promise<string[]> {
    const client = new Client({ connectionString: env["DATABASE_URL"] });
    await client.connect();
    const { rows } = await client.query("SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1", [
      `${live}_`,
    ]);
    await client.end();
    return rows.map(({ datname }) => datname);
  }

  beforeEach(async () => {
    const crm = await freshCrm(restored.tasks / 3);
    live = new URL(crm.url).pathname.slice(1);
    env = { DATABASE_URL: crm.url, BACKUP_STORE: freshStore() };
    await crm.client.query("SELECT lo_from_bytea(4711, 'contract')");
    const run = await runCli(["db:backup", "--depth", "1", "--json"], env);
    assert.equal(run.code, 0, run.stderr);
    backup = JSON.parse(run.stdout).backup.name;
    file = join(temporaryFolder(), "of-then.dump");
    execFileSync(join(findPostgres({ use: "client" }).binDir, "pg_dump"), ["-Fc", `--file=${file}`, crm.url]);
    await crm.client.query("DELETE FROM tasks WHERE id % 2 = 0; SELECT lo_unlink(4711), lo_from_bytea(4711, 'lost')");
    await closeCrmClients();
  });

  const ways = {
    "--swap": ["schema-pre.dump.zst restored", "equal to", "swapping"],
    "--in-place": ["archives checked", "dropping what is replaced", "schema-pre.dump.zst restored", "comparing with"],
    "--swap --unproven": ["counting rows", "as many rows as", "swapping"],
    "--in-place --unproven": ["dropping what is replaced", "counting rows"],
  };

  for (const [way, steps] of Object.entries(ways)) {
    it(`${way}: leaves what was live at every step, and the next run restores`, async () => {
      const isOfFile = way.includes("--unproven");
      const command = ["db:restore", isOfFile ? file : backup, ...way.split(" "), "--safety-backup", backup, "--yes"];
      for (const step of steps) {
        const run = startCli(command, env);
        while (!run.stderr().includes(step)) await Promise.race([sleep(1), run.ended]);
        run.process.kill("SIGKILL");
        const { code, stderr } = await run.ended;
        await settled();
        const now = await state();
        // Killed between the commit and the end, it is restored already.
        const isDone = now.tasks === restored.tasks;
        assert.deepEqual(now, isDone ? restored : damaged, `killed at: ${step}`);
        if (isDone) assert.ok(way.startsWith("--swap") || /committed$|counting rows/m.test(stderr), stderr);
        else assert.equal(code, null, stderr);
      }
      // The steps before are ended in the same way.
      for (const step of steps.slice(-2)) {
        const wasRestored = (await state()).tasks === restored.tasks;
        const interrupted = startCli(command, env);
        while (!interrupted.stderr().includes(step)) await Promise.race([sleep(1), interrupted.ended]);
        interrupted.process.kill("SIGINT");
        const { code, stderr } = await interrupted.ended;
        const isRestored = (await state()).tasks === restored.tasks;
        assert.deepEqual(await state(), isRestored ? restored : damaged, `after Ctrl-C at: ${step}`);
        // At its last step it may have been done before it heard of that.
        assert.ok(code === 130 || (code === 0 && isRestored && step === steps.at(-1)), `${code}: ${stderr}`);
        assert.ok(isRestored || !wasRestored, `after Ctrl-C at: ${step}`);
      }
      const next = await runCli(command, env);
      assert.equal(next.code, 0, next.stderr);
      assert.deepEqual(await state(), restored);
      const left = await databases();
      assert.ok(
        left.every((name) => /_replaced_\d{8}_\d{6}$/.test(name)),
        `left behind: ${left.join(", ")}`,
      );
    });
  }
});
