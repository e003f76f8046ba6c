/** The trial on a real server: what only running a migration on these rows shows, and what must pass. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Client } from "pg";
import { withConnection } from "../../../scripts/database/connect";
import { openSnapshot } from "../../../scripts/database/snapshot";
import { parseTarget } from "../../../scripts/database/target";
import { computeFingerprint } from "../../../scripts/fingerprint/compute";
import { readIdentity } from "../../../scripts/database/identity";
import { judgeMigrations } from "../../../scripts/migrations/judge";
import { type TrialOptions, summarizeTrial, trialEvidence, tryMigrations } from "../../../scripts/migrations/trial";
import { type Trial, trialSchema } from "../../../scripts/record/trial";
import { freshDatabase, sharedCluster } from "../../servers/postgres";

const schema = `
  CREATE TABLE clients (id int PRIMARY KEY, name text NOT NULL, stage text, touched int NOT NULL DEFAULT 0, seen date);
  INSERT INTO clients SELECT i, 'client ' || i, CASE WHEN i % 4 = 0 THEN 'lost' END, 0, date '2020-01-01' + i
    FROM generate_series(1, 2000) i;
  CREATE TABLE tasks (id bigserial PRIMARY KEY, client_id int REFERENCES clients ON DELETE CASCADE);
  INSERT INTO tasks (client_id) SELECT 1 + i % 2000 FROM generate_series(1, 500) i;
  CREATE TABLE imports (id int PRIMARY KEY);
  CREATE UNIQUE INDEX imported ON imports (id);
  ALTER TABLE clients ENABLE ROW LEVEL SECURITY;
  GRANT SELECT ON tasks TO pg_read_all_settings;
  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := OLD.touched + 1; RETURN NEW; END';
  CREATE TRIGGER touch BEFORE UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION touch();
  CREATE FUNCTION purge_lost() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN DELETE FROM clients WHERE stage = 'lost' AND id <= 40; RETURN 1; END $$;
  CREATE FUNCTION after_import() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN DELETE FROM tasks WHERE id <= NEW.id; RETURN NEW; END';
  CREATE TRIGGER after_import AFTER INSERT ON imports FOR EACH ROW EXECUTE FUNCTION after_import();
  CREATE SCHEMA app;`;

describe("the trial of migrations", function () {
  this.timeout(60_000);
  let options: Omit<TrialOptions, "pending" | "judged">;
  let client: Client;

  before(async () => {
    process.env["SCRATCH_DATABASE_URL"] = (await sharedCluster()).url;
    const url = await freshDatabase("trial");
    const target = parseTarget(url, "DATABASE_URL");
    client = new Client({ connectionString: url });
    await client.connect();
    await client.query(schema);
    await client.query(`ALTER DATABASE ${target.database} SET search_path = app, public`);
    await client.end();
    const snapshot = await openSnapshot(target);
    const fingerprint = await computeFingerprint(snapshot, { jobs: 2 });
    const { id, visibility, lsn, takenAt } = snapshot;
    await snapshot.close();
    const database = await withConnection(target, (session) => readIdentity(session, target));
    options = {
      scratch: { kind: "external", database: target.database },
      fingerprint,
      manifest: { database, snapshot: { id, visibility, lsn, takenAt: takenAt.toISOString() }, tables: [] },
      live: target,
      lockTimeoutSeconds: 1,
    };
  });
  after(() => delete process.env["SCRATCH_DATABASE_URL"]);

  /** Each text is a file: `1.sql`, `2.sql`, …; `judged` by the static judge as in a gate, unless told otherwise. */
  async function tried(texts: readonly string[], { judged = true } = {}): Promise<Trial> {
    const pending = texts.map((sql, place) => ({
      ...{ version: `${place + 1}`, name: "", file: `${place + 1}.sql`, sql },
      sha256: createHash("sha256").update(sql).digest("hex"),
    }));
    const { findings } = await judgeMigrations(pending);
    return trialSchema.parse(await tryMigrations({ ...options, pending, judged: judged ? findings : [] }));
  }

  /** `id: message`, so that a case says what a person reads. */
  const findingsOf = async (texts: readonly string[], how?: { judged: boolean }): Promise<string[]> =>
    (await tried(texts, how)).findings.map(({ id, message }) => `${id} | ${message}`);

  const losses: readonly [title: string, files: readonly string[], ...findings: RegExp[]][] = [
    [
      "a function deletes what its condition finds, and by cascade more; a table and a column go",
      ["SELECT purge_lost();", "ALTER TABLE clients DROP COLUMN seen;\nDROP TABLE imports;"],
      /^public\.clients \| public\.clients: column\(s\) gone: seen$/,
      /^public\.imports \| public\.imports: the table is gone/,
      /^public\.tasks \| public\.tasks: 10 of 500 row\(s\) are lost: (\{"id" : "\d+"\}, ){4}\{"id" : "\d+"\}, …$/,
    ],
    [
      "triggers delete when a file only adds a row, and write another column when it fills a new one; a type cuts values",
      [
        "INSERT INTO imports VALUES (3) ON CONFLICT DO NOTHING; SELECT setval('tasks_id_seq', 1);",
        "ALTER TABLE clients ADD COLUMN kind text; UPDATE clients SET kind = 'x' WHERE id <= 7;",
        "ALTER TABLE clients ALTER COLUMN name TYPE varchar(9) USING left(name, 9);",
      ],
      /^public\.tasks \| public\.tasks: 3 of 500 row\(s\) are lost: \{"id" : "?[123]/,
      /^public\.clients\.name \| public\.clients: 1901 row\(s\) have another value in name$/,
      /^public\.clients\.touched \| public\.clients: 7 row\(s\) have another value in touched$/,
      /^public\.tasks_id_seq \| sequence .* fell back to 1/,
    ],
    [
      "a function deletes rows of a table whose columns stay; a file fails on what is in the table",
      ["SELECT purge_lost();", "ALTER TABLE clients ALTER COLUMN stage SET NOT NULL;", "SELECT 1;"],
      /^2\.sql:fails \| 2\.sql:1:1: column "stage"/,
      /^public\.clients \| public\.clients: 10 of 2000 row\(s\) are lost: .*, …$/,
      /^public\.tasks \| /,
    ],
    ["a file that does not parse", ["SELEC 1;"], /^1\.sql:fails \| 1\.sql:1:1: syntax error/],
  ];
  for (const [title, files, ...expected] of losses) {
    it(`finds: ${title}`, async () => {
      const found = await findingsOf(files);
      assert.equal(found.length, expected.length, found.join("\n"));
      expected.forEach((pattern, place) => assert.match(found[place]!, pattern));
    });
  }

  it("finds what the definitions lost, unless the static judge tells of it", async () => {
    const sql = "ALTER TABLE clients DISABLE ROW LEVEL SECURITY; REVOKE SELECT ON tasks FROM pg_read_all_settings;";
    const found = await findingsOf([sql], { judged: false });
    assert.deepEqual(found, [
      "public.tasks | right(s) to relation public.tasks are gone: pg_read_all_settings SELECT",
      "public.clients | row security of public.clients is switched off",
    ]);
    const trial = await tried([sql]);
    assert.deepEqual(trial.findings, []);
    assert.match(trial.explained.join("\n"), /switched off: 1\.sql \(disable-row-security\)/);
  });

  it("lets additive files pass, each run as in production, and tells time and locks", async () => {
    const trial = await tried([
      "BEGIN; ALTER TABLE public.clients ADD COLUMN note text DEFAULT ''; SELECT pg_sleep(0.1); COMMIT;",
      "CREATE INDEX CONCURRENTLY clients_name ON clients (name);",
      "CREATE TABLE unqualified (id int); INSERT INTO tasks (client_id) VALUES (1);",
      "ALTER TABLE clients ALTER COLUMN name TYPE varchar(500);",
      "ALTER TABLE imports ADD CONSTRAINT imported_once UNIQUE USING INDEX imported;",
    ]);
    assert.deepEqual(trial.findings, []);
    assert.deepEqual(
      trial.files.map(({ file }) => file),
      ["1.sql", "2.sql", "3.sql", "4.sql", "5.sql"],
    );
    assert.match(summarizeTrial(trial), /^5 file\(s\) ran in \d\.\d s on the restored copy: nothing is lost$/);
    const [strongest] = trial.locks;
    assert.deepEqual([strongest?.table, strongest?.mode], ["public.clients", "ACCESS EXCLUSIVE"]);
    assert.ok(strongest!.milliseconds >= 100 && strongest!.milliseconds < 1000, JSON.stringify(trial.locks));
    assert.ok(trial.locks.some(({ table, mode }) => table === "public.tasks" && mode === "ROW EXCLUSIVE"));
    // The live database's role looks names up in app first.
    assert.ok(trial.definitions.includes("relation app.unqualified added"), trial.definitions.join());
    assert.match(
      trialEvidence(trial).join("\n"),
      /lock: public\.clients ACCESS EXCLUSIVE for \d+ ms: readers and writers wait/,
    );
  });

  it("leaves the restored copy as it was, and nothing on the server", async () => {
    await tried(["CREATE ROLE trial_made_this; DELETE FROM tasks;"]);
    await withConnection(options.live, async (session) => {
      const { rows } = await session.query(
        `SELECT (SELECT count(*)::int FROM public.tasks) AS tasks,
                (SELECT count(*)::int FROM pg_roles WHERE rolname LIKE 'trial%') AS roles,
                (SELECT count(*)::int FROM pg_database WHERE datname LIKE 'throwaway%') AS copies`,
      );
      assert.deepEqual(rows, [{ tasks: 500, roles: 0, copies: 0 }]);
    });
  });

  it("does not run what acts on more than the database, nor what follows it", async () => {
    const found = await findingsOf(["CREATE TABLE a (i int);", "CREATE DATABASE other;", "CREATE TABLE b (i int);"]);
    assert.deepEqual(found, [
      "2.sql:not-tried | 2.sql: not tried: it acts on more than this database",
      "3.sql:not-tried | 3.sql: not tried: it follows 2.sql",
    ]);
  });

  it("ends when it is interrupted, and drops its copy", async () => {
    const controller = new AbortController();
    const sql = "SELECT pg_sleep(30);";
    const pending = [{ version: "1", name: "", file: "1.sql", sql, sha256: "" }];
    setTimeout(() => controller.abort(), 300);
    await assert.rejects(tryMigrations({ ...options, pending, judged: [], signal: controller.signal }), /interrupted/);
    const copies = "SELECT FROM pg_database WHERE datname LIKE 'throwaway%'";
    assert.equal((await withConnection(options.live, (session) => session.query(copies))).rowCount, 0);
  });
});
