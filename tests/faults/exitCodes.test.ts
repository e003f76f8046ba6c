/** Every exit code of the contract, from the real command line: one clear line, no secret, nothing changed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, globSync, mkdtempSync, readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client } from "pg";
import { searchPostgres } from "../../bin/setup/postgresSearch.js";
import { listBackups } from "../../scripts/backup/manifest";
import { Unavailable } from "../../scripts/contract/failure";
import { readFreezes } from "../../scripts/control/freeze";
import { databaseFailure } from "../../scripts/database/databaseFailure";
import { openStore } from "../../scripts/store/openStore";
import { type CliRun, runCli } from "../servers/cli";
import { startCloudWatch } from "../servers/cloudwatch";
import { closeCrmClients, deploymentVariables, freshCrm, freshStore } from "../servers/crm";
import { overwrite } from "../servers/damageFile";
import { ask } from "../servers/postgres";

/** Asserts code and the one line that says why; and that no password is anywhere. */
function demand(run: CliRun, code: number, line: RegExp, secret?: string): void {
  assert.equal(run.code, code, run.stderr);
  assert.match(run.stderr, line);
  assert.doesNotMatch(run.stderr, /^\s+at .*:\d+:\d+/m, "a stack trace is for our own bugs");
  if (secret !== undefined) assert.ok(!(run.stdout + run.stderr).includes(secret), "the password was printed");
}

