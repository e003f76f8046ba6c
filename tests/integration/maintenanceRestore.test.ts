/** Restores while the write fence is up: what takes the live database's place is fenced before anybody can write to it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { findPostgres } from "../../scripts/database/postgresPrograms";
import { listBackups } from "../../scripts/backup/manifest";
import { openStore } from "../../scripts/store/openStore";
import { type CliRun, runCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { ask as askAt } from "../servers/postgres";
import { temporaryFolder } from "../servers/stores";

describe("restoring under the write fence", function () {
  this.timeout(120_000);
  let env: Record<string, string>;
  let role: string;
  let backup: string;
  let untouched: unknown;
  /** A dump of pg_dump's, of the same moment as the backup. */
  let file: string;

  const ask = (sql: string): Promise<unknown[]> => askAt(env["DATABASE_URL"]!, sql);

  async function passes(...words: string[]): Promise<CliRun> {
    const run = await runCli(words, env);
    assert.equal(run.code, 0, run.stderr + run.stdout);
    return run;
  }

  const acls = (): Promise<unknown[]> =>
    ask(`SELECT c.oid::regclass::text AS name, ARRAY(SELECT unnest(c.relacl)::text ORDER BY 1) AS acl,
                ARRAY(SELECT attname || unnest(attacl)::text FROM pg_attribute WHERE attrelid = c.oid ORDER BY 1) AS columns
           FROM pg_class c WHERE relnamespace = 'public'::regnamespace ORDER BY 1`);

  const write = (): Promise<unknown> => ask(`SET ROLE ${role}; UPDATE clients SET name = 'late' WHERE id = 2`);

  before(async () => {
    const crm = await freshCrm(50);
    role = `app_${new URL(crm.url).pathname.slice(1)}`;
    env = {
      ...{ DATABASE_URL: crm.url, BACKUP_STORE: freshStore() },
      DBPROTECT_SETTINGS: JSON.stringify({ rollback: { fencedRoles: [role] } }),
    };
    await crm.client.query(
      `CREATE ROLE ${role}; GRANT ALL ON tasks TO ${role}; GRANT SELECT, UPDATE (name) ON clients TO ${role} WITH GRANT OPTION;
       GRANT USAGE ON SEQUENCE tasks_id_seq TO ${role}; GRANT INSERT ON chat_messages TO PUBLIC`,
    );
    untouched = await acls();
    await passes("db:backup", "--depth", "1");
    file = join(temporaryFolder(), "of-then.dump");
    execFileSync(join(findPostgres({ use: "client" }).binDir, "pg_dump"), ["-Fc", `--file=${file}`, crm.url]);
    backup = (await listBackups(openStore(env["BACKUP_STORE"]))).at(-1)!.name;
  });
  after(closeCrmClients);

  for (const [mode, what] of [
    ["--swap", "backup"],
    ["--in-place", "backup"],
    ["--swap", "file"],
    ["--in-place", "file"],
  ] as const) {
    it(`db:restore ${mode} of a ${what}: no write until the fence is lifted, then the rights of the backup`, async () => {
      await write();
      await passes("deploy:maintenance", "on", "--yes");
      await ask("DELETE FROM tasks");
      const words = what === "file" ? [file, "--unproven"] : [backup];
      const restored = await passes("db:restore", ...words, mode, "--safety-backup", backup, "--yes");
      assert.match(
        restored.stderr,
        /write fence: \d+ right\(s\) taken away in what was restored, \d+ write\(s\) tried/,
      );
      assert.doesNotMatch(restored.stderr, /no write fence stands/);
      assert.deepEqual(await ask("SELECT count(*)::int AS tasks FROM tasks"), [{ tasks: 150 }]);
      await assert.rejects(write(), { code: "42501" });
      await passes("deploy:maintenance", "status");
      await passes("deploy:maintenance", "off", "--yes");
      assert.deepEqual(await acls(), untouched);
      await write();
    });
  }

  it("db:restore --in-place without a fence says what people could lose meanwhile; --swap loses nothing", async () => {
    const words = ["db:restore", backup, "--safety-backup", backup, "--yes"];
    assert.match((await passes(...words, "--in-place")).stderr, /no write fence stands: what is written after/);
    assert.doesNotMatch((await passes(...words, "--swap")).stderr, /no write fence stands/);
  });
});
