/** What a reading session sees: settings that decide how values look, tables that vanish, pages that are damaged. */
import assert from "node:assert/strict";
import { Client, DatabaseError } from "pg";
import { Damage, Unavailable } from "../../scripts/contract/failure";
import { withConnection } from "../../scripts/database/connect";
import { databaseFailure } from "../../scripts/database/databaseFailure";
import { openSnapshot } from "../../scripts/database/snapshot";
import { listProtectedTables, unreadableTables } from "../../scripts/database/tables";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import { countRows } from "../../scripts/fingerprint/compute";
import { freshDatabase } from "../servers/postgres";

describe("a reading session", function () {
  this.timeout(60_000);
  let url: string;
  let target: DatabaseTarget;
  let other: Client;

  before(async () => {
    url = await freshDatabase("session");
    target = parseTarget(url, "test");
    other = new Client({ connectionString: url });
    await other.connect();
  });
  after(() => other.end());

  it("keeps to its own settings, whatever the database's are", async () => {
    const database = other.escapeIdentifier(target.database);
    const { rows } = await other.query<{ known: boolean }>(
      "SELECT current_setting('transaction_timeout', true) IS NOT NULL AS known",
    );
    const settings = ["idle_session_timeout", ...(rows[0]!.known ? ["transaction_timeout"] : [])];
    for (const name of settings) await other.query(`ALTER DATABASE ${database} SET ${name} = '2min'`);
    await other.query(`ALTER DATABASE ${database} SET lc_monetary = 'C.UTF-8'`);
    await withConnection(target, async (client) => {
      const value = async (name: string): Promise<unknown> =>
        (await client.query<{ value: string }>("SELECT current_setting($1) AS value", [name])).rows[0]?.value;
      for (const name of settings) assert.equal(await value(name), "0", name);
      assert.equal(await value("lc_monetary"), "C");
    });
  });

  it("does not call a table unreadable that was dropped since its snapshot", async () => {
    await other.query("CREATE SCHEMA passing; CREATE TABLE passing.fleeting (id int); CREATE TABLE staying (id int)");
    await withConnection(target, async (client) => {
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      await client.query("SELECT 1 FROM pg_class LIMIT 1");
      await other.query("DROP SCHEMA passing CASCADE");
      const tables = await listProtectedTables(client);
      assert.deepEqual(
        tables.map(({ name }) => name),
        ["staying"],
      );
      assert.deepEqual(unreadableTables(tables), []);
    });
  });

  it("that misses a table which was dropped meanwhile is to be run again (exit 3)", async () => {
    const error = await withConnection(target, (client) => countRows(client, { schema: "public", name: "gone" })).catch(
      databaseFailure,
    );
    assert.ok(error instanceof Unavailable, String(error));
    assert.match(error.message, /a table was dropped meanwhile; run again: relation "public.gone" does not exist/);
  });

  it("that waits for one that waits for it is to be run again (exit 3); a page that is damaged is damage (exit 4)", () => {
    const failure = (code: string, message = "server's words"): unknown =>
      databaseFailure(Object.assign(new DatabaseError(message, 0, "error"), { code }));
    assert.ok(failure("40P01") instanceof Unavailable);
    assert.ok(failure("XX000", "cache lookup failed for relation 16384") instanceof Unavailable);
    assert.equal(failure("XX000"), undefined);
    for (const code of ["XX001", "XX002"]) assert.ok(failure(code) instanceof Damage, code);
  });

  it("opens its snapshot while tables come and go, or says to run again", async () => {
    let on = true;
    const churn = (async () => {
      for (let n = 0; on; n++) await other.query(`CREATE TABLE churn_${n} (a int); DROP TABLE churn_${n}`);
    })();
    try {
      for (let round = 0; round < 30; round++) {
        const snapshot = await openSnapshot(target).catch((error: unknown) => {
          assert.ok(databaseFailure(error) instanceof Unavailable, String(error));
        });
        if (snapshot === undefined) continue;
        assert.deepEqual(unreadableTables(snapshot.tables), []);
        await snapshot.close();
      }
    } finally {
      on = false;
      await churn;
    }
  });
});
