/** The published SQL of the least-privilege role: enough for a verified backup, not enough to write anything. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import { DatabaseError } from "pg";
import { type Crm, closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { runCli } from "../servers/cli";
import { sharedCluster, withSession } from "../servers/postgres";

const role = "dbprotect_backup";
const sqlFile = resolve(__dirname, "../../docs/backup-role.sql");

describe("docs/backup-role.sql", function () {
  this.timeout(120_000);
  let crm: Crm;
  let url: string;

  before(async () => {
    crm = await freshCrm();
    await crm.client.query("SELECT lo_from_bytea(0, 'a large object')");
    const database = crm.client.escapeIdentifier(new URL(crm.url).pathname.slice(1));
    // Without this, the grant of CONNECT could be missing from the file and nobody would notice.
    await crm.client.query(`REVOKE CONNECT ON DATABASE ${database} FROM PUBLIC`);
    const { binDir } = await sharedCluster();
    const runFile = (): Buffer =>
      execFileSync(join(binDir, "psql"), ["--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-f", sqlFile, crm.url], {
        stdio: "pipe",
      });
    runFile();
    runFile(); // "It may be run again at any time."
    const password = randomBytes(12).toString("hex");
    await crm.client.query(`ALTER ROLE ${role} PASSWORD '${password}'`);
    const withRole = new URL(crm.url);
    withRole.username = role;
    withRole.password = password;
    url = withRole.href;
  });

  after(async () => {
    await crm.client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await closeCrmClients();
  });

  function backup(): ReturnType<typeof runCli> {
    return runCli(["db:backup", "--json"], { DATABASE_URL: url, BACKUP_STORE: freshStore() });
  }

  it("takes a verified backup of every row, past row security and with large objects", async () => {
    const run = await backup();
    assert.equal(run.code, 0, run.stderr);
    const { verification } = JSON.parse(run.stdout) as {
      verification: { verdict: string; depth: number; rows: number };
    };
    assert.equal(verification.verdict, "verified");
    assert.equal(verification.depth, 4);
    assert.equal(verification.rows, 2_000 + 6_000 + 10_000 + 40);
  });

  const rights = [
    {
      right: "BYPASSRLS",
      without: `ALTER ROLE ${role} NOBYPASSRLS`,
      says: /public\.clients: filtered by row security/,
    },
    { right: "pg_read_all_data", without: `REVOKE pg_read_all_data FROM ${role}`, says: /no SELECT right/ },
    {
      right: "CONNECT",
      without: `REVOKE CONNECT ON DATABASE current FROM ${role}`,
      says: /permission denied for database/,
    },
    {
      right: "the large objects",
      without: `REVOKE ALL ON LARGE OBJECT only FROM ${role}`,
      says: /permission denied for large object/,
    },
  ];
  for (const { right, without, says } of rights) {
    it(`needs ${right}`, async () => {
      const { rows } = await crm.client.query<{ database: string; object: string }>(
        "SELECT quote_ident(current_database()) AS database, oid::text AS object FROM pg_largeobject_metadata",
      );
      const { database, object } = rows[0]!;
      await crm.client.query(without.replace("current", database).replace("only", object));
      try {
        const run = await backup();
        assert.equal(run.code, 1, run.stderr);
        assert.match(run.stderr, says);
      } finally {
        await crm.client.query(`ALTER ROLE ${role} BYPASSRLS; GRANT pg_read_all_data TO ${role};
          GRANT CONNECT ON DATABASE ${database} TO ${role}; GRANT SELECT ON LARGE OBJECT ${object} TO ${role}`);
      }
    });
  }

  const writes = [
    "INSERT INTO clients (name) VALUES ('x')",
    "UPDATE clients SET name = 'x'",
    "DELETE FROM tasks",
    "TRUNCATE chat_messages",
    "DROP TABLE tasks",
    "ALTER TABLE tasks ADD COLUMN extra int",
    "CREATE TABLE public.mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE POLICY mine ON clients USING (true)",
    "SELECT nextval('tasks_id_seq')",
    "SELECT setval('tasks_id_seq', 1)",
    "SELECT lo_unlink(oid) FROM pg_largeobject_metadata",
    "BEGIN; LOCK TABLE clients IN ACCESS EXCLUSIVE MODE",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "ALTER SYSTEM SET fsync = off",
    "COPY clients TO PROGRAM 'cat'",
  ];
  for (const statement of writes) {
    it(`cannot: ${statement}`, async () => {
      await withSession(url, async (client) => {
        // The second line is switched off first: the rights alone must do.
        await client.query("SET default_transaction_read_only = off");
        await assert.rejects(
          client.query(statement),
          (error) => error instanceof DatabaseError && error.code === "42501",
        );
      });
    });
  }

  it("starts every transaction read-only", async () => {
    await withSession(url, (client) =>
      assert.rejects(client.query("CREATE TEMP TABLE mine (id int)"), { code: "25006" }),
    );
  });
});
