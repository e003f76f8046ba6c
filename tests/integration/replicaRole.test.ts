/** A replica role that is no superuser, as on Amazon RDS: what it lacks is named, and with that given all of it works. */
import assert from "node:assert/strict";
import { parseTarget } from "../../scripts/database/target";
import { dropReplica } from "../../scripts/replica/drop";
import type { ReplicaPair } from "../../scripts/replica/pair";
import { planSetup, setUpReplica } from "../../scripts/replica/setUp";
import { syncReplica } from "../../scripts/replica/sync";
import { verifyReplica } from "../../scripts/replica/verify";
import { ask } from "../servers/postgres";
import { type TestPair, freshPair } from "../servers/replicaPair";

describe("a replica role that is no superuser", function () {
  this.timeout(120_000);
  let test: TestPair;
  let pair: ReplicaPair;
  const [tenant, owner, master] = [`tenant_${process.pid}`, `owner_${process.pid}`, `rds_master_${process.pid}`];

  before(async () => {
    test = await freshPair("");
    const name = new URL(test.sourceUrl).pathname.slice(1);
    await ask(
      test.source.url,
      `CREATE ROLE ${tenant} LOGIN REPLICATION PASSWORD 'tenant-password'; CREATE ROLE ${owner}; GRANT ${owner} TO ${tenant};
       ALTER DATABASE ${name} OWNER TO ${tenant}`,
    );
    await ask(test.replica.url, `CREATE ROLE ${master} LOGIN PASSWORD 'master-password'`);
    const as = (url: string, user: string, password: string): string => {
      const address = new URL(url);
      [address.username, address.password] = [user, password];
      return address.href;
    };
    const route = new URL(as(test.sourceUrl, tenant, "tenant-password"));
    route.port = String(test.network.port);
    const source = as(test.sourceUrl, tenant, "tenant-password");
    await ask(
      source,
      `CREATE TABLE notes (id bigserial PRIMARY KEY, word text); INSERT INTO notes (word) SELECT 'w' || n FROM generate_series(1, 500) n;
       GRANT CREATE ON SCHEMA public TO ${owner}; CREATE TABLE owned (id int PRIMARY KEY); ALTER TABLE owned OWNER TO ${owner};
       INSERT INTO owned VALUES (1); CREATE SCHEMA billing; GRANT CREATE ON DATABASE ${name} TO ${owner}; ALTER SCHEMA billing OWNER TO ${owner};
       SET ROLE ${owner}; CREATE TABLE billing.invoices (id int PRIMARY KEY)`,
    );
    pair = {
      ...test.pair,
      source: parseTarget(source, "DATABASE_URL"),
      replica: parseTarget(as(test.replicaUrl, master, "master-password"), "REPLICA_DATABASE_URL"),
      route: parseTarget(route.href, "REPLICATION_SOURCE_URL"),
    };
  });

  const rights = async (looked: ReplicaPair): Promise<string> => {
    const { findings } = await planSetup(looked, false);
    return findings
      .filter(({ id }) => id === "rights")
      .map(({ problem, fix }) => `${problem}; ${fix}`)
      .join("\n");
  };

  it("what it lacks is named, each with the statement that gives it", async () => {
    const withoutPassword = { ...pair, route: { ...pair.route, password: undefined } } as unknown as ReplicaPair;
    const found = `${await rights(pair)}\n${await rights(withoutPassword)}`;
    for (const pattern of [
      new RegExp(`role ${master} may not subscribe on the replica; GRANT pg_create_subscription TO "${master}"`),
      new RegExp(`role ${master} may not create anything in the replica's database`),
      new RegExp(
        `role ${owner}, which owns what is copied, is not on the replica's server.*ALTER ROLE "${master}" CREATEROLE`,
      ),
      /is no superuser: its subscription must hold a password; put one into REPLICATION_SOURCE_URL/,
    ])
      assert.match(found, pattern);
    await ask(test.replica.url, `CREATE ROLE ${owner}`);
    assert.match(
      await rights(pair),
      new RegExp(`may not give anything to ${owner}.*on the replica: GRANT "${owner}" TO "${master}"`),
    );
  });

  it("with that, by membership as Amazon RDS gives it: set up, followed, new definitions, compared, taken down", async () => {
    const name = new URL(test.replicaUrl).pathname.slice(1);
    await ask(
      test.replica.url,
      `CREATE ROLE rds_superuser; GRANT pg_create_subscription TO rds_superuser; GRANT rds_superuser TO ${master};
       ALTER ROLE ${master} CREATEROLE; GRANT ${owner} TO ${master}; ALTER DATABASE ${name} OWNER TO ${master}`,
    );
    assert.equal(await rights(pair), "");
    const { ready, tables } = await setUpReplica(pair);
    assert.ok(ready && tables >= 2);
    await ask(test.sourceUrl, "INSERT INTO notes (word) VALUES ('later'); INSERT INTO owned VALUES (2)");
    await ask(test.sourceUrl, `SET ROLE ${tenant}; ALTER TABLE notes ADD COLUMN kind text NOT NULL DEFAULT 'plain'`);
    assert.deepEqual((await syncReplica(pair)).compared, ["public.notes"]);
    assert.equal((await verifyReplica(pair, { exact: true })).verdict, "equal");
    assert.deepEqual(await ask(test.replicaUrl, "SELECT tableowner FROM pg_tables WHERE tablename = 'owned'"), [
      { tableowner: owner },
    ]);
    await setUpReplica(pair, { resync: true });
    const dropped = await dropReplica(pair, "both");
    assert.deepEqual([dropped.subscriptionDropped, dropped.slotsDropped.length, dropped.left], [true, 1, []]);
  });
});
