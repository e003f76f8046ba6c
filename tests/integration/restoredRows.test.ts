/** Rows that are hashed while their indexes are still being built count in the end, unless somebody wrote to them since. */
import assert from "node:assert/strict";
import { createBackup } from "../../scripts/backup/createBackup";
import { withConnection } from "../../scripts/database/connect";
import { openSnapshot } from "../../scripts/database/snapshot";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import type { TableFingerprint } from "../../scripts/fingerprint/fingerprint";
import { compareCopy } from "../../scripts/restore/compareCopy";
import { restoreAndCompare } from "../../scripts/restore/restoreAndCompare";
import { restoreBackup } from "../../scripts/restore/restoreBackup";
import { findRestoredRows, stillSo, untilAlone } from "../../scripts/restore/restoredRows";
import { openStore } from "../../scripts/store/openStore";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { freshDatabase } from "../servers/postgres";

describe("rows that are hashed during a restore", function () {
  this.timeout(120_000);
  after(closeCrmClients);

  async function backUp(more = "") {
    const { url, client } = await freshCrm();
    if (more !== "") await client.query(more);
    const store = openStore(freshStore());
    const made = await createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "early" });
    return { ...made, store };
  }

  async function freshCopy(): Promise<DatabaseTarget> {
    return parseTarget(await freshDatabase("early_copy"), "test");
  }

  it("are those of every table, and count only for as long as nobody writes to it", async () => {
    const { store, manifest, fingerprint } = await backUp();
    const target = await freshCopy();
    let early: TableFingerprint[] = [];
    const meanwhile = async (how: Parameters<typeof findRestoredRows>[2]): Promise<void> => {
      early = await findRestoredRows(fingerprint, target, how);
    };
    await restoreBackup({ store, manifest, target, jobs: 2, meanwhile });
    assert.deepEqual(early, fingerprint.tables);
    assert.equal(await withConnection(target, untilAlone), true);
    const holding = async (): Promise<string[]> => {
      const snapshot = await openSnapshot(target);
      await snapshot.close();
      return stillSo(early, snapshot.tables).map(({ name }) => name);
    };
    assert.deepEqual(
      await holding(),
      fingerprint.tables.map(({ name }) => name),
    );
    assert.deepEqual(await compareCopy(fingerprint, target, { early }), []);

    // As many rows as before, and the same keys.
    await withConnection(target, (client) => client.query("UPDATE public.tasks SET title = 'lost' WHERE id = 7"));
    await withConnection(target, async (client) => {
      await client.query("DELETE FROM public.chat_messages WHERE client_id = 1 AND number = 1");
      await client.query("INSERT INTO public.chat_messages VALUES (1, 1, 'another')");
    });
    assert.equal(await withConnection(target, untilAlone), true);
    assert.deepEqual(await holding(), ["clients", 'Ünsorted "Notes"']);
    assert.deepEqual(await compareCopy(fingerprint, target, { early }), [
      "table public.chat_messages has the same number of rows (10000) but other content",
      "table public.tasks has the same number of rows (6000) but other content",
    ]);
  });

  it("are not taken from a database to which a session is still connected", async () => {
    const target = await freshCopy();
    await withConnection(target, async () => {
      assert.equal(await withConnection(target, untilAlone), false);
    });
  });

  it("do not hide what a view's function wrote while the restore refreshed it", async () => {
    const { store, manifest, fingerprint } = await backUp(`
      CREATE TABLE visits (n int PRIMARY KEY, at text NOT NULL);
      INSERT INTO visits SELECT n, 'first' FROM generate_series(1, 5000) n;
      CREATE FUNCTION spoil() RETURNS bigint LANGUAGE plpgsql AS $$
        BEGIN UPDATE public.visits SET at = 'again' WHERE n = 17 AND current_database() LIKE 'early_copy%'; RETURN 1; END $$;
      CREATE MATERIALIZED VIEW seen AS SELECT public.spoil() AS visits;`);
    const differences = await restoreAndCompare({ store, manifest, target: await freshCopy(), jobs: 2 }, fingerprint);
    assert.deepEqual(differences, ["table public.visits has the same number of rows (5000) but other content"]);
  });
});
