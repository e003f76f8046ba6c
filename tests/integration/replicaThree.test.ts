/**
 * Three clusters: after a failover the new database feeds the former source and a third server at once, and fails over to that
 * one under load; nothing that the application was told is committed is lost on the way.
 */
import assert from "node:assert/strict";
import { newRunId } from "../../scripts/commands/gateContext";
import { parseTarget } from "../../scripts/database/target";
import { failBack, turnedRound } from "../../scripts/replica/failback";
import { type FailoverInput, failOver, planFailover } from "../../scripts/replica/failover";
import { setUpReplica } from "../../scripts/replica/setUp";
import { readStatus } from "../../scripts/replica/status";
import { until } from "../../scripts/replica/until";
import { verifyReplica } from "../../scripts/replica/verify";
import { urlOf } from "../../scripts/scratch/cluster";
import { openStore } from "../../scripts/store/openStore";
import { freshStore } from "../servers/crm";
import { ask, session } from "../servers/postgres";
import { type TestPair, freshPair, thirdCluster } from "../servers/replicaPair";

describe("live replicas of three clusters", function () {
  this.timeout(120_000);
  let test: TestPair;
  let role: string;
  let onward: TestPair["pair"];
  let thirdUrl: string;
  const [storeOfSource, storeOfReplica] = [freshStore(), freshStore()];

  before(async () => {
    test = await freshPair("CREATE TABLE ledger (id bigserial PRIMARY KEY, entry text NOT NULL UNIQUE)");
    const third = await thirdCluster();
    const name = new URL(test.sourceUrl).pathname.slice(1);
    role = `three_${name}`;
    await ask(
      test.sourceUrl,
      `CREATE ROLE ${role} LOGIN PASSWORD 'app-password'; GRANT ALL ON ledger TO ${role};
       GRANT USAGE ON SEQUENCE ledger_id_seq TO ${role}`,
    );
    await ask(third.url, `CREATE DATABASE ${name}`);
    thirdUrl = urlOf(third.place, name);
    onward = {
      ...{ source: test.pair.replica, route: test.pair.replica },
      replica: parseTarget(thirdUrl, "REPLICA_DATABASE_URL"),
      settings: { ...test.pair.settings, name: `${test.pair.settings.name}_on` },
    };
    await setUpReplica(test.pair);
    await ask(test.replicaUrl, `ALTER ROLE ${role} LOGIN PASSWORD 'app-password'`);
  });

  const asApp = (url: string): string => {
    const address = new URL(url);
    [address.username, address.password] = [role, "app-password"];
    return address.href;
  };
  const input = (pair: TestPair["pair"], store: string): FailoverInput => ({
    ...{ pair, store: openStore(store), runId: newRunId(), fencedRoles: [role], sourceLost: false, seconds: 60 },
  });

  /** Writes wherever it is let, as an application whose connection string is changed. */
  function startLedger(urls: readonly string[]): { acknowledged: string[]; stop(): Promise<void> } {
    const acknowledged: string[] = [];
    let stopped = false;
    const write = async (writer: number): Promise<void> => {
      for (let entry = 0; !stopped; entry++) {
        const client = await session(asApp(urls[entry % urls.length]!)).catch(() => undefined);
        try {
          for (; client !== undefined && !stopped; entry++) {
            const text = `${urls.join()} ${writer} ${entry}`;
            await client.query("INSERT INTO ledger (entry) VALUES ($1)", [text]);
            acknowledged.push(text);
          }
        } catch {
          // refused by a fence, or cut off: the next address
        }
        await client?.end().catch(() => undefined);
      }
    };
    const writers = [1, 2].map(write);
    return {
      acknowledged,
      stop: async () => {
        stopped = true;
        await Promise.all(writers);
      },
    };
  }

  it("from the first to the second, which then feeds both others, and on to the third: the ledger is whole", async () => {
    const first = startLedger([test.sourceUrl]);
    await until(async () => (first.acknowledged.length > 30 ? true : undefined), { seconds: 30 });
    const there = input(test.pair, storeOfSource);
    const moved = await failOver(there, await planFailover(there));
    await first.stop();
    assert.ok(moved.wayBack);

    const second = startLedger([test.replicaUrl]);
    const back = turnedRound(test.pair, test.pair.replica);
    await failBack(back, there.store, { seconds: 60 });
    assert.equal((await setUpReplica(onward)).ready, true);
    await until(async () => (second.acknowledged.length > 30 ? true : undefined), { seconds: 30 });
    // Both follow the one database, each by a slot of its own.
    assert.equal(
      (await ask(test.replicaUrl, "SELECT FROM pg_replication_slots WHERE active AND slot_type = 'logical'")).length,
      2,
    );
    for (const pair of [back, onward]) {
      assert.deepEqual((await readStatus(pair)).findings, []);
      const found = await verifyReplica(pair);
      assert.equal(found.verdict, "equal", JSON.stringify([pair.settings.name, found]));
    }
    const on = input(onward, storeOfReplica);
    await failOver(on, await planFailover(on));
    await second.stop();
    const entries = new Set((await ask(thirdUrl, "SELECT entry FROM ledger")).map(({ entry }) => entry));
    const told = [...first.acknowledged, ...second.acknowledged];
    assert.ok(told.length > 60);
    assert.deepEqual(
      told.filter((entry) => !entries.has(entry)),
      [],
    );
    // The former source has all of it too, and neither former database takes a write.
    assert.equal((await verifyReplica(back)).verdict, "equal");
    for (const url of [test.sourceUrl, test.replicaUrl])
      await assert.rejects(ask(asApp(url), "INSERT INTO ledger (entry) VALUES ('too late')"), { code: "42501" });
  });
});
