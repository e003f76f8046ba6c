/** After a release: which rows of the snapshot are gone, by name, under every policy, and what else is a loss. */
import assert from "node:assert/strict";
import { createBackup } from "../../scripts/backup/createBackup";
import type { Client } from "pg";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import { type TablePolicy, tablePolicySchema } from "../../scripts/settings";
import { type ScratchDatabase, closeScratch } from "../../scripts/scratch/scratchServer";
import type { Fingerprint } from "../../scripts/fingerprint/fingerprint";
import { openStore } from "../../scripts/store/openStore";
import { type LiveComparison, compareWithLive } from "../../scripts/verification/liveComparison";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";

describe("the live database against the snapshot", () => {
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
        copy: () => Promise.resolve(scratch.target),
        policies,
        onMissing: (_table, key) => keys.push(key),
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
});
