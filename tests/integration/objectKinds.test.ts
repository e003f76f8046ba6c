/**
 * Everything that a database can hold comes back on another server, or the manifest says what does not and why. Two
 * servers: roles, tablespaces and settings belong to a server, not to a database.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { serverUser } from "../../bin/setup/serverUser.js";
import { createBackup } from "../../scripts/backup/createBackup";
import type { Manifest } from "../../scripts/backup/manifest";
import { connect } from "../../scripts/database/connect";
import { readDatabaseProperties } from "../../scripts/database/databaseProperties";
import { parseTarget } from "../../scripts/database/target";
import { readCatalog } from "../../scripts/fingerprint/catalog";
import { catalogChanges } from "../../scripts/fingerprint/compare";
import type { Fingerprint } from "../../scripts/fingerprint/fingerprint";
import { compareCopy, readFingerprint } from "../../scripts/restore/compareCopy";
import { restoreInPlace } from "../../scripts/restore/restoreInPlace";
import { restoreBeside } from "../../scripts/restore/restoreBeside";
import { type Cluster, startCluster, urlOf } from "../../scripts/scratch/cluster";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { runCli } from "../servers/cli";
import { freshStore } from "../servers/crm";
import { lostDefinitions } from "./lostDefinitions";

const database = "kinds";

/** What only one server has, and what several sessions are needed for. */
const furtherObjects = [
  "CREATE TABLE shop.placed (id int PRIMARY KEY) TABLESPACE kinds_space",
  "SELECT pg_create_logical_replication_slot('kinds_slot', 'pgoutput')",
  "CREATE TABLE shop.twice AS SELECT 1 AS id FROM generate_series(1, 2)",
  "BEGIN; INSERT INTO shop.b VALUES (9, NULL); PREPARE TRANSACTION 'half done'",
];

