/** Runs docs/restore-by-hand.md as a person would: bash, zstd, psql and pg_restore, and nothing of this project. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { createBackup } from "../../scripts/backup/createBackup";
import type { Manifest } from "../../scripts/backup/manifest";
import { parseTarget } from "../../scripts/database/target";
import { compareCopy, readFingerprint } from "../../scripts/restore/compareCopy";
import { type Cluster, startCluster, urlOf } from "../../scripts/scratch/cluster";
import { openStore } from "../../scripts/store/openStore";
import { backupPrefix } from "../../scripts/store/layout";
import type { Store } from "../../scripts/store/store";
import { skip } from "../skip";
import { runByHand, wholeRestore } from "../servers/byHand";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { startSupabaseProject } from "../servers/supabase";

interface HandMade {
  readonly store: Store;
  readonly manifest: Manifest;
  /** Of the backup's files. */
  readonly folder: string;
}

/** @param pieceBytes small enough that several tables get `copy` archives of their own. */
async function backUp(url: string, pieceBytes: number, recipients: readonly string[] = []): Promise<HandMade> {
  const storeUrl = freshStore();
  const store = openStore(storeUrl);
  const run = { store, tier: "manual", runId: "hand", jobs: 2, pieceBytes, recipients } as const;
  const { manifest } = await createBackup({ ...run, target: parseTarget(url, "test") });
  const copied = manifest.archives.filter(({ format }) => format === "copy");
  assert.ok(copied.length >= 2, `only ${copied.length} copy archives`);
  return { store, manifest, folder: join(new URL(storeUrl).pathname, backupPrefix(manifest.tier, manifest.name)) };
}

