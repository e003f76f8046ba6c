/** Pending and applied migrations on a real server: the ledger, failures, interruptions, two runs at once. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { Interrupted, Unavailable, exitCode } from "../../../scripts/contract/failure";
import { type ApplyOutcome, MigrationFailed, applyMigrations } from "../../../scripts/migrations/apply";
import { liveCatalog } from "../../../scripts/migrations/catalog";
import { judgeMigrations } from "../../../scripts/migrations/judge";
import { pendingMigrations } from "../../../scripts/migrations/pending";
import { freshDatabase } from "../../servers/postgres";

describe("migrations on a real server", function () {
  this.timeout(60_000);
  let folder: string;
  let url: string;
  let client: Client;
  const clients: Client[] = [];

  const connected = async (): Promise<Client> => {
    const opened = new Client({ connectionString: url });
    opened.on("error", () => undefined);
    await opened.connect();
    clients.push(opened);
    return opened;
  };
  const write = (file: string, sql: string): void => writeFileSync(join(folder, file), sql);
  const pending = async (): Promise<string[]> =>
    (await pendingMigrations(client, { path: folder, tool: "supabase" })).pending.map(({ file }) => file);
  const apply = async (through: Client = client): Promise<ApplyOutcome> =>
    applyMigrations(through, (await pendingMigrations(client, { path: folder, tool: "supabase" })).pending, {
      lockTimeoutSeconds: 1,
    });
  const value = async (sql: string): Promise<unknown> => {
    const { rows } = await client.query<{ value: unknown }>(`SELECT (${sql}) AS value`);
    return rows[0]?.value;
  };
  const failure = async (run: Promise<unknown>): Promise<MigrationFailed> => {
    const error = await run.then(
      () => assert.fail("it was applied"),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof MigrationFailed, String(error));
    return error;
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "migrations-"));
    url = await freshDatabase("migrations");
    client = await connected();
    await client.query("CREATE TABLE clients (id int PRIMARY KEY, name varchar(50) NOT NULL)");
    await client.query("INSERT INTO clients SELECT i, 'client ' || i FROM generate_series(1, 1000) i");
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((opened) => opened.end().catch(() => undefined)));
    rmSync(folder, { recursive: true, force: true });
  });

  it("applies what is pending, keeps the ledger as the Supabase CLI does, and a second run does nothing", async () => {
    write("20260101000000_notes.sql", "-- why\nCREATE TABLE notes (id int);\n\nINSERT INTO notes VALUES (1);;\n");
    write("20260102000000_nick.sql", "BEGIN;\nALTER TABLE clients ADD COLUMN nick text;\nCOMMIT;\n");
    assert.deepEqual(await pending(), ["20260101000000_notes.sql", "20260102000000_nick.sql"]);
    assert.deepEqual((await apply()).applied, ["20260101000000_notes.sql", "20260102000000_nick.sql"]);
    const { rows } = await client.query(
      "SELECT version, name, statements FROM supabase_migrations.schema_migrations ORDER BY 1",
    );
    assert.deepEqual(rows, [
      {
        version: "20260101000000",
        name: "notes",
        statements: ["-- why\nCREATE TABLE notes (id int)", "INSERT INTO notes VALUES (1)"],
      },
      { version: "20260102000000", name: "nick", statements: ["ALTER TABLE clients ADD COLUMN nick text"] },
    ]);
    const columns = `SELECT string_agg(column_name || ' ' || data_type || ' ' || is_nullable, ', ' ORDER BY ordinal_position)
                       FROM information_schema.columns WHERE table_schema = 'supabase_migrations'`;
    assert.equal(await value(columns), "version text NO, statements ARRAY YES, name text YES");
    assert.deepEqual(await pending(), []);
    assert.deepEqual((await apply()).applied, []);
    assert.equal(await value("SELECT count(*)::int FROM notes"), 1);
  });

  it("adds to a ledger that the Supabase CLI made, whatever other columns it has", async () => {
    await client.query(`CREATE SCHEMA supabase_migrations;
      CREATE TABLE supabase_migrations.schema_migrations
        (version text NOT NULL PRIMARY KEY, statements text[], name text, created_by text, idempotency_key text UNIQUE, rollback text[]);
      INSERT INTO supabase_migrations.schema_migrations(version, name) VALUES ('20250101000000', 'old'), ('20260101000000', 'gone')`);
    write("20250101000000_old.sql", "SELECT 1;");
    write("20250601000000_late.sql", "CREATE TABLE late (id int);");
    write("20260201000000_next.sql", "CREATE TABLE next (id int);");
    write("seed.sql", "SELECT 1;");
    const found = await pendingMigrations(client, { path: folder, tool: "supabase" });
    assert.deepEqual(
      found.pending.map(({ file }) => file),
      ["20250601000000_late.sql", "20260201000000_next.sql"],
    );
    assert.deepEqual(
      found.outOfOrder.map(({ file }) => file),
      ["20250601000000_late.sql"],
    );
    assert.deepEqual(found.unknownApplied, ["20260101000000"]);
    assert.deepEqual(found.skipped, ["seed.sql"]);
    assert.deepEqual((await apply()).applied, ["20250601000000_late.sql", "20260201000000_next.sql"]);
  });

  it("stops at the first failure, names its place, and keeps what was applied before", async () => {
    write("1_good.sql", "CREATE TABLE good (id int);");
    write(
      "2_bad.sql",
      "CREATE TABLE half (id int);\n-- größer 😀\nINSERT INTO half VALUES (1);\n  INSERT INTO missing VALUES (1);\n",
    );
    write("3_never.sql", "CREATE TABLE never (id int);");
    const error = await failure(apply());
    assert.deepEqual([error.file, error.line, error.column, error.exitCode], ["2_bad.sql", 4, 15, exitCode.refused]);
    assert.match(
      error.message,
      /2_bad\.sql:4:15: relation "missing" does not exist \(applied before it: 1_good\.sql\)/,
    );
    assert.equal(error.excerpt, `  INSERT INTO missing VALUES (1);\n${" ".repeat(14)}^`);
    assert.deepEqual(error.applied, ["1_good.sql"]);
    assert.deepEqual(
      [
        await value("SELECT to_regclass('good') IS NOT NULL"),
        await value("SELECT to_regclass('half')"),
        await value("SELECT to_regclass('never')"),
      ],
      [true, null, null],
    );
    assert.deepEqual(await pending(), ["2_bad.sql", "3_never.sql"]);
    write("2_bad.sql", "CREATE TABLE half (id int);");
    assert.deepEqual((await apply()).applied, ["2_bad.sql", "3_never.sql"]);
  });

  it("tells the failing statement where the server names no place", async () => {
    write(
      "1_a.sql",
      "SELECT * FROM clients;\nSELECT 1; SELECT 2;\n\nINSERT INTO clients VALUES (1, 'twice');\nSELECT 3;",
    );
    const error = await failure(apply());
    assert.equal(error.line, 4);
    assert.match(error.message, /clients_pkey.*Key \(id\)=\(1\) already exists/);
  });

  it("tells the last statement where COMMIT fails, and where in a function it was", async () => {
    write("1_a.sql", "CREATE TABLE d (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO d VALUES (1), (1);");
    assert.equal((await failure(apply())).line, 2);
    write("1_a.sql", "\nDO $$ BEGIN\n PERFORM 1 / 0; END $$;");
    const error = await failure(apply());
    assert.equal(error.line, 2);
    assert.match(error.message, /division by zero.*line 2 at PERFORM/);
  });

  it("refuses what it could not run as a whole, before it runs any of it", async () => {
    for (const [sql, message] of [
      ["CREATE TABLE a (id int); SELEC 1;", /syntax error/],
      ["CREATE TABLE a (id int); COMMIT; CREATE TABLE b (id int);", /begins or ends a transaction/],
      ["CREATE TABLE a (id int); CREATE INDEX CONCURRENTLY i ON clients (name);", /CREATE INDEX CONCURRENTLY/],
      ["CREATE TABLE a (id int); COPY a FROM STDIN;", /source stream/i],
    ] as const) {
      write("1_a.sql", sql);
      assert.match((await failure(apply())).message, message);
      assert.equal(await value("SELECT to_regclass('a')"), null);
    }
    assert.deepEqual(await pending(), ["1_a.sql"]);
  });

  it("gives up on a lock after lock_timeout: exit 3, nothing done, and a later run passes", async () => {
    const other = await connected();
    await other.query("BEGIN; LOCK TABLE clients IN ACCESS SHARE MODE");
    write("1_a.sql", "CREATE TABLE a (id int);\nALTER TABLE clients ADD COLUMN nick text;");
    const before = Date.now();
    const error = await failure(apply());
    assert.ok(Date.now() - before < 5000);
    assert.deepEqual([error.line, error.exitCode], [2, exitCode.unreachable]);
    assert.match(error.message, /lock timeout/);
    await other.query("ROLLBACK");
    assert.deepEqual((await apply()).applied, ["1_a.sql"]);
  });

  it("comes again after a lock timeout, so that whoever waits behind it gets by", async () => {
    const other = await connected();
    await other.query("BEGIN; LOCK TABLE clients IN ACCESS SHARE MODE");
    write("1_a.sql", "CREATE TABLE a (id int);\nALTER TABLE clients ADD COLUMN nick text;");
    const list = (await pendingMigrations(client, { path: folder, tool: "supabase" })).pending;
    const told: string[] = [];
    const retry = { lockTimeoutSeconds: 0.1, lockRetries: 1 };
    const onRetry = (line: string): void => {
      told.push(line);
      void other.query("ROLLBACK");
    };
    assert.deepEqual((await applyMigrations(client, list, { ...retry, onRetry })).applied, ["1_a.sql"]);
    assert.equal(told.length, 1);
    assert.match(told[0] ?? "", /^1_a\.sql: .*lock timeout: rolled back, tried again in 1 s$/);
  });

  it("ends a statement that runs too long, and says what to do", async () => {
    write("1_a.sql", "CREATE TABLE a (id int);\nSELECT pg_sleep(60);");
    const list = (await pendingMigrations(client, { path: folder, tool: "supabase" })).pending;
    const options = { lockTimeoutSeconds: 1, statementTimeoutSeconds: 0.2 };
    const error = await failure(applyMigrations(client, list, options));
    assert.deepEqual([error.line, error.exitCode], [2, exitCode.refused]);
    assert.match(error.hint ?? "", /statementTimeoutSeconds/);
    assert.equal(await value("SELECT to_regclass('a')"), null);
    // No limit is left behind for whoever uses the session next.
    assert.equal(await value("SELECT current_setting('statement_timeout')"), "0");
  });

  it("lets only one run apply at a time", async () => {
    write("1_a.sql", "CREATE TABLE a (id int); SELECT pg_sleep(1);");
    const both = await Promise.allSettled([apply(await connected()), apply(await connected())]);
    const [done, refused] = both.sort((a, b) => a.status.localeCompare(b.status));
    assert.deepEqual(done?.status === "fulfilled" && done.value.applied, ["1_a.sql"]);
    assert.ok(refused?.status === "rejected" && refused.reason instanceof Unavailable);
  });

  it("skips what another run applied since its list was made", async () => {
    write("1_a.sql", "CREATE TABLE a (id int);");
    const list = (await pendingMigrations(client, { path: folder, tool: "supabase" })).pending;
    await apply();
    assert.deepEqual((await applyMigrations(client, list, { lockTimeoutSeconds: 1 })).applied, []);
  });

  it("keeps one file's settings, role and temporary tables from the next", async () => {
    await client.query("CREATE ROLE migration_guest; GRANT CREATE ON SCHEMA public TO migration_guest");
    try {
      write(
        "1_a.sql",
        "SET search_path = pg_catalog; SET ROLE migration_guest; CREATE TEMP TABLE clients (id int); PREPARE p AS SELECT 1;",
      );
      write(
        "2_b.sql",
        "CREATE TABLE b AS SELECT current_user::text AS who, count(*) AS n FROM clients; PREPARE p AS SELECT 2;",
      );
      assert.equal((await apply()).applied.length, 2);
      assert.equal(await value("SELECT n::int FROM public.b"), 1000);
      assert.notEqual(await value("SELECT who FROM public.b"), "migration_guest");
    } finally {
      await client.query("RESET ROLE; REVOKE CREATE ON SCHEMA public FROM migration_guest; DROP ROLE migration_guest");
    }
  });

  it("reads backslashes as the judge did, also where the database is configured otherwise", async () => {
    await client.query(
      "ALTER ROLE CURRENT_USER IN DATABASE current SET standard_conforming_strings = off".replace(
        "current ",
        `${client.database} `,
      ),
    );
    const sql = String.raw`CREATE TABLE t AS SELECT '\' AS a; --'; DROP TABLE clients; --'`;
    assert.equal((await judgeMigrations([{ file: "1_a.sql", sql }])).verdict, "pass");
    write("1_a.sql", sql);
    await apply(await connected());
    assert.equal(await value("SELECT a FROM t"), "\\");
    assert.equal(await value("SELECT count(*)::int FROM clients"), 1000);
  });

  describe("outside a transaction", () => {
    const index = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('clients_name')";

    it("runs CREATE INDEX CONCURRENTLY, and a second run does nothing", async () => {
      write(
        "1_index.sql",
        "SET statement_timeout = '1min';\nCREATE INDEX CONCURRENTLY IF NOT EXISTS clients_name ON clients (name);",
      );
      assert.deepEqual((await apply()).applied, ["1_index.sql"]);
      assert.equal(await value(index), true);
      assert.deepEqual(await pending(), []);
    });

    it("runs VACUUM", async () => {
      write("1_vacuum.sql", "VACUUM clients;");
      assert.deepEqual((await apply()).applied, ["1_vacuum.sql"]);
    });

    it("leaves no invalid index behind a failure", async () => {
      await client.query("INSERT INTO clients VALUES (1001, 'client 1')");
      write("1_index.sql", "\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS clients_name ON public.clients (name);");
      const error = await failure(apply());
      assert.deepEqual([error.line, error.exitCode], [2, exitCode.refused]);
      assert.match(error.message, /could not create unique index/);
      assert.equal(await value("SELECT to_regclass('clients_name')"), null);
      await client.query("DELETE FROM clients WHERE id = 1001");
      assert.deepEqual((await apply()).applied, ["1_index.sql"]);
      assert.equal(await value(index), true);
    });

    it("replaces the invalid index that an interruption left, which IF NOT EXISTS would keep", async () => {
      await client.query("INSERT INTO clients VALUES (1001, 'client 1')");
      await client.query("CREATE UNIQUE INDEX CONCURRENTLY clients_name ON clients (name)").catch(() => undefined);
      await client.query("DELETE FROM clients WHERE id = 1001");
      assert.equal(await value(index), false);
      write("1_index.sql", "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS clients_name ON clients (name);");
      assert.deepEqual((await apply()).applied, ["1_index.sql"]);
      assert.equal(await value(index), true);
    });
  });

  describe("interrupted", () => {
    it("by the server: exit 3, nothing of the file stays, and the next run applies it", async () => {
      write("1_a.sql", "CREATE TABLE a (id int);\nSELECT pg_sleep(30);");
      const victim = await connected();
      const run = failure(apply(victim));
      await sleeping(client);
      await client.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()",
      );
      const error = await run;
      assert.deepEqual([error.line, error.exitCode], [2, exitCode.unreachable]);
      assert.equal(await value("SELECT to_regclass('a')"), null);
      write("1_a.sql", "CREATE TABLE a (id int);");
      assert.deepEqual((await apply()).applied, ["1_a.sql"]);
    });

    it("by kill -9: nothing of the file stays, the lock is free, and the next run applies it", async () => {
      write("1_a.sql", "CREATE TABLE a (id int); INSERT INTO a VALUES (1);");
      write("2_b.sql", "CREATE TABLE b (id int);\nSELECT pg_sleep(30);");
      const program = `
        const { Client } = require("pg");
        const { applyMigrations } = require("./scripts/migrations/apply.ts");
        const { pendingMigrations } = require("./scripts/migrations/pending.ts");
        void (async () => {
          const client = new Client({ connectionString: process.env.DATABASE_URL });
          await client.connect();
          const { pending } = await pendingMigrations(client, { path: process.env.FOLDER, tool: "supabase" });
          await applyMigrations(client, pending, { lockTimeoutSeconds: 1 });
        })();`;
      const child = spawn(process.execPath, ["--require", "tsx/cjs", "-e", program], {
        env: { ...process.env, DATABASE_URL: url, FOLDER: folder },
        stdio: "ignore",
      });
      await sleeping(client);
      child.kill("SIGKILL");
      // The server notices a dead client when it next writes to it: end its session as an administrator would.
      await client.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()",
      );
      await sleep(200);
      assert.deepEqual(await pending(), ["2_b.sql"]);
      assert.equal(await value("SELECT to_regclass('b')"), null);
      write("2_b.sql", "CREATE TABLE b (id int);");
      assert.deepEqual((await apply()).applied, ["2_b.sql"]);
      assert.equal(await value("SELECT count(*)::int FROM a"), 1);
    });
  });

  describe("interrupted by a signal", () => {
    const interrupted = async (victim: Client): Promise<Interrupted> => {
      const abort = new AbortController();
      const list = (await pendingMigrations(client, { path: folder, tool: "supabase" })).pending;
      const run = applyMigrations(victim, list, { lockTimeoutSeconds: 1, signal: abort.signal }).then(
        () => assert.fail("it was applied"),
        (thrown: unknown) => thrown,
      );
      await sleeping(client);
      const start = performance.now();
      abort.abort();
      const error = await run;
      assert.ok(performance.now() - start < 5_000, "the statement ran on");
      assert.ok(error instanceof Interrupted, String(error));
      assert.equal(
        await value(
          "SELECT count(*)::int FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND state = 'active' AND pid <> pg_backend_pid()",
        ),
        0,
      );
      return error;
    };

    it("cancels the statement, keeps the files before it, and the next run goes on from there", async () => {
      write("1_a.sql", "CREATE TABLE a (id int);");
      write("2_b.sql", "CREATE TABLE b (id int);\nSELECT pg_sleep(30);");
      write("3_c.sql", "CREATE TABLE c (id int);");
      const victim = await connected();
      assert.match((await interrupted(victim)).message, /2_b\.sql was not applied \(applied before it: 1_a\.sql\)/);
      assert.deepEqual(await pending(), ["2_b.sql", "3_c.sql"]);
      assert.equal(await value("SELECT to_regclass('b')"), null);
      write("2_b.sql", "CREATE TABLE b (id int);");
      assert.deepEqual((await apply(victim)).applied, ["2_b.sql", "3_c.sql"], "the session and its lock are free");
    });

    it("cancels a statement that runs alone and leaves no invalid index", async () => {
      write("1_a.sql", "CREATE INDEX CONCURRENTLY /* pg_sleep(30) */ by_name ON clients ((name || pause()::text));");
      await client.query(
        "CREATE FUNCTION pause() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(30); RETURN 1; END $$",
      );
      assert.match((await interrupted(await connected())).message, /1_a\.sql was not applied \(nothing was applied\)/);
      assert.equal(await value("SELECT to_regclass('by_name')"), null);
      assert.deepEqual(await pending(), ["1_a.sql"]);
    });

    it("begins nothing when it is aborted before", async () => {
      write("1_a.sql", "CREATE TABLE a (id int);");
      const list = (await pendingMigrations(client, { path: folder, tool: "supabase" })).pending;
      const options = { lockTimeoutSeconds: 1, signal: AbortSignal.abort() };
      await assert.rejects(applyMigrations(client, list, options), Interrupted);
      assert.equal(await value("SELECT to_regclass('a')"), null);
    });
  });

  describe("the judge with the live catalog", () => {
    const verdict = async (sql: string): Promise<string> =>
      (await judgeMigrations([{ file: "1.sql", sql }], await liveCatalog(client))).verdict;

    it("knows present types", async () => {
      assert.equal(await verdict("ALTER TABLE clients ALTER COLUMN name TYPE varchar(60);"), "pass");
      assert.equal(await verdict("ALTER TABLE clients ALTER COLUMN name TYPE varchar(40);"), "refused");
      assert.equal(await verdict("ALTER TABLE clients ALTER COLUMN id TYPE smallint;"), "refused");
      assert.equal(await verdict("ALTER TABLE clients ALTER COLUMN missing TYPE bigint;"), "refused");
    });

    it("knows the search path that migrations start with, not the session's own", async () => {
      await client.query(`CREATE SCHEMA app; ALTER DATABASE ${client.database} SET search_path = app, public`);
      client = await connected();
      await client.query("SET search_path = pg_catalog");
      assert.deepEqual((await liveCatalog(client)).searchPath, ["app", "public"]);
      assert.equal(await verdict("CREATE TABLE clients (id int); DROP TABLE app.clients;"), "pass");
      assert.equal(await verdict("CREATE TABLE clients (id int); DROP TABLE public.clients;"), "refused");
    });
  });
});

/** Waits until some session runs the migration's pg_sleep. */
async function sleeping(client: Client): Promise<void> {
  for (;;) {
    const { rowCount } = await client.query(
      "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND wait_event = 'PgSleep' AND pid <> pg_backend_pid()",
    );
    if (rowCount !== 0) return;
    await sleep(50);
  }
}
