/** Tables that are dumped and restored in ranges of pages: whole and of one instant, whatever is in them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "pg";
import { type BackupOptions, createBackup } from "../../scripts/backup/createBackup";
import { type CopiedArchive, type Manifest, fileKey } from "../../scripts/backup/manifest";
import { Damage, Refusal } from "../../scripts/contract/failure";
import { withConnection } from "../../scripts/database/connect";
import { parseTarget } from "../../scripts/database/target";
import { openSnapshot } from "../../scripts/database/snapshot";
import { computeFingerprint } from "../../scripts/fingerprint/compute";
import { parseFingerprint, totalsOf } from "../../scripts/fingerprint/fingerprint";
import { compareCopy, readFingerprint } from "../../scripts/restore/compareCopy";
import { restoreBackup } from "../../scripts/restore/restoreBackup";
import { openStore } from "../../scripts/store/openStore";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { damageFile } from "../servers/damageFile";
import { freshDatabase } from "../servers/postgres";

/** Small enough that the tests' tables are cut: every table above 64 kB gets archives of its own. */
const pieceBytes = 65_536;

/** What makes it hard to put a row back as it was. */
const hardTables = `
  CREATE TYPE mood AS ENUM ('fine', 'so so');
  CREATE TABLE generated (
    gone int, id bigint GENERATED ALWAYS AS IDENTITY (START 7 INCREMENT 3), half int GENERATED ALWAYS AS (number / 2) STORED,
    number int, "Quoted ""name"" %" text DEFAULT 'x' NOT NULL, PRIMARY KEY (id));
  ALTER TABLE generated DROP COLUMN gone;
  INSERT INTO generated (number, "Quoted ""name"" %")
    SELECT n, CASE n % 5 WHEN 0 THEN '' WHEN 1 THEN E'tab\\there\\\\.\\n\\\\.' WHEN 2 THEN '\\N' WHEN 3 THEN 'ünïcödé \\u{1F600}' ELSE repeat('x', n % 90) END
      FROM generate_series(1, 20000) n;
  DELETE FROM generated WHERE id % 7 = 0;
  UPDATE generated SET number = -number WHERE id % 11 = 0;

  CREATE TABLE parent (id int, note text);
  CREATE TABLE child (extra mood) INHERITS (parent);
  INSERT INTO parent SELECT n, 'parent' FROM generate_series(1, 8000) n;
  INSERT INTO child SELECT n, 'child', 'so so' FROM generate_series(1, 8000) n;

  CREATE TABLE parts (id int, at date, body jsonb, document json) PARTITION BY RANGE (id);
  CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (5000);
  CREATE TABLE "parts High" (body jsonb, document json, id int, at date);
  ALTER TABLE parts ATTACH PARTITION "parts High" FOR VALUES FROM (5000) TO (20000);
  INSERT INTO parts SELECT n, date '2024-01-01' + n % 400, jsonb_build_object('n', n), '{"b": 1, "a":  2}' FROM generate_series(1, 12000) n;

  CREATE TABLE by_mood (m mood, n int) PARTITION BY HASH (m);
  CREATE TABLE by_mood_0 PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 0);
  CREATE TABLE by_mood_1 PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 1);
  INSERT INTO by_mood SELECT CASE WHEN n % 2 = 0 THEN 'fine' ELSE 'so so' END::mood, n FROM generate_series(1, 12000) n;

  CREATE TABLE guarded (id int PRIMARY KEY, owner text, secret money, span interval, ratio float8, CHECK (id > 0));
  INSERT INTO guarded SELECT n, 'nobody', n * 1.01, n * interval '1 month 3 days 04:05:06.789', CASE n % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' ELSE 0.1::float8 * n END FROM generate_series(1, 6000) n;
  ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
  ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
  CREATE POLICY none ON guarded USING (false);
  CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no row may be inserted any more'; END $$;
  CREATE TRIGGER refuse BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION refuse();
  CREATE RULE nothing AS ON INSERT TO parent DO INSTEAD NOTHING;

  CREATE TABLE wide (${Array.from({ length: 130 }, (_, n) => `c${n} int`).join(", ")});
  INSERT INTO wide (c0, c64, c129) SELECT n, CASE WHEN n % 3 = 0 THEN n END, -n FROM generate_series(1, 4000) n;
  CREATE TABLE documents (id int PRIMARY KEY, body bytea);
  INSERT INTO documents SELECT n, decode(repeat(md5(n::text), 40000), 'hex') FROM generate_series(1, 4) n;
  CREATE UNLOGGED TABLE scratchpad AS SELECT n FROM generate_series(1, 5000) n;
  CREATE SEQUENCE unowned START 41;
  SELECT nextval('unowned');
  CREATE MATERIALIZED VIEW sums AS SELECT count(*) AS rows FROM generated;
`;

