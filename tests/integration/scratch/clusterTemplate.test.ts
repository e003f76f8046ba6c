/** Scratch servers are copied from a template, where there can be one that nobody else could have made. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { findPostgres } from "../../../scripts/database/postgresPrograms";
import { type ClusterOptions, startCluster } from "../../../scripts/scratch/cluster";

describe("a scratch server's template", function () {
  this.timeout(30_000);
  const variables = ["DBPROTECT_CACHE", "PG_BIN"] as const;
  const before = variables.map((name) => process.env[name]);
  const folders: string[] = [];
  let cache: string;

  beforeEach(() => {
    const { binDir } = findPostgres();
    cache = mkdtempSync("/tmp/dbprotect-cache-");
    folders.push(cache);
    chmodSync(cache, 0o755);
    Object.assign(process.env, { DBPROTECT_CACHE: cache, PG_BIN: binDir });
  });
  afterEach(() => {
    variables.forEach((name, place) => {
      if (before[place] === undefined) delete process.env[name];
      else process.env[name] = before[place];
    });
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });

  async function systemIdentifier(options: Partial<ClusterOptions> = {}): Promise<string> {
    const cluster = await startCluster({ listen: "socket", lifetime: { kind: "parent" }, ...options });
    const client = new Client({ connectionString: cluster.url });
    try {
      await client.connect();
      const { rows } = await client.query<{ id: string }>(
        "SELECT system_identifier::text AS id FROM pg_control_system()",
      );
      return rows[0]!.id;
    } finally {
      await client.end();
      await cluster.stop();
    }
  }

  it("is made once, by two at the same time too, and copied by all after", async () => {
    const [one, another] = await Promise.all([systemIdentifier(), systemIdentifier()]);
    assert.equal(one, another);
    const names = readdirSync(cache);
    assert.equal(names.length, 1, names.join(" "));
    assert.match(names[0]!, /^cluster-[0-9a-f]{16}$/);
    assert.equal(statSync(join(cache, names[0]!)).mode & 0o777, 0o700);
  });

  it("is for no other server", async () => {
    await systemIdentifier({ purpose: "test" });
    assert.deepEqual(readdirSync(cache), []);
  });

  it("is not taken where others could have written to it", async () => {
    const id = await systemIdentifier();
    const [name = ""] = readdirSync(cache);
    chmodSync(join(cache, name), 0o777);
    assert.notEqual(await systemIdentifier(), id);
  });

  it("is done without where the cache cannot hold it", async () => {
    writeFileSync(join(cache, "file"), "");
    process.env["DBPROTECT_CACHE"] = join(cache, "file");
    assert.notEqual(await systemIdentifier(), await systemIdentifier());
  });
});
