/** The CRM of the rehearsal: its size, its API behind row-level security, and the version that deletes rows. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  createCrmDatabase,
  seedCrmDatabase,
  startCrmHost,
  type CrmDatabase,
  type CrmHost,
} from "../../scripts/rehearsal/crm/host";
import { cleaningVersion, firstVersion } from "../../scripts/rehearsal/crm/versions";
import { withClient } from "../../scripts/rehearsal/withClient";
import { startCluster, type Cluster } from "../../scripts/scratch/cluster";

describe("the rehearsal's CRM", function () {
  this.timeout(60_000);
  let cluster: Cluster;
  let database: CrmDatabase;
  let host: CrmHost;

  const counts = (): Promise<Record<string, number>> =>
    withClient(database.url, async (client) => {
      const { rows } = await client.query<Record<string, number>>(
        `SELECT (SELECT count(*)::int FROM clients) AS clients, (SELECT count(*)::int FROM tasks) AS tasks,
                (SELECT count(*)::int FROM chat_messages) AS chat_messages`,
      );
      return rows[0] ?? {};
    });
  const get = async (path: string): Promise<{ status: number; body: any }> => {
    const response = await fetch(`${host.url}${path}`);
    return { status: response.status, body: await response.json() };
  };

  before(async () => {
    cluster = await startCluster({ listen: "loopback", lifetime: { kind: "parent" }, purpose: "test" });
    database = await createCrmDatabase(cluster.url);
    await seedCrmDatabase(database);
    host = await startCrmHost(database.apiUrl, firstVersion);
  });
  after(async () => {
    await host.stop();
    await cluster.stop();
  });

  it("holds at least 300,000 rows whose references are right", async () => {
    const { clients = 0, tasks = 0, chat_messages: messages = 0 } = await counts();
    assert.ok(clients + tasks + messages >= 300_000);
    // The seed passes the foreign keys by; so ask PostgreSQL to check each of them now.
    await withClient(database.url, async (client) => {
      const { rows } = await client.query<{ name: string; relation: string }>(
        "SELECT conname AS name, conrelid::regclass::text AS relation FROM pg_constraint WHERE contype = 'f'",
      );
      assert.equal(rows.length, 7);
      await client.query("BEGIN; SET LOCAL session_replication_role = DEFAULT");
      for (const { name, relation } of rows) {
        await client.query(`UPDATE pg_constraint SET convalidated = false WHERE conname = $1`, [name]);
        await client.query(`ALTER TABLE ${relation} VALIDATE CONSTRAINT ${name}`);
      }
      await client.query("ROLLBACK");
    });
  });

  it("answers its health checks", async () => {
    assert.deepEqual((await get("/api/health")).body, { status: "ok", version: firstVersion });
    assert.equal((await get("/api/db/health")).status, 200);
    assert.match(await (await fetch(host.url)).text(), new RegExp(`Version ${firstVersion}`));
    assert.equal((await get("/api/nothing")).status, 404);
  });

  it("shows an organisation its own clients only, a page at a time", async () => {
    const first = (await get("/api/crm/clients?organisation=3&limit=2")).body;
    assert.deepEqual(
      first.clients.map(({ id }: { id: string }) => id),
      ["2", "52"],
    );
    const second = (await get(`/api/crm/clients?organisation=3&limit=2&after=${first.next}`)).body;
    assert.deepEqual(
      second.clients.map(({ id }: { id: string }) => id),
      ["102", "152"],
    );
    assert.equal((await get("/api/crm/clients?limit=0")).status, 400);
  });

  it("adds a client, and refuses one without an e-mail address", async () => {
    const post = async (document: object): Promise<{ status: number; body: any }> => {
      const init = { method: "POST", body: JSON.stringify(document) };
      const response = await fetch(`${host.url}/api/crm/clients?organisation=3`, init);
      return { status: response.status, body: await response.json() };
    };
    const added = await post({ name: "Ines Prado", email: "ines@example.org" });
    assert.equal(added.status, 201);
    assert.equal(added.body.reference, "C-0030001");
    assert.equal((await post({ name: "Ines Prado" })).status, 400);
  });

  it("loses clients, and by cascade their tasks and messages, when the cleaning version starts", async () => {
    const before = await counts();
    await assert.rejects(host.deploy("api", "0.0.1"), /never built/);
    await host.deploy("api", cleaningVersion);
    const after = await counts();
    assert.equal((await get("/api/health")).body.version, cleaningVersion);
    assert.deepEqual(
      Object.keys(before).map((table) => (before[table] ?? 0) - (after[table] ?? 0)),
      [66, 198, 440],
    );
  });

  it("ends with its parent, also after kill -9", async () => {
    const script = `require(${JSON.stringify(join(__dirname, "../../scripts/rehearsal/crm/host.ts"))})
      .startCrmHost(process.env.URL, "1.4.0").then((host) => console.log(host.url))`;
    const parent = spawn(process.execPath, ["--require", require.resolve("tsx/cjs"), "--eval", script], {
      env: { ...process.env, URL: database.apiUrl },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [chunk] = (await once(parent.stdout, "data")) as [Buffer];
    const url = chunk.toString().trim();
    assert.equal((await fetch(`${url}/api/health`)).status, 200);
    parent.kill("SIGKILL");
    for (let tries = 0; tries < 100; tries++) {
      const answers = await fetch(`${url}/api/health`).then(
        () => true,
        () => false,
      );
      if (!answers) return;
      await sleep(50);
    }
    assert.fail("the API outlived its parent");
  });
});
