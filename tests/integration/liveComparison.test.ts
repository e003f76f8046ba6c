/** After a release: which rows of the snapshot are gone, by name, under every policy, and what else is a loss. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createBackup } from "../../scripts/backup/createBackup";
import type { Client } from "pg";
import { Interrupted, Unavailable, UsageError } from "../../scripts/contract/failure";
import { withConnection } from "../../scripts/database/connect";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import { type TablePolicy, tablePolicySchema } from "../../scripts/settings";
import { type ScratchDatabase, closeScratch } from "../../scripts/scratch/scratchServer";
import { openStore } from "../../scripts/store/openStore";
import { type ComparisonInput, type LiveComparison, compareWithLive } from "../../scripts/verification/liveComparison";
import { type JudgedStatement, findCatalogLosses } from "../../scripts/verification/catalogLosses";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";

const reader = `reader_${process.pid}`;

/** Besides the CRM: what a release can take away, and a table that is divided by what is part of its key. */
const more = `
  CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE TRIGGER note BEFORE INSERT ON clients FOR EACH ROW EXECUTE FUNCTION noted();
  ALTER TABLE tasks ADD CONSTRAINT titled CHECK (title <> '');
  CREATE TRIGGER note BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION noted();
  CREATE UNIQUE INDEX one_remark ON clients (lower(email));
  CREATE UNIQUE INDEX one_message ON chat_messages (number, client_id);
  GRANT SELECT, UPDATE ON tasks TO ${reader};
  CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY, region text, body text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
  CREATE TABLE events_eu PARTITION OF events FOR VALUES IN ('eu');
  CREATE TABLE events_us PARTITION OF events FOR VALUES IN ('us', 'ca');
  INSERT INTO events (region, body) SELECT CASE WHEN n % 2 = 0 THEN 'eu' ELSE 'us' END, 'event ' || n FROM generate_series(1, 3000) n;
  CREATE TABLE visits (person int, day date, PRIMARY KEY (person, day)) PARTITION BY RANGE (day);
  CREATE TABLE visits_old PARTITION OF visits FOR VALUES FROM ('2020-01-01') TO ('2025-01-01');
  CREATE TABLE visits_new PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2030-01-01');
  INSERT INTO visits SELECT n, '2024-12-31' FROM generate_series(1, 50) n`;