describe("exit codes", () => {
  let url: string;
  let client: Client;
  before(async () => void ({ url, client } = await freshCrm()));
  after(closeCrmClients);

  describe("0 and 1: what a check says", () => {
    it("0: the data checks pass; 1: a row breaks one", async () => {
      assert.equal((await runCli(["db:validate"], { DATABASE_URL: url })).code, 0);
      await client.query("UPDATE clients SET email = NULL WHERE id = 17");
      const run = await runCli(["db:validate", "--json"], { DATABASE_URL: url });
      assert.equal(run.code, 1);
      const report = JSON.parse(run.stdout) as { verdict: string; results: { name: string; evidence: string }[] };
      assert.equal(report.verdict, "halt");
      assert.match(report.results.find(({ name }) => name === "client-corruption")!.evidence, /17/);
      await client.query("UPDATE clients SET email = 'client17@example.com' WHERE id = 17");
    });

    it("1: a right is missing on one table, named", async () => {
      await client.query("CREATE ROLE reader LOGIN PASSWORD 'reader-password'; GRANT pg_read_all_data TO reader");
      await client.query("ALTER ROLE reader BYPASSRLS");
      const readerUrl = url.replace(/\/\/[^@]+@/, "//reader:reader-password@");
      assert.equal((await runCli(["db:test-connection"], { DATABASE_URL: readerUrl })).code, 0);
      await client.query(
        "REVOKE pg_read_all_data FROM reader; GRANT SELECT ON clients, tasks, chat_messages TO reader",
      );
      demand(
        await runCli(["db:backup"], { DATABASE_URL: readerUrl, BACKUP_STORE: freshStore() }),
        1,
        /^hint: GRANT SELECT ON "public"\."Ünsorted ""Notes""" TO "reader" /m,
        "reader-password",
      );
    });

    it("1: row security would hide rows: refused instead of an empty backup", async () => {
      await client.query("GRANT pg_read_all_data TO reader; ALTER ROLE reader NOBYPASSRLS");
      const run = await runCli(["db:backup"], {
        DATABASE_URL: url.replace(/\/\/[^@]+@/, "//reader:reader-password@"),
        BACKUP_STORE: freshStore(),
      });
      demand(run, 1, /public\.clients/);
      assert.match(run.stderr, /BYPASSRLS/);
    });
  });

  describe("2: usage and configuration", () => {
    const cases: [string, string[], Record<string, string>, RegExp][] = [
      ["an unknown flag", ["db:backup", "--fast"], {}, /unknown option '--fast'/],
      ["an unknown command", ["db:bakcup"], {}, /unknown command/],
      ["no DATABASE_URL", ["db:test-connection"], {}, /DATABASE_URL is not set/],
      [
        "no DATABASE_URL_PROD",
        ["db:test-connection", "--prod"],
        { DATABASE_URL: "postgres://x@h/d" },
        /DATABASE_URL_PROD is not set/,
      ],
      [
        "port 6543",
        ["db:test-connection"],
        { DATABASE_URL: "postgres://u:pw-123456@db.supabase.co:6543/postgres" },
        /6543.*5432/,
      ],
      ["not a URL", ["db:test-connection"], { DATABASE_URL: "localhost" }, /not a URL/],
      [
        "an sslmode that does not exist",
        ["db:test-connection"],
        { DATABASE_URL: "postgres://u@h/d?sslmode=on" },
        /sslmode: found on/,
      ],
      ["no store", ["db:backup"], { DATABASE_URL: "postgres://u@127.0.0.1:1/d" }, /BACKUP_STORE/],
      [
        "a store that is no URL",
        ["db:backup"],
        { DATABASE_URL: "postgres://u@127.0.0.1:1/d", BACKUP_STORE: "backups" },
        /BACKUP_STORE/,
      ],
      ["nothing to test", ["test:integration"], {}, /nothing to test/],
      ["no duration", ["db:health", "--window", "5x"], {}, /--window.*expected a duration such as/],
      ["a wrong depth", ["db:backup", "--depth", "9"], {}, /expected 1, 2, 3, 4 or 5/],
      [
        "settings with a wrong key",
        ["db:validate"],
        { DBPROTECT_SETTINGS: '{"tabels":{}}', DATABASE_URL: "postgres://u@h/d" },
        /tabels/,
      ],
      [
        "settings with a wrong value",
        ["db:validate"],
        { DBPROTECT_SETTINGS: '{"tables":{"public.t":{"deletes":"few"}}}', DATABASE_URL: "postgres://u@h/d" },
        /public\.t\.deletes: found "few"/,
      ],
      ["a password in argv", ["db:restore", "postgres://u:pw-123456@h/d"], {}, /password among the arguments/],
    ];
    for (const [what, words, env, line] of cases) {
      it(`2: ${what}`, async () => demand(await runCli(words, env), 2, line, "pw-123456"));
    }

    it("2: with --json the mistake on the command line is the one document", async () => {
      for (const [words, line] of [
        [["db:list", "--fast", "--json"], /unknown option '--fast'/],
        [["deploy:freeze", "--json"], /--person/],
        [["deploy:watch", "--minutes", "x", "--json"], /above 0, at most 1440/],
      ] as const) {
        const run = await runCli(words, {});
        demand(run, 2, line);
        const document = JSON.parse(run.stdout) as Record<string, unknown>;
        assert.deepEqual([document["verdict"], document["exitCode"]], ["error", 2]);
        assert.match(String(document["message"]), line);
        assert.equal(document["hint"], `see dbprotect ${words[0]} --help`);
      }
    });

    it("2: a value that is empty, as a variable of the shell that is not set", async () => {
      const env = { BACKUP_STORE: freshStore() };
      demand(await runCli(["incident", "show", "--id", ""], env), 2, /--id: found nothing/);
      demand(
        await runCli(["incident", "open", "--title", "lost rows", "--person", " "], env),
        2,
        /--person: found nothing/,
      );
      demand(await runCli(["incident", "note", "", "--person", "Ann"], env), 2, /<text>: found nothing/);
    });

    it("2: npm kept --yes for itself", async () => {
      const env = {
        npm_lifecycle_event: "db:restore",
        npm_config_yes: "true",
        DATABASE_URL: url,
        BACKUP_STORE: freshStore(),
      };
      demand(
        await runCli(["db:restore", "latest"], env),
        2,
        /npm kept --yes for itself[\s\S]*npm run db:restore -- --yes/,
      );
    });

    it("2: a confirmation is needed and there is no terminal: nothing is created", async () => {
      const env = { DATABASE_URL: url, BACKUP_STORE: freshStore() };
      const told = await withMetrics((metrics) => runCli(["db:backup", "--depth", "1"], { ...env, ...metrics }));
      assert.equal(told.run.code, 0);
      assert.deepEqual(told.names, ["BackupVerified", "BackupArchiveBytes"]);
      demand(await runCli(["db:restore", "latest"], env), 2, /--yes/);
      const freeze = await runCli(["deploy:freeze", "--person", "Ann", "--reason", "lost rows"], env);
      demand(freeze, 2, /^halts every gate[^]*--yes/); // and no warning: this store is used
      const { rows } = await client.query("SELECT FROM pg_database WHERE datname LIKE '%restored%'");
      assert.equal(rows.length, 0);
    });

    it("2: the store belongs to another database", async () => {
      const store = freshStore();
      assert.equal((await runCli(["db:backup", "--depth", "1"], { DATABASE_URL: url, BACKUP_STORE: store })).code, 0);
      const other = await freshCrm(10);
      demand(await runCli(["db:backup"], { DATABASE_URL: other.url, BACKUP_STORE: store }), 2, /belongs to database/);
    });

    it("2: a client older than the server", async function () {
      const older = searchPostgres("client", process.env).find(({ major }) => major < 17);
      if (older === undefined) this.skip(); // skipped: no PostgreSQL client older than 17 on this machine
      const folder = mkdtempSync(join(tmpdir(), "dbprotect-old-"));
      // Only the older programs can be found: PATH holds them and node, the cache is empty, and so are the usual folders.
      const env = {
        DATABASE_URL: url,
        BACKUP_STORE: freshStore(),
        PG_BIN: older.binDir,
        PATH: folder,
        DBPROTECT_CACHE: folder,
      };
      const run = await runCli(["db:backup"], env);
      const newerElsewhere = searchPostgres("client", env).some(({ major }) => major >= 17);
      if (newerElsewhere) this.skip(); // skipped: a newer client lies in a usual folder of this machine
      demand(run, 2, /PostgreSQL 17 or newer is not on this machine/);
    });
  });

  describe("3: unreachable or busy", () => {
    it("3: the server is down; the host is named, the password is not", async () => {
      const run = await runCli(["db:test-connection"], {
        DATABASE_URL: "postgres://u:hidden-password@127.0.0.1:1/crm",
      });
      demand(run, 3, /127\.0\.0\.1:1\/crm/, "hidden-password");
    });

    it("3: the host does not exist", async () => {
      demand(
        await runCli(["db:test-connection"], { DATABASE_URL: "postgres://u@no-such-host.invalid/crm" }),
        3,
        /no-such-host\.invalid/,
      );
    });

    it("3: a wrong password", async () => {
      const run = await runCli(["db:test-connection"], { DATABASE_URL: url.replace(/:[^:@/]+@/, ":wrong-password@") });
      demand(run, 3, /wrong password/, "wrong-password");
    });

    it("3: the result cannot be written where stdout goes; nothing is wrong where its reader had enough", async () => {
      const command = `'${process.execPath}' '${join(__dirname, "../../bin/dbprotect.js")}'`;
      const shell = (line: string) => spawnSync("bash", ["-c", line], { encoding: "utf8" });
      const headed = shell(`{ ${command} --help; echo "code $?" >&2; } | true`);
      assert.equal(headed.stderr, "code 0\n");
      const deaf = shell(`{ ${command} --fast 2>&1 > /dev/null; echo "code $?" >&3; } 3>&2 | true`);
      assert.equal(deaf.stderr, "code 2\n");
      if (process.platform !== "linux") return;
      const full = shell(`${command} --help > /dev/full`);
      assert.equal(full.status, 3);
      assert.match(full.stderr, /^error: stdout: .*ENOSPC.*\nhint: .*only its result is missing\n$/);
    });

    it("3: the store cannot be written", async function () {
      const folder = mkdtempSync(join(tmpdir(), "dbprotect-read-only-"));
      const isRoot = process.getuid?.() === 0;
      // Permissions do not stop root: a file system that is mounted read-only does.
      if (isRoot && !mounts("ro", folder)) this.skip(); // skipped: this container may not mount
      if (!isRoot) chmodSync(folder, 0o500);
      try {
        demand(
          await runCli(["db:backup"], { DATABASE_URL: url, BACKUP_STORE: `file://${folder}/crm` }),
          3,
          /dbprotect-read-only/,
        );
        // The drill's own result is out when it turns out that nothing can be recorded: one document all the same.
        const drill = await runCli(["db:drill", "--json"], { BACKUP_STORE: `file://${folder}` });
        demand(drill, 3, /dbprotect-read-only/);
        assert.equal((JSON.parse(drill.stdout) as { verdict: string }).verdict, "failed");
      } finally {
        if (isRoot) spawnSync("umount", [folder]);
      }
    });

    it("3: the store is full, and nothing that looks like a backup is left", async function () {
      const folder = mkdtempSync(join(tmpdir(), "dbprotect-full-"));
      if (!mounts("size=64k", folder)) this.skip(); // skipped: only root may mount a small file system
      try {
        demand(
          await runCli(["db:backup"], { DATABASE_URL: url, BACKUP_STORE: `file://${folder}/crm` }),
          3,
          /full|space/,
        );
        assert.deepEqual(globSync(join(folder, "**/manifest.json")), []);
      } finally {
        spawnSync("umount", [folder]);
      }
    });

    it("3: another backup of the same database is running", async () => {
      await client.query("SELECT pg_advisory_lock(hashtext('dbprotect'), hashtext('backup'))");
      try {
        demand(await runCli(["db:backup"], { DATABASE_URL: url, BACKUP_STORE: freshStore() }), 3, /another backup/);
      } finally {
        await client.query("SELECT pg_advisory_unlock_all()");
      }
    });

    it("3: the database takes no writes: told before anybody is asked, and by what refuses it later", async () => {
      const database = new URL(url).pathname.slice(1);
      const env = { DATABASE_URL: url, BACKUP_STORE: freshStore() };
      assert.equal((await runCli(["db:backup"], env)).code, 0);
      const { name } = (await listBackups(openStore(env.BACKUP_STORE)))[0]!;
      await client.query(`ALTER DATABASE ${database} SET default_transaction_read_only = on`);
      try {
        for (const words of [
          ["db:restore", name],
          ["db:emergency-restore", name],
          ["rollback:planned", name],
        ])
          demand(
            await runCli([...words, "--yes"], env),
            3,
            /is in read-only mode: nothing was changed\nhint: a standby: /,
          );
        const failure = await ask(url, "CREATE TABLE never (id int)").catch(databaseFailure);
        assert.ok(failure instanceof Unavailable && failure.message.startsWith("the database takes no writes: "));
      } finally {
        await client.query(`ALTER DATABASE ${database} RESET default_transaction_read_only`);
      }
      assert.deepEqual(await readFreezes(openStore(env.BACKUP_STORE)), []);
    });

    it("3: a table stays locked", async function () {
      this.timeout(60_000);
      await client.query("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE");
      try {
        demand(
          await runCli(["db:backup"], { DATABASE_URL: url, BACKUP_STORE: freshStore() }),
          3,
          /locked by another session/,
        );
      } finally {
        await client.query("ROLLBACK");
      }
    });
  });

  it("4: a wrong receipt: one byte changed, and no release step accepts it", async function () {
    this.timeout(60_000);
    const store = freshStore();
    const env = { DATABASE_URL: url, BACKUP_STORE: store, DBPROTECT_RELEASE_VERSION: "v1", ...deploymentVariables };
    const told = await withMetrics((metrics) => runCli(["gate", "run"], { ...env, ...metrics }));
    assert.equal(told.run.code, 0);
    assert.deepEqual(told.names, ["GatePassed", "GateSeconds"]);
    const folder = join(new URL(store).pathname, "receipts");
    const file = join(folder, readdirSync(folder)[0]!);
    overwrite(file, readFileSync(file, "utf8").replace('"v1"', '"v2"'));
    demand(await runCli(["release", "railway"], env), 4, /not the receipt that the gate wrote/);
  });
});

/** A run whose metrics go to a CloudWatch, and the names of those that came. */
async function withMetrics(
  run: (env: Record<string, string>) => Promise<CliRun>,
): Promise<{ readonly run: CliRun; readonly names: readonly string[] }> {
  const cloudwatch = await startCloudWatch();
  try {
    const env = { ...cloudwatch.env, DBPROTECT_METRICS: "cloudwatch", DBPROTECT_STACK: "crm/prod" };
    const ended = await run(env);
    const names = cloudwatch.requests.flatMap(({ MetricData }) => MetricData.map(({ MetricName }) => MetricName));
    return { run: ended, names };
  } finally {
    await cloudwatch.close();
  }
}

/** Mounts a tmpfs with these options, which only root may. */
function mounts(options: string, folder: string): boolean {
  return spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder]).status === 0;
}