describe("docs/restore-by-hand.md", function () {
  this.timeout(120_000);
  let server: Cluster;
  let source: Client;
  let made: HandMade;
  let crmUrl: string;

  before(async function () {
    if (spawnSync("zstd", ["--version"]).error !== undefined) return skip(this, "no zstd on PATH");
    const crm = await freshCrm();
    source = crm.client;
    crmUrl = crm.url;
    const database = source.escapeIdentifier(new URL(crm.url).pathname.slice(1));
    await source.query(`CREATE ROLE by_hand_owner; ALTER TABLE tasks OWNER TO by_hand_owner;
      ALTER DATABASE ${database} SET search_path TO "$user", public, "Odd ""one""";
      ALTER DATABASE ${database} SET work_mem = '5MB';
      ALTER ROLE by_hand_owner IN DATABASE ${database} SET search_path TO '';
      REVOKE ALL ON DATABASE ${database} FROM PUBLIC; GRANT CONNECT ON DATABASE ${database} TO by_hand_owner`);
    await source.query("SELECT lo_from_bytea(0, 'a large object')");
    [made, server] = await Promise.all([
      backUp(crm.url, 65_536),
      startCluster({ listen: "loopback", lifetime: { kind: "parent" }, purpose: "test" }),
    ]);
  });

  after(async () => {
    await (server as Cluster | undefined)?.stop();
    if ((source as Client | undefined) !== undefined) {
      await source.query(
        "REASSIGN OWNED BY by_hand_owner TO CURRENT_USER; DROP OWNED BY by_hand_owner; DROP ROLE by_hand_owner",
      );
    }
    await closeCrmClients();
  });

  it("brings back all of a backup on another server, equal to the fingerprint", async () => {
    const done = runByHand(wholeRestore, made.folder, server.url, server.binDir);
    assert.equal(done.status, 0, done.stderr);
    assert.match(done.stdout, /memberships, attributes and settings/);
    const copy = parseTarget(urlOf(server.place, "restored"), "test");
    assert.deepEqual(await compareCopy(await readFingerprint(made.store, made.manifest), copy), []);
    const settings = async (client: Client): Promise<unknown> =>
      (
        await client.query(
          `SELECT s.setrole::regrole::text AS role, s.setconfig, d.datacl::text FROM pg_db_role_setting s
             JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database() ORDER BY 1`,
        )
      ).rows;
    const restored = new Client({ connectionString: urlOf(server.place, "restored") });
    await restored.connect();
    try {
      const was = await settings(source);
      assert.equal((was as unknown[]).length, 2);
      assert.deepEqual(await settings(restored), was);
    } finally {
      await restored.end();
    }
  });

  it("brings back one table", async () => {
    const one = new Client({ connectionString: server.url });
    await one.connect();
    try {
      await one.query("CREATE DATABASE one_table TEMPLATE restored");
    } finally {
      await one.end();
    }
    const copy = new Client({ connectionString: urlOf(server.place, "one_table") });
    await copy.connect();
    try {
      await copy.query("DELETE FROM chat_messages");
      const done = runByHand([/^1\./, /^Only one table/], made.folder, server.url, server.binDir, {
        NEW: "one_table",
        TABLE: "chat_messages",
      });
      assert.equal(done.status, 0, done.stderr);
      const { rows } = await copy.query("SELECT count(*)::int AS rows FROM chat_messages");
      assert.deepEqual(rows, [{ rows: 10_000 }]);
    } finally {
      await copy.end();
    }
  });

  it("stops at a missing archive, before anything is restored", () => {
    const folder = `${made.folder}-broken`;
    spawnSync("cp", ["-r", made.folder, folder]);
    rmSync(join(folder, made.manifest.archives.find(({ section }) => section === "data")!.file));
    const done = runByHand(wholeRestore, folder, server.url, server.binDir, { NEW: "never" });
    assert.notEqual(done.status, 0);
    assert.match(done.stderr, /No such file|FAILED open or read/);
    assert.doesNotMatch(done.stdout, /notRestored|memberships/);
  });

  it("brings back an encrypted backup, with the private key", async function () {
    if (spawnSync("age", ["--version"]).error !== undefined) return skip(this, "no age on PATH");
    const identity = await generateIdentity();
    const backup = await backUp(crmUrl, 65_536, [await identityToRecipient(identity)]);
    const key = join(backup.folder, "key.txt");
    writeFileSync(key, identity);
    const env = { NEW: "opened", AGE_KEY: key };
    const done = runByHand(wholeRestore, backup.folder, server.url, server.binDir, env);
    assert.equal(done.status, 0, done.stderr);
    const counted = new Client({ connectionString: urlOf(server.place, "opened") });
    await counted.connect();
    const { rows } = await counted.query("SELECT count(*)::int AS rows FROM clients");
    await counted.end();
    assert.deepEqual(rows, [{ rows: 2_000 }]);
  });

  it("brings users, files and one's own tables into a new Supabase project, as postgres", async () => {
    const [project, target] = await Promise.all([startSupabaseProject({ filled: true }), startSupabaseProject()]);
    try {
      const backup = await backUp(project.url, 8_192);
      const { binDir } = target.cluster;
      const done = runByHand([/^1\./, /^2\./, /^Into a new Supabase/], backup.folder, target.url, binDir, {
        NEW: "postgres",
      });
      assert.equal(done.status, 0, done.stderr);
      const restored = new Client({ connectionString: target.url });
      await restored.connect();
      try {
        const { rows } = await restored.query(
          `SELECT (SELECT count(*)::int FROM auth.users u JOIN auth.identities i ON i.user_id = u.id) AS users,
                  (SELECT count(*)::int FROM storage.objects) AS files, (SELECT count(*)::int FROM profiles) AS profiles,
                  (SELECT count(*)::int FROM supabase_migrations.schema_migrations) AS migrations,
                  (SELECT count(*)::int FROM pg_policies WHERE schemaname = 'public') AS policies,
                  (SELECT last_value::int FROM auth.refresh_tokens_id_seq) AS sequence,
                  has_table_privilege('anon', 'profiles', 'SELECT') AS granted`,
        );
        assert.deepEqual(rows, [
          { users: 25, files: 25, profiles: 25, migrations: 1, policies: 1, sequence: 25, granted: true },
        ]);
      } finally {
        await restored.end();
      }
    } finally {
      await Promise.all([project.cluster.stop(), target.cluster.stop()]);
    }
  });
});
