/** After a release: which rows of the snapshot are gone, by name, under every policy, and what else is a loss. */
import assert from "node:assert/strict";
import { createBackup } from "../../scripts/backup/createBackup";
import type { Client } from "pg";
import { Interrupted, Unavailable, UsageError } from "../../scripts/contract/failure";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import { type TablePolicy, tablePolicySchema } from "../../scripts/settings";
import { type ScratchDatabase, closeScratch } from "../../scripts/scratch/scratchServer";
import type { Fingerprint } from "../../scripts/fingerprint/fingerprint";
import { openStore } from "../../scripts/store/openStore";
import { type LiveComparison, compareWithLive } from "../../scripts/verification/liveComparison";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";

describe("the live database against the snapshot", function () {
  this.timeout(30_000);
  let client: Client;
  let live: DatabaseTarget;
  let fingerprint: Fingerprint;
  let scratch: ScratchDatabase;

  before(async function () {
    this.timeout(60_000);
    const crm = await freshCrm();
    client = crm.client;
    live = parseTarget(crm.url, "test");
    const store = openStore(freshStore());
    const backup = await createBackup({ target: live, store, tier: "manual", runId: "live" });
    fingerprint = backup.fingerprint;
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
        fingerprint,
        live: target,
        copy: openCopy,
        policies,
        listenerOf: () => ({ onMissing: (key) => void keys.push(key) }),
      });
      return { ...comparison, keys };
    } finally {
      await withAdmin(async (admin) => void (await admin.query(`DROP DATABASE ${copy} WITH (FORCE)`)));
    }
  }

  async function withDatabase(database: string, work: (client: Client) => Promise<unknown>): Promise<void> {
    const { Client } = await import("pg");
    const { host, port, user, password } = live;
    const other = new Client({ host, port, user, password, database });
    await other.connect();
    await work(other).finally(() => other.end());
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
});