describe("the live database against the snapshot", function () {
  this.timeout(30_000);
  let client: Client;
  let live: DatabaseTarget;
  let original: Pick<ComparisonInput, "fingerprint" | "manifest">;
  let scratch: ScratchDatabase;

  before(async function () {
    this.timeout(60_000);
    const crm = await freshCrm();
    client = crm.client;
    live = parseTarget(crm.url, "test");
    await client.query(`CREATE ROLE ${reader}`);
    await client.query(more);
    const store = openStore(freshStore());
    const backup = await createBackup({ target: live, store, tier: "manual", runId: "live" });
    original = backup;
    const keepScratchUntil = new Date(Date.now() + 300_000);
    const verified = await verifyBackup({ store, backup: backup.reference, depth: 4, runId: "live", keepScratchUntil });
    scratch = verified.scratch!;
  });
  after(async () => {
    await closeScratch(scratch.place);
    await closeCrmClients();
  });

  /** Changes the live database, compares, and undoes the change: each case starts from the snapshot. */
  async function afterChange(
    change: string,
    policies: Record<string, TablePolicy> = {},
    openCopy: () => Promise<DatabaseTarget> = () => Promise.resolve(scratch.target),
    judged: JudgedStatement[] = [],
  ): Promise<LiveComparison & { keys: string[] }> {
    const keys: string[] = [];
    const undo = `CREATE DATABASE undo_${process.hrtime.bigint()} TEMPLATE ${live.database}`;
    const copy = /undo_\d+/.exec(undo)![0];
    // A copy of the database, so that DDL of any kind is undone by dropping it.
    await withAdmin(async (admin) => void (await admin.query(undo)));
    const target = { ...live, database: copy };
    try {
      await withDatabase(copy, (changed) => changed.query(change));
      const comparison = await compareWithLive({
        ...original,
        live: target,
        copy: openCopy,
        policies,
        judged,
        listenerOf: () => ({ onMissing: (key) => void keys.push(key) }),
      });
      return { ...comparison, keys };
    } finally {
      await withAdmin(async (admin) => void (await admin.query(`DROP DATABASE ${copy} WITH (FORCE)`)));
    }
  }

  async function withDatabase<T>(database: string, work: (client: Client) => Promise<T>): Promise<T> {
    const { Client } = await import("pg");
    const { host, port, user, password } = live;
    const other = new Client({ host, port, user, password, database });
    await other.connect();
    return work(other).finally(() => other.end());
  }

  async function withAdmin(work: (client: Client) => Promise<void>): Promise<void> {
    // CREATE DATABASE … TEMPLATE needs the template to itself.
    await client.end().catch(() => undefined);
    await withDatabase("postgres", (admin) => work(admin));
  }

  const policy = (input: Partial<TablePolicy>): TablePolicy => tablePolicySchema.parse(input);
  const tableOf = (comparison: LiveComparison, name: string) => comparison.tables.find(({ table }) => table === name)!;

  it("passes when nothing happened, and when live traffic inserts and updates", async () => {
    assert.equal((await afterChange("SELECT 1")).verdict, "pass");
    const busy = await afterChange(
      "UPDATE clients SET balance = 0 WHERE id % 10 = 0; INSERT INTO clients (name) SELECT 'new' FROM generate_series(1, 300)",
    );
    assert.equal(busy.verdict, "pass");
    assert.deepEqual([tableOf(busy, "public.clients").changed, tableOf(busy, "public.clients").added], [200, 300]);
  });

  it("names a single deleted row", async () => {
    const lost = await afterChange("DELETE FROM chat_messages WHERE client_id = 7 AND number = 2");
    assert.equal(lost.verdict, "fail");
    assert.deepEqual(tableOf(lost, "public.chat_messages").missingKeys, ['{"client_id" : "7", "number" : "2"}']);
  });

  it("is not fooled by a row deleted and another inserted: the counts are equal", async () => {
    const lost = await afterChange(
      "DELETE FROM tasks WHERE id = 5; INSERT INTO tasks (client_id, title) VALUES (1, 'other')",
    );
    const tasks = tableOf(lost, "public.tasks");
    assert.equal(tasks.rowsBefore, tasks.rowsNow);
    assert.deepEqual([lost.verdict, tasks.missing, tasks.added, lost.keys], ["fail", 1, 1, ['{"id" : "5"}']]);
  });

  it("finds every row of a cascading delete and a TRUNCATE, showing 20 and reporting all", async () => {
    const cascade = await afterChange("DELETE FROM clients WHERE id <= 30");
    assert.equal(tableOf(cascade, "public.clients").missing, 30);
    assert.equal(tableOf(cascade, "public.tasks").missing, 90);
    assert.equal(tableOf(cascade, "public.clients").missingKeys.length, 20);
    assert.equal(cascade.keys.length, 30 + 90 + 150);
    assert.equal(tableOf(await afterChange("TRUNCATE tasks"), "public.tasks").missing, 6_000);
  });

  it("honours deletes: <=N and any, updates: none", async () => {
    const two = "DELETE FROM tasks WHERE id IN (1, 2)";
    assert.equal((await afterChange(two, { "public.tasks": policy({ deletes: "<=2" }) })).verdict, "pass");
    assert.equal((await afterChange(two, { "public.tasks": policy({ deletes: "<=1" }) })).verdict, "fail");
    assert.equal(
      (await afterChange("DELETE FROM tasks", { "public.tasks": policy({ deletes: "any" }) })).verdict,
      "pass",
    );
    const update = "UPDATE tasks SET title = 'x' WHERE id = 1";
    assert.equal((await afterChange(update, { "public.tasks": policy({ updates: "none" }) })).verdict, "fail");
  });

  it("cannot tell an update from a delete without a key, and says so", async () => {
    const changed = await afterChange(`UPDATE "Ünsorted ""Notes""" SET remark = 'b' WHERE remark = 'a'`);
    const notes = tableOf(changed, 'public.Ünsorted "Notes"');
    assert.match(notes.failure ?? "", /without a key/);
    assert.ok(!notes.missingKeys.join().includes('"a"'), "a row's content must not be shown");
    assert.equal((await afterChange(`INSERT INTO "Ünsorted ""Notes""" VALUES ('c')`)).verdict, "pass");
  });

  it("fails on a dropped column and a dropped, renamed or moved table", async () => {
    assert.match(
      tableOf(await afterChange("ALTER TABLE clients DROP COLUMN tags"), "public.clients").failure ?? "",
      /tags/,
    );
    for (const change of [
      "DROP TABLE tasks",
      "ALTER TABLE tasks RENAME TO todo",
      "CREATE SCHEMA s; ALTER TABLE tasks SET SCHEMA s",
    ]) {
      assert.match(tableOf(await afterChange(change), "public.tasks").failure ?? "", /gone/, change);
    }
  });

  it("passes additive DDL: new columns, widened types, indexes, policies", async () => {
    const additive = await afterChange(`
      ALTER TABLE clients ADD COLUMN phone text; ALTER TABLE chat_messages ALTER COLUMN number TYPE bigint;
      CREATE INDEX ON clients (name); CREATE TABLE invoices (id int); CREATE POLICY more ON clients USING (false)`);
    assert.equal(additive.verdict, "pass");
    assert.ok(additive.catalogChanges.includes("column public.clients.phone added"));
  });

  it("fails when a sequence fell back, row security is switched off or a policy is gone", async () => {
    assert.match(
      (await afterChange("ALTER SEQUENCE tasks_id_seq RESTART WITH 1")).failures.join(),
      /sequence public\.tasks_id_seq fell back/,
    );
    assert.match((await afterChange("ALTER TABLE clients DISABLE ROW LEVEL SECURITY")).failures.join(), /switched off/);
    assert.match((await afterChange("DROP POLICY everything ON clients")).failures.join(), /everything is gone/);
  });

  it("fails when row security is switched off, with or without policies; switched on, it passes", async () => {
    // A table without policies that is guarded denies everybody everything.
    const guarded = await afterChange(
      "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY; ALTER TABLE tasks FORCE ROW LEVEL SECURITY",
    );
    assert.deepEqual([guarded.verdict, guarded.failures], ["pass", []]);
    assert.ok(guarded.catalogChanges.includes("row-security public.tasks added"));
    const open = await afterChange("DROP POLICY everything ON clients; ALTER TABLE clients DISABLE ROW LEVEL SECURITY");
    assert.deepEqual(open.failures, [
      "row security policy public.clients.everything is gone",
      "row security of public.clients is switched off",
    ]);
  });

  describe("what the definitions lost", () => {
    /** What is lost, what is said of it, and what the judge said of the migration that takes it. */
    const losses: [change: string, failure: string, rule: string, reason: string][] = [
      [
        "DROP TRIGGER note ON clients",
        "trigger public.clients.note is gone",
        "drop-trigger",
        "drops the trigger note on",
      ],
      [
        "ALTER TABLE tasks DISABLE TRIGGER USER",
        "trigger public.tasks.note is no longer enabled",
        "disable-trigger",
        "disables every trigger of tasks",
      ],
      [
        "ALTER TABLE tasks DROP CONSTRAINT titled",
        "constraint public.tasks.titled is gone",
        "drop-constraint",
        "drops the constraint titled",
      ],
      // Its index goes with it, and is not named besides.
      [
        "ALTER TABLE tasks DROP CONSTRAINT tasks_pkey",
        "constraint public.tasks.tasks_pkey is gone",
        "drop-constraint",
        "drops the constraint tasks_pkey",
      ],
      [
        "DROP INDEX one_message; CREATE INDEX one_message ON chat_messages (number)",
        "index public.one_message is no longer unique",
        "drop-index",
        "drops the index one_message",
      ],
      ["DROP INDEX one_remark", "unique index public.one_remark is gone", "drop-index", "drops the index one_remark"],
      [
        `REVOKE UPDATE ON tasks FROM ${reader}`,
        `right(s) to relation public.tasks are gone: ${reader} UPDATE`,
        "revoke-right",
        "takes a right away",
      ],
      // The rows read otherwise then, although nobody wrote them.
      [
        "ALTER TYPE stage RENAME VALUE 'won' TO 'gained'",
        "enum public.stage lost the label(s) 'won'",
        "alter-enum-value",
        "renames the value 'won' of stage",
      ],
    ];
    const everything = losses.map(([change]) => change).join(";");
    const judgements = losses.map(([, , rule, reason]) => ({ file: "1.sql", rule, reason }));

    it("fails, all of it named", async () => {
      const lost = await afterChange(everything);
      assert.deepEqual([...lost.failures].sort(), losses.map(([, failure]) => failure).sort());
      assert.equal(lost.verdict, "fail");
    });

    it("passes what judged migrations say, and says which", async () => {
      const explained = await afterChange(everything, {}, undefined, judgements);
      assert.deepEqual([explained.verdict, explained.failures], ["pass", []]);
      assert.ok(explained.explained.includes("constraint public.tasks.titled is gone: 1.sql (drop-constraint)"));
      assert.equal(tableOf(explained, "public.clients").unwritten, 667);
    });

    it("is not explained by a migration that takes something else", () => {
      const trigger = { change: "removed", kind: "trigger", name: "public.clients.note", lost: ["enabled"] } as const;
      const judged = [{ file: "1.sql", rule: "drop-trigger", reason: "drops the trigger other on clients" }];
      assert.deepEqual(findCatalogLosses([trigger], judged).failures, ["trigger public.clients.note is gone"]);
    });

    it("new labels and rights, and an index that is not unique, are no loss", async () => {
      const more = await afterChange(
        `ALTER TYPE stage ADD VALUE 'asleep'; GRANT DELETE ON tasks TO ${reader}; CREATE TRIGGER n2 AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION noted()`,
      );
      assert.deepEqual([more.verdict, more.failures], ["pass", []]);
    });
  });

  it("finds a row that changed although nobody wrote it: a bit that fell over on the disk", async () => {
    const damaged = `damaged_${process.hrtime.bigint()}`;
    const source = `${damaged}_source`;
    await withAdmin(async (admin) => {
      await admin.query(`CREATE DATABASE ${source} TEMPLATE ${live.database} STRATEGY FILE_COPY`);
      const place = await withDatabase(source, (other) =>
        other.query("SELECT current_setting('data_directory') || '/' || pg_relation_filepath('tasks') AS path"),
      );
      const { path } = place.rows[0];
      const pages = readFileSync(path);
      const found = pages.indexOf("Call 2");
      pages.write("Cell", found);
      writeFileSync(path, pages);
      // The pages of the copy are read from the disk.
      await admin.query(`CREATE DATABASE ${damaged} TEMPLATE ${source} STRATEGY FILE_COPY`);
      await admin.query(`ALTER DATABASE ${damaged} SET ignore_checksum_failure = on`);
    });
    const comparison = await compareWithLive({
      ...original,
      live: { ...live, database: damaged },
      copy: () => Promise.resolve(scratch.target),
      policies: { "public.tasks": policy({ updates: "any" }) },
    });
    const tasks = tableOf(comparison, "public.tasks");
    assert.deepEqual(
      [comparison.verdict, tasks.changed, tasks.unwritten, tasks.unwrittenKeys.length],
      ["fail", 1, 1, 1],
    );
    assert.match(tasks.failure ?? "", /1 row\(s\) have other content and nobody wrote them/);
  });

  describe("rows that an update moved to another partition", () => {
    it("are not lost, nor told to whoever repairs; deleted ones beside them are", async () => {
      const moved = await afterChange(
        "UPDATE events SET region = 'us', body = 'moved' WHERE region = 'eu' AND id % 4 = 0; DELETE FROM events WHERE id = 2",
      );
      const events = tableOf(moved, "public.events_eu");
      assert.deepEqual([events.missing, events.moved, tableOf(moved, "public.events_us").added], [1, 750, 750]);
      assert.deepEqual([moved.verdict, moved.keys], ["fail", ['{"id" : "2", "region" : "eu"}']]);
      const within = await afterChange("UPDATE events SET region = 'ca' WHERE region = 'us' AND id < 100");
      assert.deepEqual([within.verdict, tableOf(within, "public.events_us").moved], ["pass", 50]);
    });

    it("are told from a row that was deleted and another inserted, where the key is not the database's own", async () => {
      const lost = await afterChange(
        "DELETE FROM visits WHERE person = 7; INSERT INTO visits VALUES (7, '2025-06-01')",
      );
      assert.deepEqual(tableOf(lost, "public.visits_old").missingKeys, ['{"person" : "7", "day" : "2024-12-31"}']);
    });

    it("a policy of the partitioned table is that of its partitions, unless they have one", async () => {
      const change = "DELETE FROM events WHERE id = 2";
      const any = policy({ deletes: "any" });
      assert.equal((await afterChange(change, { "public.events": any })).verdict, "pass");
      const own = { "public.events": any, "public.events_eu": policy({}) };
      assert.equal((await afterChange(change, own)).verdict, "fail");
    });
  });

  it("says nothing of row security when a right changed on a table that was open all along", async () => {
    const granted = await afterChange("CREATE POLICY later ON tasks USING (true); GRANT SELECT ON tasks TO PUBLIC");
    assert.deepEqual([granted.verdict, granted.failures], ["pass", []]);
  });

  describe("without a copy to name rows from", () => {
    const withoutCopy = (change: string, policies: Record<string, TablePolicy> = {}): Promise<LiveComparison> =>
      afterChange(change, policies, () => Promise.reject(new UsageError("pgsodium is not on this machine")));

    it("passes what the checksums prove: updates, and additions to what was empty", async () => {
      const busy = await withoutCopy("UPDATE clients SET balance = 0 WHERE id = 10");
      const clients = tableOf(busy, "public.clients");
      assert.deepEqual([busy.verdict, clients.coverage, clients.changed], ["pass", "keys", 1]);
      assert.equal((await withoutCopy("CREATE TABLE later (id int); INSERT INTO later VALUES (1)")).verdict, "pass");
    });

    it("fails what they cannot prove, naming table and reason, and judges the other tables as ever", async () => {
      const lost = await withoutCopy("DELETE FROM tasks WHERE id = 5; UPDATE clients SET balance = 0 WHERE id = 10");
      assert.equal(lost.verdict, "fail");
      assert.equal(
        tableOf(lost, "public.tasks").failure,
        "whether rows are missing cannot be told: 6000 rows before, 5999 now, and no copy to name rows from (pgsodium is not on this machine)",
      );
      assert.equal(tableOf(lost, "public.tasks").missing, 1);
      assert.equal(tableOf(lost, "public.clients").failure, null);
      const exchanged = await withoutCopy(
        "DELETE FROM tasks WHERE id = 5; INSERT INTO tasks (client_id, title) VALUES (1, 'other')",
      );
      assert.match(tableOf(exchanged, "public.tasks").failure ?? "", /cannot be told/);
    });

    it("keeps to the policies", async () => {
      const deletes = { "public.tasks": policy({ deletes: "any" }) };
      assert.equal((await withoutCopy("DELETE FROM tasks WHERE id = 5", deletes)).verdict, "pass");
      const updates = { "public.clients": policy({ updates: "none" }) };
      const changed = await withoutCopy("UPDATE clients SET balance = 0 WHERE id = 10", updates);
      assert.match(tableOf(changed, "public.clients").failure ?? "", /how many rows were changed cannot be told/);
    });

    it("is no verdict when the copy may be had a moment later, or the run was interrupted", async () => {
      for (const error of [new Unavailable("the store is away"), new Interrupted("interrupted"), new Error("a bug")]) {
        await assert.rejects(
          afterChange("DELETE FROM tasks WHERE id = 5", {}, () => Promise.reject(error)),
          error,
        );
      }
    });
  });

  describe("a large table", function () {
    this.timeout(60_000);
    let busy: Awaited<ReturnType<typeof freshCrm>>;
    let input: Omit<ComparisonInput, "copy">;
    let copy: ScratchDatabase;

    before(async () => {
      busy = await freshCrm(17_000);
      const target = parseTarget(busy.url, "test");
      const store = openStore(freshStore());
      const backup = await createBackup({ target, store, tier: "manual", runId: "busy" });
      const keepScratchUntil = new Date(Date.now() + 300_000);
      const verified = await verifyBackup({
        store,
        backup: backup.reference,
        depth: 4,
        runId: "busy",
        keepScratchUntil,
      });
      copy = verified.scratch!;
      input = { ...backup, live: target, policies: {} };
    });
    after(() => closeScratch(copy.place));

    async function write(sql: string): Promise<void> {
      await busy.client.query(`${sql}; SELECT pg_stat_force_next_flush()`);
    }

    /** How often the live table and that of the copy were read from end to end. */
    async function scans(): Promise<[live: number, copy: number]> {
      const read = async (client: Client): Promise<number> => {
        await client.query("SELECT pg_stat_clear_snapshot()");
        const { rows } = await client.query<{ n: number }>(
          "SELECT seq_scan::int AS n FROM pg_stat_user_tables WHERE relname = 'tasks'",
        );
        return rows[0]!.n;
      };
      return [await read(busy.client), await withConnection(copy.target, read)];
    }

    it("whose rows were written is read once, and the written rows are looked for in the copy", async () => {
      await write(`UPDATE tasks SET title = 'moved' WHERE id % 20 = 0; UPDATE tasks SET title = title WHERE id % 20 = 1;
        INSERT INTO tasks (client_id, title) VALUES (1, 'a'), (1, 'b'), (1, 'c')`);
      const before = await scans();
      const compared = await compareWithLive({ ...input, copy: () => Promise.resolve(copy.target) });
      const { failure, ...tasks } = tableOf(compared, "public.tasks");
      assert.equal(failure, null);
      assert.deepEqual(
        [tasks.rowsBefore, tasks.rowsNow, tasks.missing, tasks.changed, tasks.added, tasks.unwritten],
        [51_000, 51_003, 0, 2_550, 3, 0],
      );
      const after = await scans();
      // The live one for its sums, and for its written rows; the copy for what they were.
      assert.deepEqual([after[0] - before[0], after[1] - before[1]], [2, 1]);
    });

    it("with as many deleted rows as buckets is read twice, not three times, and finds the same", async () => {
      await write("DELETE FROM tasks WHERE id % 100 = 7 OR id = 20");
      const before = await scans();
      const compared = await compareWithLive({ ...input, copy: () => Promise.resolve(copy.target) });
      const tasks = tableOf(compared, "public.tasks");
      assert.deepEqual(
        [tasks.rowsBefore, tasks.rowsNow, tasks.missing, tasks.changed, tasks.added, tasks.unwritten],
        [51_000, 50_492, 511, 2_549, 3, 0],
      );
      assert.equal(tasks.missingKeys.length, 20);
      const after = await scans();
      assert.deepEqual([after[0] - before[0], after[1] - before[1]], [2, 2]);
      // Without a copy its buckets are what is left to judge by.
      const none = await compareWithLive({ ...input, copy: () => Promise.reject(new UsageError("there is none")) });
      const judged = tableOf(none, "public.tasks");
      assert.deepEqual([judged.rowsNow, judged.coverage], [50_492, "keys"]);
      assert.match(judged.failure ?? "", /whether rows are missing cannot be told/);
    });
  });
});