describe("every kind of object", function () {
  this.timeout(120_000);
  let source: Cluster;
  let other: Cluster;
  let client: Client;
  let copy: Client;
  let store: Store;
  let storeUrl: string;
  let manifest: Manifest;
  let tablespace: string;

  before(async () => {
    const options = { listen: "loopback", lifetime: { kind: "parent" }, purpose: "test" } as const;
    const settings = { wal_level: "logical", max_prepared_transactions: "4", max_connections: "40" };
    [source, other] = await Promise.all([startCluster({ ...options, settings }), startCluster(options)]);
    await onServer(source, (root) =>
      root.query(`CREATE DATABASE ${database} TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'`),
    );
    tablespace = mkdtempSync(join(tmpdir(), "dbp-tablespace-"));
    const user = serverUser();
    if (user !== undefined) chownSync(tablespace, user.uid, user.gid);
    await onServer(source, (root) => root.query(`CREATE TABLESPACE kinds_space LOCATION '${tablespace}'`));
    const url = urlOf(source.place, database);
    const file = join(__dirname, "objectKinds.sql");
    execFileSync(join(source.binDir, "psql"), ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, url], {
      stdio: "pipe",
    });
    client = new Client({ connectionString: url });
    await client.connect();
    for (const sql of furtherObjects) await client.query(sql);
    await assert.rejects(client.query("CREATE UNIQUE INDEX CONCURRENTLY failed ON shop.twice (id)"), { code: "23505" });
    // No label provider is at hand: this is what one of its labels leaves in the catalog.
    await client.query("SET allow_system_table_mods = on");
    await client.query(
      "INSERT INTO pg_seclabel VALUES ('shop.a'::regclass, 'pg_class'::regclass, 0, 'a_provider', 'masked')",
    );

    storeUrl = freshStore();
    store = openStore(storeUrl);
    const target = parseTarget(url, "test");
    ({ manifest } = await createBackup({ target, store, tier: "manual", runId: "kinds" }));
    await restoreBeside({ store, manifest, live: parseTarget(other.url, "test"), database });
    copy = new Client({ connectionString: urlOf(other.place, database) });
    await copy.connect();
  });

  after(async () => {
    for (const open of [client, copy] as (Client | undefined)[]) await open?.end();
    for (const cluster of [source, other] as (Cluster | undefined)[]) await cluster?.stop();
    rmSync(tablespace, { recursive: true, force: true });
  });

  it("comes back on another server: what pg_dump writes of both schemas is the same text", () => {
    const [was, is] = [schemaOf(source), schemaOf(other)];
    assert.ok(was.length > 1_000, "the source is nearly empty: this test proves nothing");
    const lines = new Set(is);
    assert.deepEqual(
      was.filter((line) => !lines.has(line)),
      [],
    );
    assert.deepEqual(is, was);
  });

  it("comes back with every large object: content, owner, rights, comment", async () => {
    const sql = `SELECT oid, pg_get_userbyid(lomowner) AS owner, lomacl::text AS rights, md5(lo_get(oid)) AS content,
                        obj_description(oid, 'pg_largeobject') AS comment
                   FROM pg_largeobject_metadata ORDER BY oid`;
    const was = (await client.query(sql)).rows;
    assert.equal(was.length, 3);
    assert.deepEqual((await copy.query(sql)).rows, was);
  });

  it("comes back with the settings and rights of the database, but for what applications made up", async () => {
    const was = await readDatabaseProperties(client);
    assert.equal(was.settings.length, 4);
    assert.deepEqual(was.rights, [{ grantee: "kinds_reader", privilege: "CONNECT", grantable: true }]);
    assert.deepEqual(await readDatabaseProperties(copy), was);
    const written = JSON.stringify([manifest, await readFingerprint(store, manifest)]);
    for (const secret of ["hidden", "of the server"]) assert.ok(!written.includes(secret), secret);
  });

  it("comes back with who compares its text", async () => {
    const sql = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()";
    assert.deepEqual((await copy.query(sql)).rows, [{ datlocprovider: "b", datlocale: "C.UTF-8" }]);
  });

  it("the manifest names what does not come back, and nothing else", () => {
    assert.deepEqual(
      manifest.notRestored.map(({ what }) => what),
      [
        "2 password(s) of roles",
        "memberships, attributes and settings of 4 role(s)",
        "subscription from_elsewhere",
        "replication slot kinds_slot",
        "prepared transaction 'half done'",
        "rows of foreign table forms.part_elsewhere",
        "rows of foreign table shop.far",
        "place of shop.placed in tablespace kinds_space",
        "security label by a_provider on table shop.a",
        "rights to language sql",
        "index shop.failed",
        "contents of materialized view forms.stored",
        "contents of materialized view shop.computed",
        "setting app.secret of the database",
        "comment on the database",
        "connection limit of the database",
        "owner of the database (postgres)",
      ],
    );
    assert.ok(manifest.notRestored.every(({ why }) => why.length > 10));
  });

  it("db:backup says so too, and verifies on a server that knows none of its roles", async () => {
    const env = { DATABASE_URL: urlOf(source.place, database), BACKUP_STORE: storeUrl };
    const run = await runCli(["db:backup", "--json"], env);
    assert.equal(run.code, 0, run.stderr);
    const result = JSON.parse(run.stdout) as { notRestored: unknown[]; verification: { verdict: string } };
    assert.equal(result.verification.verdict, "verified");
    assert.deepEqual(result.notRestored, manifest.notRestored);
    assert.match(run.stderr, /not in a restore: subscription from_elsewhere: /);
  });

  const losses: readonly { what: string; sql: string; says: RegExp }[] = [
    { what: "a large object that is gone", sql: "SELECT lo_unlink(70003)", says: /^2 large objects, expected 3/ },
    {
      what: "a changed byte of a large object",
      sql: "SELECT lo_put(70003, 19000, 'X')",
      says: /^large objects have other content/,
    },
    {
      what: "a large object cut short",
      sql: "SELECT lo_truncate64(lo_open(70003, 131072), 9)",
      says: /bytes of large/,
    },
    {
      what: "another owner of a large object",
      sql: "ALTER LARGE OBJECT 70001 OWNER TO kinds_reader",
      says: /^large objects have other content, owners or rights/,
    },
    { what: "a right on a large object", sql: "REVOKE SELECT ON LARGE OBJECT 70001 FROM kinds_reader", says: /rights/ },
  ];
  for (const { what, sql, says } of losses) {
    it(`a restored copy is not equal with: ${what}`, async () => {
      // In a database of its own, made from the copy: nobody is connected to that meanwhile.
      const { href } = new URL(urlOf(other.place, "lossy"));
      await copy.end();
      await onServer(other, (root) => root.query(`CREATE DATABASE lossy TEMPLATE ${database}`));
      copy = new Client({ connectionString: urlOf(other.place, database) });
      await copy.connect();
      try {
        const lossy = new Client({ connectionString: href });
        await lossy.connect();
        await lossy.query(sql);
        await lossy.end();
        const differences = await compareCopy(await readFingerprint(store, manifest), parseTarget(href, "test"));
        assert.equal(differences.length, 1, differences.join("\n"));
        assert.match(differences[0]!, says);
      } finally {
        await onServer(other, (root) => root.query("DROP DATABASE lossy WITH (FORCE)"));
      }
    });
  }

  describe("a restored copy is not verified without", () => {
    let pinned: Client;
    let original: Fingerprint;
    before(async () => {
      pinned = await connect(parseTarget(urlOf(other.place, database), "test"), "pinned");
      original = await readFingerprint(store, manifest);
    });
    after(() => (pinned as Client | undefined)?.end());

    /** What the copy lacks once the statements have run; they are undone. */
    async function namedAfter(sql: string): Promise<string[]> {
      await pinned.query("BEGIN");
      try {
        await pinned.query(sql);
        const changes = catalogChanges(original.catalog, await readCatalog(pinned));
        return changes.map(({ change, kind, name }) => `${change} ${kind} ${name}`);
      } finally {
        await pinned.query("ROLLBACK");
      }
    }

    for (const [what, { sql, names }] of Object.entries(lostDefinitions))
      it(what, async () => assert.deepEqual((await namedAfter(sql)).sort(), [...names].sort()));

    it("any of these: each kind of definition is in this database, and in this list", async () => {
      assert.deepEqual(await namedAfter("SELECT"), []);
      const kinds = new Set(original.catalog.map(({ kind }) => kind));
      const lost = new Set(
        Object.values(lostDefinitions).flatMap(({ names }) => names.map((name) => name.split(" ")[1])),
      );
      assert.deepEqual([...lost].sort(), [...kinds].sort());
    });
  });

  describe("in place", () => {
    it("comes back over what was changed of every kind", async () => {
      // One after the other, as long as what the next one is of is still there. Extensions stay, and where they are.
      for (const [what, { sql }] of Object.entries(lostDefinitions))
        if (what !== "an extension's schema") await copy.query(sql).catch(() => undefined);
      await copy.query(
        `GRANT ALL ON SCHEMA public, shop TO kinds_reader; COMMENT ON SCHEMA shop IS 'changed';
       CREATE CAST (text AS shop.mood) WITH INOUT; CREATE ACCESS METHOD later TYPE TABLE HANDLER heap_tableam_handler`,
      );
      const live = parseTarget(urlOf(other.place, database), "test");
      const original = await readFingerprint(store, manifest);
      assert.ok((await compareCopy(original, live)).length > 40);
      await restoreInPlace({ store, manifest, live });
      assert.deepEqual(await compareCopy(original, live), []);
    });
  });
});

async function onServer(cluster: Cluster, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: cluster.url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** Without what the manifest says does not come back, and without pg_dump's random key of each run. */
function schemaOf(cluster: Cluster): string[] {
  const text = execFileSync(
    join(cluster.binDir, "pg_dump"),
    ["--schema-only", "--no-tablespaces", "--no-subscriptions", "--no-security-labels", urlOf(cluster.place, database)],
    { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
  );
  return text.split("\n").filter((line) => !/^\\(un)?restrict /.test(line));
}