describe("divided tables", function () {
  this.timeout(120_000);
  after(closeCrmClients);

  async function backUp(url: string, more: Partial<BackupOptions> = {}) {
    const storeUrl = freshStore();
    const store = openStore(storeUrl);
    const target = parseTarget(url, "test");
    const finished = await createBackup({ target, store, tier: "manual", runId: "divided", pieceBytes, ...more });
    return {
      ...finished,
      store,
      path: (file: string) => join(fileURLToPath(storeUrl), fileKey(finished.reference, file)),
    };
  }

  function copied(manifest: Manifest): CopiedArchive[] {
    return manifest.archives.filter((archive) => archive.format === "copy");
  }

  async function execute(url: string, sql: string): Promise<void> {
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  }

  for (const jobs of [1, 3]) {
    it(`come back equal, with ${jobs} job(s)`, async () => {
      const url = await freshDatabase("hard");
      await execute(url, hardTables);
      const { store, manifest } = await backUp(url, { jobs });
      const names = new Set(copied(manifest).map(({ table }) => table));
      for (const name of ["generated", "parent", "child", "parts High", "guarded", "wide", "documents", "scratchpad"]) {
        assert.ok(names.has(name), `${name} has no archive of its own: this test proves nothing of it`);
      }
      assert.ok(!names.has("by_mood_0"), "rows by the hash of an enum belong elsewhere on another server");
      assert.ok(copied(manifest).filter(({ table }) => table === "generated").length > 1);
      assert.deepEqual(copied(manifest).find(({ table }) => table === "generated")?.columns, [
        "id",
        "number",
        'Quoted "name" %',
      ]);

      const copy = parseTarget(await freshDatabase("hard_copy"), "test");
      await restoreBackup({ store, manifest, target: copy, jobs });
      const differences = await compareCopy(await readFingerprint(store, manifest), copy, { jobs });
      // Which partition a value of an enum belongs to is another matter on every server.
      assert.deepEqual(
        differences.filter((line) => !line.startsWith("table public.by_mood_")),
        [],
      );
      await withConnection(copy, async (client) => {
        const { rows } = await client.query(
          "SELECT nextval('public.unowned') AS unowned, (SELECT rows FROM public.sums) AS sums, (SELECT count(*)::int FROM public.by_mood) AS moods",
        );
        assert.equal(rows[0].unowned, "42");
        assert.equal(rows[0].moods, 12_000);
        assert.equal(Number(rows[0].sums), manifest.tables.find(({ name }) => name === "generated")?.rows);
      });
    });
  }

  it("are of one instant while rows are inserted, updated, deleted and moved to other pages", async () => {
    const { url, client } = await freshCrm(5_000);
    const stop = new AbortController();
    const writers = Array.from({ length: 4 }, (_, seed) => churn(url, seed, stop.signal));
    try {
      const { store, reference, manifest } = await backUp(url, { jobs: 3 });
      assert.ok(copied(manifest).filter(({ table }) => table === "chat_messages").length > 3);
      const { result } = await verifyBackup({ store, backup: reference, depth: 4, runId: "divided" });
      assert.equal(result.verdict, "verified");
      const { rows } = await client.query("SELECT count(*)::int AS now FROM chat_messages");
      assert.notEqual(rows[0].now, manifest.tables.find(({ name }) => name === "chat_messages")?.rows);
    } finally {
      stop.abort();
      await Promise.all(writers);
    }
  });

  it("are damage where one byte of one range is, at depths 3 and 4, and no row of it is committed", async () => {
    const { url } = await freshCrm(5_000);
    const { store, reference, manifest, path } = await backUp(url, { jobs: 2 });
    const archive = copied(manifest).find(({ table }) => table === "chat_messages")!;
    damageFile(path(archive.file));
    const names = (error: unknown): boolean =>
      error instanceof Damage && error.message.includes(`${archive.file} is damaged`);
    for (const depth of [3, 4] as const) {
      await assert.rejects(verifyBackup({ store, backup: reference, depth, runId: "damaged" }), names);
    }
    const only = {
      ...manifest,
      archives: manifest.archives.filter((one) => one.section === "pre-data" || one === archive),
    };
    const copy = parseTarget(await freshDatabase("torn"), "test");
    await assert.rejects(restoreBackup({ store, manifest: only, target: copy }), names);
    await withConnection(copy, async (client) => {
      assert.equal((await client.query("SELECT FROM public.chat_messages")).rowCount, 0);
    });
  });

  it("say what the server said where it takes no row of a whole archive", async () => {
    const { url } = await freshCrm(2_000);
    const { store, manifest } = await backUp(url, { jobs: 2 });
    const archives = manifest.archives.map((archive) =>
      archive.format === "copy" && archive.table === "tasks"
        ? { ...archive, columns: ["client_id", "title", "id"] }
        : archive,
    );
    const copy = parseTarget(await freshDatabase("refused"), "test");
    await assert.rejects(
      restoreBackup({ store, manifest: { ...manifest, archives }, target: copy }),
      (error) => error instanceof Refusal && /copy\.zst: invalid input syntax for type bigint/.test(error.message),
    );
  });

  it("are read as an earlier version hashed them, where that took the backup", async () => {
    const { url, client } = await freshCrm(2_000);
    const target = parseTarget(url, "test");
    const snapshot = await openSnapshot(target);
    const earlier = await computeFingerprint(snapshot, { jobs: 1, rowText: "record" }).finally(() => snapshot.close());
    const tasks = earlier.tables.find(({ name }) => name === "tasks")!;
    const { rows } = await client.query<{ content: string }>(
      'SELECT sum(hashtextextended((ROW(client_id, id, title)::text) COLLATE "C", 0))::text AS content FROM tasks',
    );
    assert.equal(totalsOf(tasks).content, rows[0]?.content);
    const { rowText: _unknownThen, ...line } = tasks;
    const stored = parseFingerprint(
      [
        { type: "fingerprint", schemaVersion: 1 },
        { type: "table", ...line },
      ]
        .map((one) => JSON.stringify(one))
        .join("\n"),
    );
    assert.deepEqual(stored.tables, [tasks]);
    assert.deepEqual(await compareCopy(earlier, target), []);
  });
});

/** Updates move rows to other pages, deletes make room in earlier ones, which inserts then fill. */
async function churn(url: string, seed: number, signal: AbortSignal): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    for (let n = 0; !signal.aborted; n++) {
      const id = 1 + ((seed * 997 + n * 31) % 5_000);
      await client.query("UPDATE chat_messages SET body = body || $2 WHERE client_id = $1", [
        id,
        "moved ".repeat(n % 40),
      ]);
      await client.query("DELETE FROM chat_messages WHERE client_id = $1 AND number = 3", [id + 1]);
      await client.query("INSERT INTO chat_messages VALUES ($1, $2, 'new')", [id, 100 + seed * 1_000_000 + n]);
    }
  } finally {
    await client.end();
  }
}
