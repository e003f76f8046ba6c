/** The definitions of a replica come from the source whole, or not at all: also where pg_dump ends in their middle. */
import assert from "node:assert/strict";
import { readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withConnection } from "../../scripts/database/connect";
import { findPostgres } from "../../scripts/database/postgresPrograms";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import { type ReplicaPair, identifyPair, withPair } from "../../scripts/replica/pair";
import { copySchema } from "../../scripts/replica/schemaCopy";
import { replicaSettingsSchema } from "../../scripts/settings";
import { ask, freshDatabase } from "../servers/postgres";
import { temporaryFolder } from "../servers/stores";

describe("the definitions of a replica", function () {
  this.timeout(30_000);
  const programs = process.env["PG_BIN"];
  let source: DatabaseTarget;
  let replicaUrl: string;
  let replica: DatabaseTarget;

  beforeEach(async () => {
    const sourceUrl = await freshDatabase("schema_source");
    await ask(sourceUrl, "CREATE TABLE whole (id int PRIMARY KEY)");
    replicaUrl = await freshDatabase("schema_replica");
    [source, replica] = [parseTarget(sourceUrl, "test"), parseTarget(replicaUrl, "test")];
  });
  afterEach(() => {
    if (programs === undefined) delete process.env["PG_BIN"];
    else process.env["PG_BIN"] = programs;
  });

  async function copy(): Promise<void> {
    const pair: ReplicaPair = { source, replica, route: source, settings: replicaSettingsSchema.parse({}) };
    await withPair(pair, async (from, to) => copySchema(pair, from, to, await identifyPair(pair, from, to), {}));
  }

  /** @param instead what pg_dump does. */
  async function withDump(instead: string): Promise<void> {
    const { binDir } = await withConnection(source, () => Promise.resolve(findPostgres({ use: "client" })));
    const folder = temporaryFolder();
    for (const name of readdirSync(binDir)) if (name !== "pg_dump") symlinkSync(join(binDir, name), join(folder, name));
    const script = `#!/bin/sh\n[ "$1" = --version ] && exec "${binDir}/pg_dump" --version\n${instead}\n`;
    writeFileSync(join(folder, "pg_dump"), script, { mode: 0o755 });
    process.env["PG_BIN"] = folder;
  }

  const tables = async (): Promise<string[]> =>
    (
      await ask<{ name: string }>(
        replicaUrl,
        "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND oid > 16384 ORDER BY 1",
      )
    ).map(({ name }) => name);

  it("are there once pg_dump ended well", async () => {
    await copy();
    assert.deepEqual(await tables(), ["whole"]);
  });

  it("are not there where pg_dump failed after whole statements, and it is its failure that is told", async () => {
    await withDump(`echo "CREATE TABLE half (id int);"; echo "pg_dump: error: the source went away" >&2; exit 1`);
    await assert.rejects(copy(), { exitCode: 3, message: /^pg_dump failed \(1\) .*the source went away/ });
    assert.deepEqual(await tables(), []);
  });

  it("are not there where the replica refuses one of them, and it is its refusal that is told", async () => {
    await withDump(
      `echo "CREATE TABLE half (id int); CREATE TABLE half (id int);"; for n in 1 2 3 4 5 6 7 8; do head -c 65536 /dev/zero | tr '\\0' '-' ; echo; done`,
    );
    await assert.rejects(copy(), { exitCode: 1, message: /^psql failed .*relation "half" already exists/ });
    assert.deepEqual(await tables(), []);
  });
});
