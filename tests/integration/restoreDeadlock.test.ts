/** Definitions that get in each other's way while several sessions restore them are made all the same. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { readManifest } from "../../scripts/backup/manifest";
import { createBackup } from "../../scripts/backup/createBackup";
import { parseTarget } from "../../scripts/database/target";
import { restoreBackup } from "../../scripts/restore/restoreBackup";
import { openStore } from "../../scripts/store/openStore";
import { freshStore } from "../servers/crm";
import { freshDatabase } from "../servers/postgres";

describe("a restore in several sessions", function () {
  this.timeout(60_000);
  const opened: Client[] = [];
  after(() => Promise.all(opened.map((client) => client.end())));

  async function open(url: string): Promise<Client> {
    const client = new Client({ connectionString: url });
    await client.connect();
    opened.push(client);
    return client;
  }

  it("outlives a deadlock of two foreign keys", async () => {
    const url = await freshDatabase("deadlock");
    const source = await open(url);
    // `nests` has nothing but its foreign key to be made after the rows: what locks it keeps that alone waiting.
    await source.query(`
      CREATE TABLE birds (id int PRIMARY KEY); CREATE TABLE nests (bird int REFERENCES birds);
      INSERT INTO birds SELECT generate_series(1, 10); INSERT INTO nests SELECT id FROM birds`);
    const store = openStore(freshStore());
    const { reference } = await createBackup({ target: parseTarget(url, "x"), store, tier: "manual", runId: "d" });
    const copyUrl = await freshDatabase("deadlock_copy");
    const [first, second, watcher] = [await open(copyUrl), await open(copyUrl), await open(copyUrl)];
    const until = async (condition: string): Promise<void> => {
      for (let tries = 0; tries < 1_000; tries++) {
        const { rows } = await watcher.query<{ holds: boolean }>(`SELECT (${condition}) AS holds`);
        if (rows[0]?.holds === true) return;
        await sleep(5);
      }
      assert.fail(`never happened: ${condition}`);
    };

    const manifest = await readManifest(store, reference);
    const restored = restoreBackup({ store, manifest, target: parseTarget(copyUrl, "x"), jobs: 2 });
    restored.catch(() => undefined);
    await until("to_regclass('public.nests') IS NOT NULL");
    await first.query("BEGIN; LOCK TABLE nests IN ROW EXCLUSIVE MODE");
    await until("EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = to_regclass('public.nests'))");
    // The foreign key comes by `nests`, then waits for `birds`, whose holder waits for `nests`; pg_restore notices first.
    await second.query("SET deadlock_timeout = '1h'; BEGIN; LOCK TABLE birds IN ROW EXCLUSIVE MODE");
    await first.query("ROLLBACK");
    await until("EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = to_regclass('public.birds'))");
    await second.query("LOCK TABLE nests IN ROW EXCLUSIVE MODE");
    await second.query("ROLLBACK");
    await restored;
    const { rows } = await watcher.query("SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f'");
    assert.deepEqual(rows, [{ conname: "nests_bird_fkey", convalidated: true }]);
  });
});
