/** Backups of a database that is being written to: one instant, whole, and provably equal after a restore. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Client } from "pg";
import { createBackup } from "../../scripts/backup/createBackup";
import { listBackups, resolveBackup } from "../../scripts/backup/manifest";
import { openSnapshot } from "../../scripts/database/snapshot";
import { findPostgres } from "../../scripts/database/postgresPrograms";
import { parseTarget } from "../../scripts/database/target";
import { readFingerprint } from "../../scripts/restore/compareCopy";
import { openStore } from "../../scripts/store/openStore";
import { AlreadyExists, type Store } from "../../scripts/store/store";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";

const psql = join(findPostgres({ atLeast: 14, use: "client" }).binDir, "psql");

describe("a backup under load", () => {
  afterEach(closeCrmClients);

  it("equals its snapshot exactly while 8 writers insert, update and delete", async function () {
    this.timeout(120_000);
    const { url, client } = await freshCrm(5_000);
    const target = parseTarget(url, "test");
    const store = openStore(freshStore());
    const stop = new AbortController();
    const writers = Array.from({ length: 8 }, (_, seed) => write(url, seed, stop.signal));
    try {
      const before = await rowsOf(client);
      const { reference, manifest } = await createBackup({ target, store, tier: "manual", runId: "load" });
      const { result } = await verifyBackup({ store, backup: reference, depth: 4, runId: "load" });
      const after = await rowsOf(client);
      assert.equal(result.verdict, "verified");
      assert.equal(result.tables, 4);
      assert.notDeepEqual(before, after, "the writers wrote nothing: this test proves nothing");
      const clients = manifest.tables.find(({ name }) => name === "clients");
      assert.ok(clients !== undefined && clients.rows > 0 && clients.coverage === "content");
    } finally {
      stop.abort();
      const written = (await Promise.all(writers)).reduce((sum, count) => sum + count, 0);
      assert.ok(written > 100, `only ${written} transactions were written during the backup`);
    }
  });

  it("knows sequences as they were before pg_dump read them: no copy is behind", async () => {
    const { url, client } = await freshCrm(10);
    const store = openStore(freshStore());
    const { reference, manifest } = await createBackup({
      target: parseTarget(url, "test"),
      store,
      tier: "manual",
      runId: "sequence",
      onSource: () => void execFileSync(psql, [url, "-qAtc", "SELECT nextval('clients_id_seq')"]),
    });
    const { sequences } = await readFingerprint(store, manifest);
    assert.equal(sequences.find(({ name }) => name === "clients_id_seq")?.lastValue, "10");
    const { rows } = await client.query<{ last: string }>("SELECT last_value AS last FROM clients_id_seq");
    assert.equal(rows[0]?.last, "11");
    assert.equal(
      (await verifyBackup({ store, backup: reference, depth: 4, runId: "sequence" })).result.verdict,
      "verified",
    );
  });

  it("restores a database with no rows and no tables", async () => {
    const { url, client } = await freshCrm(0);
    await client.query('DROP TABLE clients, tasks, chat_messages, "Ünsorted ""Notes""" CASCADE');
    const store = openStore(freshStore());
    const { reference } = await createBackup({
      target: parseTarget(url, "test"),
      store,
      tier: "manual",
      runId: "empty",
    });
    const { result } = await verifyBackup({ store, backup: reference, depth: 4, runId: "empty" });
    assert.equal(result.rows, 0);
  });

  it("says that it is to be run again where the session with its snapshot was ended, or somebody else writes its files", async () => {
    const { url, client } = await freshCrm(10);
    const target = parseTarget(url, "test");
    const snapshot = await openSnapshot(target);
    const { rows } = await snapshot.leader.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    await client.query("SELECT pg_terminate_backend($1, 10000)", [rows[0]!.pid]);
    await assert.rejects(snapshot.reader(), { exitCode: 3, message: /the session that held the snapshot was ended/ });
    await snapshot.close();
    const store = openStore(freshStore());
    const create: Store["create"] = (key) => Promise.reject(new AlreadyExists(key));
    const taken = new Proxy(store, { get: (of, name) => (name === "create" ? create : bound(of, name)) });
    const backup = createBackup({ target, store: taken, tier: "manual", runId: "taken" });
    await assert.rejects(backup, { exitCode: 3, message: /another writer, or a store .* exists already/ });
  });

  it("gives two backups of one second different names, and finds the newer one as latest", async () => {
    const { url } = await freshCrm(10);
    const store = openStore(freshStore());
    const target = parseTarget(url, "test");
    const first = await createBackup({ target, store, tier: "manual", runId: "a" });
    const second = await createBackup({ target, store, tier: "predeploy", runId: "b" });
    assert.notEqual(first.reference.name, second.reference.name);
    assert.equal((await listBackups(store)).length, 2);
    assert.deepEqual(await resolveBackup(store, "latest"), second.reference);
  });
});

async function rowsOf(client: Client): Promise<unknown> {
  const { rows } = await client.query("SELECT count(*), sum(hashtext(c::text)) FROM clients c");
  return rows[0];
}

/** @returns how many transactions it committed. */
async function write(url: string, seed: number, signal: AbortSignal): Promise<number> {
  const client = new Client({ connectionString: url });
  await client.connect();
  let committed = 0;
  try {
    while (!signal.aborted) {
      const id = 1 + ((seed * 613 + committed * 37) % 5_000);
      await client.query("BEGIN");
      await client.query("INSERT INTO clients (name, email) VALUES ($1, $2)", [
        `w${seed}`,
        `w${seed}-${committed}@example.com`,
      ]);
      await client.query("UPDATE clients SET balance = coalesce(balance, 0) + 1 WHERE id = $1", [id]);
      await client.query("DELETE FROM tasks WHERE client_id = $1", [id]);
      await client.query("COMMIT");
      committed += 1;
    }
    return committed;
  } finally {
    await client.end();
  }
}

/** Methods of a class with private fields work on it only. */
function bound(of: Store, name: string | symbol): unknown {
  const value: unknown = Reflect.get(of, name);
  return typeof value === "function" ? (value.bind(of) as unknown) : value;
}
