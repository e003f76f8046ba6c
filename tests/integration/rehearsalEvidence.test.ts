/** The rehearsal's own eyes: what it calls unchanged is unchanged, and what it damages is damaged. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { damageNextArchive } from "../../scripts/rehearsal/damageArchive";
import { describeDifferences, readDatabaseState } from "../../scripts/rehearsal/databaseState";
import { endingOf, reasonGiven } from "../../scripts/rehearsal/ending";
import type { UpResult } from "../../scripts/rehearsal/engine";
import { withClient } from "../../scripts/rehearsal/withClient";
import { freshDatabase } from "../servers/postgres";

describe("the state of a database", () => {
  let url: string;
  before(async () => {
    url = await freshDatabase("state");
    await withClient(url, (client) =>
      client.query(
        `CREATE TYPE stage AS ENUM ('lead', 'won');
         CREATE TABLE clients (id int PRIMARY KEY, name text, stage stage);
         CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
         INSERT INTO clients SELECT n, 'client', 'lead' FROM generate_series(1, 50) n`,
      ),
    );
  });

  const changes: readonly (readonly [what: string, sql: string, difference: RegExp])[] = [
    ["a deleted row", "DELETE FROM clients WHERE id = 1", /^public\.clients has 49 rows instead of 50$/],
    [
      "a row that became another",
      "UPDATE clients SET name = 'x' WHERE id = 2",
      /^rows of public\.clients were rewritten$/,
    ],
    ["a row replaced by another", "DELETE FROM clients WHERE id = 3; INSERT INTO clients VALUES (90)", /rewritten$/],
    ["a new column", "ALTER TABLE clients ADD COLUMN note text", /^the catalog changed$/],
    ["a new table", "CREATE TABLE tasks (id int)", /^the catalog changed; public\.tasks has 0 rows instead of none$/],
    ["row-level security", "ALTER TABLE clients ENABLE ROW LEVEL SECURITY", /^the catalog changed$/],
    ["a policy", "CREATE POLICY everything ON clients USING (true)", /^the catalog changed$/],
    ["a label of an enum", "ALTER TYPE stage ADD VALUE 'lost'", /^the catalog changed$/],
    ["a right", "GRANT SELECT ON clients TO PUBLIC", /^the catalog changed$/],
    [
      "a function's body",
      "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'",
      /^the catalog changed$/,
    ],
    ["nothing but reading", "SELECT count(*) FROM clients; ANALYZE clients", /^$/],
  ];
  for (const [what, sql, difference] of changes) {
    it(`tells ${what}`, async () => {
      const before = await readDatabaseState(url);
      await withClient(url, (client) => client.query(sql));
      assert.match(describeDifferences(before, await readDatabaseState(url)).join("; "), difference);
    });
  }
});

describe("damage to the next archive", () => {
  it("flips one bit of the new backup only, and keeps the file's size and mode", async () => {
    const store = mkdtempSync(join(tmpdir(), "dbprotect-damage-"));
    const write = (name: string, file: string): string => {
      const folder = join(store, "backups", "predeploy", name);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, file), Buffer.alloc(1000), { mode: 0o440 });
      return join(folder, file);
    };
    const old = write("backup_20261101_000000", "data-000.dump.zst");
    const damage = await damageNextArchive(store);
    const schema = write("backup_20261102_000000", "schema-pre.dump.zst");
    const rows = write("backup_20261102_000000", "data-000.dump.zst");
    await sleep(100);
    assert.equal(await damage.end(), "backups/predeploy/backup_20261102_000000/data-000.dump.zst");
    const changed = (path: string): number => readFileSync(path).filter((byte) => byte !== 0).length;
    assert.deepEqual([old, schema, rows].map(changed), [0, 0, 1]);
    assert.equal(statSync(rows).size, 1000);
    assert.equal(statSync(rows).mode & 0o777, 0o440);
    rmSync(store, { recursive: true });
  });

  it("says so when no archive appeared", async () => {
    const damage = await damageNextArchive("/nowhere");
    assert.equal(await damage.end(), undefined);
  });
});

describe("how an up ended", () => {
  const result = (phase: UpResult["phase"], errors: string[], failed?: string): UpResult => ({
    ok: errors.length === 0,
    phase,
    errors,
    outputs: {},
    resources: failed === undefined ? [] : [{ urn: `urn:pulumi:s::p::t::${failed}`, type: "t", op: "failed" }],
  });
  const failedGate = (status: number, last: string): string =>
    `exit status ${status}: running "node bin/dbprotect.js gate run":\nmigrations: pass (0.1 s)\n\n${last}\nerror: the rest`;

  const endings: readonly (readonly [UpResult, string, string])[] = [
    [result("update", []), "released", "none"],
    [
      result("preview", ["the gate halts: migrations: a.sql:1:1: drop-column: it goes"]),
      "preview halts: migrations",
      "the gate halts: migrations: a.sql:1:1: drop-column: it goes",
    ],
    [
      result("update", [failedGate(4, "HALT: data-000.dump.zst is damaged: checksum")], "database-gate-run"),
      "gate halts: damaged backup (exit 4)",
      "data-000.dump.zst is damaged: checksum",
    ],
    [
      result("update", [failedGate(3, "HALT: the database cannot be reached")], "database-gate-run"),
      "gate halts: another reason",
      "the database cannot be reached",
    ],
    [
      result(
        "update",
        [failedGate(1, "HALT: public.clients: 3 row(s) of the snapshot are missing")],
        "release-railway",
      ),
      "railway fails: rows lost",
      "public.clients: 3 row(s) of the snapshot are missing",
    ],
  ];
  for (const [up, ending, reason] of endings) {
    it(ending, () => {
      assert.equal(endingOf(up), ending);
      assert.equal(reasonGiven(up), reason);
    });
  }
});
