/** The data checks against a real server: the strategy's set on its own CRM, and what a check may not do. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { Unavailable } from "../../scripts/contract/failure";
import { connect } from "../../scripts/database/connect";
import { parseTarget } from "../../scripts/database/target";
import { type DataCheckReport, runDataChecks } from "../../scripts/verification/dataChecks/runDataChecks";
import { freshDatabase } from "../servers/postgres";

const crm = `
CREATE TABLE clients (id bigint PRIMARY KEY, name text, email text, stage text, created_at timestamptz DEFAULT now());
CREATE TABLE tasks (id bigint PRIMARY KEY, client_id bigint REFERENCES clients, title text);
CREATE TABLE chat_messages (id bigint PRIMARY KEY, client_id bigint REFERENCES clients, body text);
INSERT INTO clients SELECT n, 'Client ' || n, 'client' || n || '@example.com', 'lead' FROM generate_series(1, 50) n;
INSERT INTO tasks SELECT n, n, 'Task' FROM generate_series(1, 20) n;
INSERT INTO chat_messages SELECT n, n, 'Hello' FROM generate_series(1, 30) n;`;

describe("data checks", function () {
  this.timeout(60_000);
  let url: string;
  let client: Client;
  let root: string;

  before(async () => {
    url = await freshDatabase("data_checks");
    client = await connect(parseTarget(url, "DATABASE_URL"));
  });
  after(() => client.end());
  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), "checks-"));
    await client.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public; SET search_path = public");
    await client.query(crm);
    await client.query("SET search_path = pg_catalog");
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const run = (checks = "checks") => runDataChecks(client, { checks, root });

  /** One check of the project's own, run beside the strategy's. */
  async function runOwn(header: string, query: string): Promise<string> {
    mkdirSync(join(root, "checks"));
    writeFileSync(join(root, "checks", "own.sql"), `-- name: own\n${header}\n${query};\n`);
    return outcome(await run(), "own");
  }

  function outcome(report: DataCheckReport, name: string): string {
    const found = report.results.find((result) => result.name === name);
    return `${found?.outcome}: ${found?.evidence}`;
  }

  it("passes on an intact CRM, with the counts as evidence", async () => {
    const report = await run();
    assert.deepEqual([report.verdict, report.summary], ["pass", "6 of 6 data checks passed"]);
    assert.equal(
      outcome(report, "record-counts"),
      "pass: found 3 rows, expected rows = 3: table_name clients, record_count 50; " +
        "table_name tasks, record_count 20; table_name chat_messages, record_count 30",
    );
    assert.match(
      outcome(report, "client-integrity"),
      /total_clients 50, clients_with_email 50, clients_with_stage 50$/,
    );
    assert.equal(outcome(report, "client-corruption"), "pass: found 0 rows, expected no rows");
  });

  it("halts on corrupted clients and shows ten ids, but nothing else of the rows", async () => {
    await client.query("UPDATE public.clients SET stage = NULL WHERE id BETWEEN 7 AND 20");
    const report = await run();
    assert.equal(report.verdict, "halt");
    assert.equal(report.summary, "2 of 6 data checks: client-corruption (fail), client-integrity (fail)");
    assert.equal(
      outcome(report, "client-corruption"),
      "fail: found 14 rows, expected no rows: id 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, …",
    );
    assert.match(outcome(report, "client-integrity"), /^fail: found 14, expected value = 0: incomplete_clients 14, /);
    assert.ok(!JSON.stringify(report).includes("@example.com"));
  });

  it("halts when no client is left, and warns of empty tasks and messages", async () => {
    await client.query("TRUNCATE public.tasks, public.chat_messages");
    const young = await run();
    assert.deepEqual([young.verdict, young.summary], ["pass", "4 of 6 data checks passed, 2 warn"]);
    await client.query("TRUNCATE public.clients CASCADE");
    const empty = await run();
    assert.equal(empty.summary, "1 of 6 data checks: clients-exist (fail)");
  });

  it("does not apply where tables or columns are absent, and halts if nothing applies", async () => {
    await client.query("ALTER TABLE public.clients DROP COLUMN stage; DROP TABLE public.tasks");
    const partly = await run();
    assert.equal(partly.verdict, "pass");
    assert.equal(outcome(partly, "client-integrity"), "not applicable: public.clients.stage does not exist");
    assert.equal(outcome(partly, "record-counts"), "not applicable: public.tasks does not exist");
    await client.query("DROP TABLE public.clients CASCADE; DROP TABLE public.chat_messages");
    const none = await run();
    assert.deepEqual(
      [none.verdict, none.summary],
      ["halt", "no data check applies to this database: add one, or set checks to none"],
    );
    assert.deepEqual(await run("none"), { verdict: "pass", summary: "checks: none: no data was checked", results: [] });
  });

  it("counts the rows that it does not fetch, and resolves names in public", async () => {
    assert.equal(
      await runOwn(
        "-- severity: warn\n-- expect: no rows",
        "SELECT n, repeat('x', 100) FROM generate_series(1, 200000) n, clients WHERE id = 1",
      ),
      "warn: found 200000 rows, expected no rows: n 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …",
    );
  });

  it("cannot write, lock or leave its transaction", async () => {
    await client.query(
      "CREATE FUNCTION public.purge() RETURNS int LANGUAGE sql AS 'DELETE FROM public.tasks RETURNING 1'",
    );
    for (const [query, refusal] of [
      ["SELECT purge()", /^error: cannot execute DELETE in a read-only transaction/],
      ["WITH gone AS (DELETE FROM tasks RETURNING 1) SELECT * FROM gone", /^error: .*data-modifying/],
      ["SELECT id FROM clients FOR UPDATE", /^error: .*(read-only|FOR UPDATE)/],
      ["SELECT 1 INTO copied", /^error: /],
      [
        "SELECT set_config('transaction_read_only', 'off', false)",
        /^error: transaction read-write mode must be set before/,
      ],
    ] as const) {
      rmSync(join(root, "checks"), { recursive: true, force: true });
      assert.match(await runOwn("-- severity: halt\n-- expect: rows", query), refusal, query);
    }
    const { rows } = await client.query("SELECT count(*)::int AS tasks FROM public.tasks");
    assert.deepEqual(rows, [{ tasks: 20 }]);
  });

  it("halts on a check that cannot be run, and says what to do", async () => {
    assert.match(
      await runOwn("-- severity: halt\n-- expect: no rows", "SELECT 1 FROM nowhere"),
      /^error: relation "nowhere" does not exist.*-- requires:/,
    );
    assert.match((await run()).summary, /^1 of 7 data checks: own \(error\)$/);
    rmSync(join(root, "checks"), { recursive: true });
    const slow = await runOwn("-- severity: halt\n-- expect: rows\n-- timeout: 100ms", "SELECT pg_sleep(10)");
    assert.match(slow, /^error: did not finish within its timeout of 0\.1 s/);
    // The session is as it was.
    const { rows } = await client.query("SHOW statement_timeout");
    assert.deepEqual(rows, [{ statement_timeout: "0" }]);
  });

  it("takes a policy that hides rows for an error, not for an answer", async () => {
    await client.query(`ALTER TABLE public.clients ENABLE ROW LEVEL SECURITY;
      DROP ROLE IF EXISTS data_checks_reader; CREATE ROLE data_checks_reader LOGIN PASSWORD 'reader';
      GRANT USAGE ON SCHEMA public TO data_checks_reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO data_checks_reader`);
    const address = new URL(url);
    address.username = "data_checks_reader";
    address.password = "reader";
    const reader = new Client({ connectionString: address.href });
    await reader.connect();
    try {
      const report = await runDataChecks(reader, { checks: "checks", root });
      assert.equal(report.verdict, "halt");
      assert.match(
        outcome(report, "client-corruption"),
        /^error: query would be affected by row-level security.*BYPASSRLS/,
      );
      assert.match(outcome(report, "tasks-exist"), /^pass/);
    } finally {
      await reader.end();
      await client.query("DROP OWNED BY data_checks_reader; DROP ROLE data_checks_reader");
    }
  });

  it("compares booleans and text as people write them", async () => {
    assert.equal(
      await runOwn("-- severity: halt\n-- expect: value = false", "SELECT 1 > 2"),
      "pass: found false, expected value = false",
    );
  });

  it("is unreachable, not failed, when the connection is lost", async () => {
    const lost = await connect(parseTarget(url, "DATABASE_URL"));
    const { rows } = await lost.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    mkdirSync(join(root, "checks"));
    writeFileSync(
      join(root, "checks", "a.sql"),
      "-- name: a\n-- severity: warn\n-- expect: rows\nSELECT pg_sleep(20);",
    );
    const running = assert.rejects(runDataChecks(lost, { checks: "checks", root }), Unavailable);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await client.query("SELECT pg_terminate_backend($1)", [rows[0]?.pid]);
    await running;
    await lost.end().catch(() => undefined);
  });

  it("stops between checks when it is interrupted", async () => {
    const signal = AbortSignal.abort(new Error("interrupted"));
    await assert.rejects(runDataChecks(client, { checks: "checks", root, signal }), /interrupted/);
  });
});
