/** Prisma, Drizzle, node-pg-migrate and Flyway: their folders, what their ledgers say is pending, their rollback scripts. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Client } from "pg";
import { UsageError } from "../../../scripts/contract/failure";
import { parseDocument } from "../../../scripts/contract/jsonInput";
import { parseTarget } from "../../../scripts/database/target";
import { type PendingMigrations, pendingMigrations } from "../../../scripts/migrations/pending";
import { flywayChecksum, readToolFolder } from "../../../scripts/migrations/toolFolders";
import { applyPendingMigrations } from "../../../scripts/release/applyPendingMigrations";
import { migrationsSettingsSchema } from "../../../scripts/settings";
import { freshDatabase } from "../../servers/postgres";

type Tool = "prisma" | "drizzle" | "node-pg-migrate" | "flyway";

describe("the ledgers of other tools", function () {
  this.timeout(60_000);
  let client: Client;
  let url: string;
  let folder: string;

  before(async () => {
    url = await freshDatabase("tool_ledgers");
    client = new Client({ connectionString: url });
    await client.connect();
  });
  after(() => client.end());
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "dbprotect-tools-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const write = (files: Readonly<Record<string, string>>): void => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
  };
  const found = (tool: Tool): Promise<PendingMigrations> => pendingMigrations(client, { path: folder, tool });
  const pending = async (tool: Tool): Promise<string[]> => (await found(tool)).pending.map(({ file }) => file);

  it("Prisma: a folder each; what failed or was rolled back is pending", async () => {
    write({
      "migration_lock.toml": 'provider = "postgresql"',
      "20260101_a/migration.sql": "SELECT 1;",
      "20260102_b/migration.sql": "SELECT 2;",
      "20260102_b/down.sql": "SELECT 0;",
      "20260103_c/migration.sql": "SELECT 3;",
      "drafts/notes.txt": "",
    });
    const all = ["20260101_a/migration.sql", "20260102_b/migration.sql", "20260103_c/migration.sql"];
    assert.deepEqual(await pending("prisma"), all);
    await client.query(
      `CREATE TABLE _prisma_migrations (id text, checksum text, finished_at timestamptz, migration_name text, logs text,
         rolled_back_at timestamptz, started_at timestamptz DEFAULT now(), applied_steps_count int DEFAULT 0);
       INSERT INTO _prisma_migrations (migration_name, finished_at, rolled_back_at)
       VALUES ('20260101_a', now(), NULL), ('20260102_b', NULL, NULL), ('20260103_c', now(), now()), ('20250101_z', now(), NULL)`,
    );
    const { unknownApplied, pending: left } = await found("prisma");
    assert.deepEqual([left.map(({ file }) => file), unknownApplied], [all.slice(1), ["20250101_z"]]);
    assert.deepEqual(
      left.map(({ hasRollback }) => hasRollback),
      [true, false],
    );
  });

  it("Drizzle: the journal's order; what is younger than the youngest applied one", async () => {
    const entries = [
      { idx: 0, when: 1700000000000, tag: "0000_first", breakpoints: true },
      { idx: 1, when: 1700000001000, tag: "0001_second", breakpoints: true },
    ];
    write({
      "meta/_journal.json": JSON.stringify({ version: "7", dialect: "postgresql", entries }),
      "0000_first.sql": "SELECT 1;\n--> statement-breakpoint\nSELECT 2;",
      "0001_second.sql": "SELECT 3;",
      "stray.sql": "",
    });
    assert.deepEqual(await pending("drizzle"), ["0000_first.sql", "0001_second.sql"]);
    await client.query(
      `CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (id serial, hash text, created_at bigint);
       INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('x', 1700000000000)`,
    );
    const { pending: left, skipped } = await found("drizzle");
    assert.deepEqual([left.map(({ file }) => file), skipped], [["0001_second.sql"], ["stray.sql"]]);
    assert.equal(left[0]?.hasRollback, undefined);
  });

  it("node-pg-migrate: by number; the part behind Down Migration is not what runs", async () => {
    write({
      "9_first.sql": "SELECT 1;",
      "10_second.sql": "-- Up Migration\nCREATE TABLE a (id int);\n\n-- Down Migration\nDROP TABLE a;\n",
      "README.md": "",
    });
    await client.query(
      "CREATE TABLE pgmigrations (id serial, name text, run_on timestamp); INSERT INTO pgmigrations (name) VALUES ('9_first')",
    );
    const { pending: left, outOfOrder } = await found("node-pg-migrate");
    assert.deepEqual([left.map(({ file }) => file), outOfOrder], [["10_second.sql"], []]);
    assert.doesNotMatch(left[0]?.sql ?? "", /DROP/);
    assert.equal(left[0]?.hasRollback, true);
  });

  it("Flyway: versions as numbers, undone ones, what is below the baseline, repeatable ones that changed", async () => {
    const view = "CREATE OR REPLACE VIEW v AS\nSELECT 1 AS one;\n";
    write({
      "V1__first.sql": "SELECT 1;",
      "V1.9__ninth.sql": "SELECT 1;",
      "V1_10__tenth.sql": "SELECT 1;",
      "U1.10__tenth.sql": "SELECT 0;",
      "V2__second.sql": "SELECT 2;",
      "R__view.sql": view,
      "R__other.sql": "SELECT 1;",
    });
    await client.query(
      `CREATE TABLE flyway_schema_history (installed_rank int, version text, type text, script text, checksum int, success bool);
       INSERT INTO flyway_schema_history VALUES
         (1, '1', 'BASELINE', '<< Flyway Baseline >>', NULL, true), (2, '1.9', 'SQL', 'V1.9__ninth.sql', 0, true),
         (3, '1.10', 'SQL', 'V1_10__tenth.sql', 0, true), (4, '1.10', 'UNDO_SQL', 'U1.10__tenth.sql', 0, true),
         (5, '2', 'SQL', 'V2__second.sql', 0, false), (6, NULL, 'SQL', 'R__view.sql', ${flywayChecksum(view)}, true),
         (7, NULL, 'SQL', 'R__other.sql', 7, true)`,
    );
    const { pending: left, unknownApplied } = await found("flyway");
    assert.deepEqual(
      left.map(({ file, hasRollback }) => [file, hasRollback]),
      [
        ["V1_10__tenth.sql", true],
        ["V2__second.sql", false],
        ["R__other.sql", undefined],
      ],
    );
    assert.deepEqual(unknownApplied, []);
    assert.equal(flywayChecksum("a\r\nb\n"), flywayChecksum("a\nb"));
  });

  it("a mistake is told by the file", async () => {
    await assert.rejects(readToolFolder("drizzle", folder), UsageError);
    write({ "V1__a.sql": "", "V1.0__b.sql": "", "V01__c.sql": "" });
    await assert.rejects(readToolFolder("flyway", folder), /found the version 1|twice/);
    assert.throws(
      () => parseDocument(migrationsSettingsSchema, { path: "prisma/migrations", tool: "prisma" }, "settings"),
      /settings: command: .*expected the command of the tool/,
    );
  });

  it("a release runs the tool's command, and its ledger must then know every file", async () => {
    write({ "20260201_x/migration.sql": "CREATE TABLE by_tool (id int);" });
    const [migration] = (await found("prisma")).pending;
    const judged = [{ file: migration!.file, sha256: migration!.sha256, findings: [] }];
    const run = (command: string): Promise<string> =>
      applyPendingMigrations(parseTarget(url, "DATABASE_URL"), {
        ...migrationsSettingsSchema.parse({ path: folder, tool: "prisma", command }),
        ...{ judged, signal: new AbortController().signal, onLine: () => undefined },
      });
    await assert.rejects(run("true"), /its ledger lacks 20260201_x\/migration\.sql/);
    await client.query("INSERT INTO _prisma_migrations (migration_name, finished_at) VALUES ('20260201_x', now())");
    assert.equal(await run("false"), "no pending migration");
  });
});
