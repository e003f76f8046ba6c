/** `db:health` against real servers and stores: what is well, what is not, what a role may not see, what does not answer. */
import assert from "node:assert/strict";
import { Client } from "pg";
import { UsageError } from "../../scripts/contract/failure";
import { setFreeze } from "../../scripts/control/freeze";
import { withConnection } from "../../scripts/database/connect";
import { parseTarget } from "../../scripts/database/target";
import { type Health, type HealthSignal, checkHealth, healthSchema, metricsOf } from "../../scripts/monitoring/health";
import { healthHistorySchema } from "../../scripts/monitoring/counters";
import { recordDrill } from "../../scripts/record/drillRecords";
import { type Cluster, startCluster, urlOf } from "../../scripts/scratch/cluster";
import { healthKey } from "../../scripts/store/layout";
import type { Store } from "../../scripts/store/store";
import { openStore } from "../../scripts/store/openStore";
import { claimStore } from "../../scripts/store/storeIdentity";
import { type SignalName, type ThresholdChanges, signalNames } from "../../scripts/thresholds";
import { runCli } from "../servers/cli";
import { freshDatabase, sharedCluster, withSession } from "../servers/postgres";
import { storeKinds } from "../servers/stores";

const fileKind = storeKinds.find(({ kind }) => kind === "file")!;

describe("db:health", function () {
  this.timeout(60_000);

  interface Over {
    readonly url?: string;
    readonly store?: Store;
    readonly thresholds?: ThresholdChanges;
    readonly window?: number;
    readonly env?: NodeJS.ProcessEnv;
  }

  const check = async (over: Over = {}): Promise<Health> =>
    healthSchema.parse(
      await checkHealth({
        target: parseTarget(over.url ?? (await sharedCluster()).url, "DATABASE_URL"),
        store: over.store,
        thresholds: over.thresholds ?? {},
        rtoMinutes: 5,
        window: over.window,
        env: over.env ?? {},
      }),
    );
  const signalOf = ({ signals }: Health, name: SignalName): HealthSignal =>
    signals.find(({ signal }) => signal === name)!;
  const stateOf = (health: Health, name: SignalName): string => signalOf(health, name).state;

  it("has every signal once, in their order, and metrics of those that have a value", async () => {
    const health = await check();
    assert.deepEqual(
      health.signals.map(({ signal }) => signal),
      signalNames,
    );
    assert.equal(health.verdict, "ok");
    assert.deepEqual(
      [signalOf(health, "up").value, stateOf(health, "connections"), stateOf(health, "databaseSize")],
      [1, "ok", "shown"],
    );
    assert.match(signalOf(health, "backupAge").detail ?? "", /BACKUP_STORE is not set/);
    assert.match(signalOf(health, "disk").detail ?? "", /PostgreSQL does not tell/);
    const emitted = metricsOf(health).map(({ name }) => name);
    assert.ok(emitted.includes("Up") && emitted.includes("Wraparound"));
    assert.ok(!emitted.includes("BackupAge") && !emitted.includes("Disk"));
  });

  it("tells rates from two readings: transactions, rollbacks, deadlocks, what was found in memory", async () => {
    const url = await freshDatabase("health_rates");
    const store = await fileKind.make();
    const first = await check({ url, store });
    assert.equal(stateOf(first, "rollbacks"), "unread");
    assert.match(signalOf(first, "rollbacks").detail ?? "", /needs an earlier reading/);
    const kept = await store.readVersioned(healthKey);
    assert.equal(healthHistorySchema.parse(JSON.parse(String(kept?.body))).readings.length, 1);

    const measuring = check({ url, window: 1 });
    await withSession(url, async (client) => {
      await client.query(
        "CREATE TABLE filler AS SELECT g, repeat('x', 500) AS text FROM generate_series(1, 20000) AS g",
      );
      for (let place = 0; place < 8; place++) await client.query("SELECT count(*) FROM filler");
      for (let place = 0; place < 8; place++) await client.query("BEGIN; ROLLBACK");
    });
    const rates = await measuring;
    assert.ok((signalOf(rates, "transactions").value ?? 0) > 60, "transactions a minute");
    assert.ok((signalOf(rates, "rollbacks").value ?? 0) > 10);
    assert.equal(stateOf(rates, "rollbacks"), "warn");
    assert.equal(rates.verdict, "warn");
    assert.equal(signalOf(rates, "deadlocks").value, 0);
  });

  it("sees who waits for a lock, the oldest transaction, and which process is in the way", async () => {
    const url = await freshDatabase("health_locks");
    const [holder, waiter] = [
      new Client({ connectionString: url, application_name: "holder" }),
      new Client({ connectionString: url }),
    ];
    await Promise.all([holder.connect(), waiter.connect()]);
    try {
      const pid = (await holder.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0]?.pid;
      await holder.query("CREATE TABLE wanted (n int)");
      await holder.query("BEGIN; LOCK TABLE wanted");
      const waiting = waiter.query("SELECT * FROM wanted");
      const blocked = async (): Promise<Health> => {
        const health = await check({
          thresholds: { blocked: { warn: 0.001 }, oldestTransaction: { critical: 0.001 } },
        });
        return stateOf(health, "blocked") === "warn" ? health : blocked();
      };
      const health = await blocked();
      assert.match(signalOf(health, "blocked").detail ?? "", new RegExp(`for process ${pid}`));
      assert.match(signalOf(health, "oldestTransaction").detail ?? "", /holder idle in transaction/);
      assert.equal(health.verdict, "critical");
      await holder.query("COMMIT");
      await waiting;
    } finally {
      await Promise.all([holder.end(), waiter.end()]);
    }
  });

  it("asks as a role without rights: what it may not see it says, with what to grant; pg_monitor sees all", async () => {
    const cluster = await sharedCluster();
    await withSession(cluster.url, async (client) => {
      await client.query(
        "CREATE ROLE health_blind LOGIN PASSWORD 'blind'; CREATE ROLE health_seer LOGIN PASSWORD 'seer'",
      );
      await client.query("GRANT pg_monitor TO health_seer");
    });
    const as = (role: string, password: string): string => {
      const url = new URL(urlOf(cluster.place, "postgres"));
      return Object.assign(url, { username: role, password }).href;
    };
    try {
      const blind = await check({ url: as("health_blind", "blind") });
      assert.equal(blind.verdict, "ok");
      const unread = blind.signals.filter(({ state }) => state === "unread").map(({ signal }) => signal);
      for (const name of ["longestQuery", "oldestTransaction"] as const) {
        assert.ok(unread.includes(name), name);
        assert.match(signalOf(blind, name).detail ?? "", /GRANT pg_monitor/);
      }
      assert.ok((signalOf(blind, "connections").value ?? 0) > 0);
      assert.equal(stateOf(blind, "wraparound"), "ok");
      const seer = await check({ url: as("health_seer", "seer") });
      assert.deepEqual([stateOf(seer, "longestQuery"), stateOf(seer, "oldestTransaction")], ["ok", "ok"]);
      const rates = ["transactions", "rollbacks", "deadlocks", "cacheHits", "growth"];
      assert.deepEqual(
        seer.signals.filter(({ state, signal }) => state === "unread" && !rates.includes(signal)),
        [],
      );
    } finally {
      await withSession(cluster.url, async (client) => {
        await client.query("DROP ROLE health_blind; DROP ROLE health_seer");
      });
    }
  });

  it("looks into the store: no backup, no drill, a freeze; the store of another database exits 2", async () => {
    const store = await fileKind.make();
    const url = (await sharedCluster()).url;
    const empty = await check({ store });
    assert.equal(empty.verdict, "critical");
    assert.equal(stateOf(empty, "backupAge"), "critical");
    assert.match(signalOf(empty, "backupAge").detail ?? "", /there is no verified backup/);
    assert.deepEqual([stateOf(empty, "drillAge"), stateOf(empty, "freezes")], ["warn", "ok"]);

    const unread = { dataChecks: null, elsewhere: [] };
    const location = { store: store.url, backup: null, depth: 4, rpoSeconds: 1, tables: 1, rows: 1, ...unread };
    const at = new Date(Date.now() - 9 * 86_400_000).toISOString();
    await recordDrill([store], {
      schemaVersion: 1,
      runId: "20260101T000000Z-a",
      verdict: "passed",
      locations: [{ ...location, verdict: "passed", rtoSeconds: 330, problem: null }],
      startedAt: at,
      at,
    });
    const missingRows = { "public.clients": 3 };
    await setFreeze(store, { kind: "failed-verification", runId: "r1", reason: "rows", person: null, missingRows });
    const health = await check({ store, thresholds: { backupAge: { critical: null } } });
    assert.equal(signalOf(health, "drillAge").value?.toFixed(1), "9.0");
    assert.equal(signalOf(health, "drillRto").value, 110);
    assert.deepEqual(
      health.signals
        .filter(({ state }) => state === "critical")
        .map(({ signal, detail }) => [signal, detail?.slice(0, 10)]),
      [["failedVerifications", "receipt r1"]],
    );

    const other = await fileKind.make();
    await claimStore(other, { systemIdentifier: "1", name: "shop" });
    await assert.rejects(check({ url, store: other }), UsageError);
  });

  it("says what does not answer, and still what the other side says: exit 3", async () => {
    const store = await fileKind.make();
    const down = await check({ url: "postgres://u:p@127.0.0.1:1/db", store });
    assert.equal(down.verdict, "unreachable");
    assert.deepEqual([signalOf(down, "up").value, stateOf(down, "up")], [0, "critical"]);
    assert.match(signalOf(down, "connections").detail ?? "", /does not answer/);
    assert.equal(stateOf(down, "freezes"), "ok");
    const lost = openStore("s3://health/prefix?endpoint=http://127.0.0.1:1&region=x", {
      AWS_ACCESS_KEY_ID: "a",
      AWS_SECRET_ACCESS_KEY: "b",
    });
    const health = await check({ store: lost });
    assert.equal(health.verdict, "unreachable");
    assert.equal(stateOf(health, "backupAge"), "unread");
    assert.equal(signalOf(health, "up").value, 1);
    assert.match(health.warnings.join(), /not remembered/);
  });

  describe("of a server with slots", () => {
    let cluster: Cluster;
    before(async () => {
      cluster = await startCluster({
        listen: "loopback",
        lifetime: { kind: "parent" },
        purpose: "test",
        settings: { wal_level: "replica", max_wal_senders: "2", max_replication_slots: "4" },
      });
    });
    after(() => cluster.stop());

    it("says how much log each may still keep back, and for how long nobody reads it", async () => {
      assert.equal(stateOf(await check({ url: cluster.url }), "slotRoom"), "absent");
      await withConnection(parseTarget(cluster.url, "t"), async (client) => {
        await client.query("SELECT pg_create_physical_replication_slot('idle', true)");
      });
      const unlimited = await check({ url: cluster.url });
      assert.match(signalOf(unlimited, "slotRoom").detail ?? "", /max_slot_wal_keep_size sets no limit/);
      assert.deepEqual([stateOf(unlimited, "slotsLost"), signalOf(unlimited, "slotsLost").value], ["ok", 0]);
      await withConnection(parseTarget(cluster.url, "t"), async (client) => {
        await client.query("ALTER SYSTEM SET max_slot_wal_keep_size = '512MB'");
        await client.query("SELECT pg_reload_conf()");
      });
      const limited = await check({ url: cluster.url, thresholds: { slotRoom: { warn: 101 } } });
      assert.equal(stateOf(limited, "slotRoom"), "warn");
      assert.match(signalOf(limited, "slotRoom").detail ?? "", /^idle: \w+, keeps back/);
      const idle = signalOf(limited, "slotInactive");
      // PostgreSQL tells since when from 17 on.
      if (idle.state === "unread") assert.match(idle.detail ?? "", /idle; since when, PostgreSQL tells from 17/);
      else assert.deepEqual([idle.state, idle.detail], ["ok", "idle"]);
    });
  });

  it("prints one document, and ends with 0, 1, 2 or 3", async () => {
    const url = (await sharedCluster()).url;
    const well = await runCli(["db:health", "--json"], { DATABASE_URL: url });
    assert.equal(well.code, 0, well.stderr);
    assert.equal(healthSchema.parse(JSON.parse(well.stdout)).verdict, "ok");
    const store = await fileKind.make();
    const critical = await runCli(["db:health"], {
      DATABASE_URL: url,
      BACKUP_STORE: store.url,
      DBPROTECT_STACK: "crm/prod",
      ECS_CONTAINER_METADATA_URI_V4: "http://169.254.170.2/v4/x",
    });
    assert.equal(critical.code, 1, critical.stderr);
    assert.match(critical.stdout, /CRITICAL Age of the newest verified backup: .*db:backup/);
    const line = critical.stderr.split("\n").find((text) => text.startsWith('{"_aws"'));
    assert.equal((JSON.parse(line ?? "{}") as { BackupAge?: number }).BackupAge, 876_600);
    const wrong = await runCli(["db:health"], { DATABASE_URL: url, DBPROTECT_SETTINGS: '{"thresholds":{"cpu":{}}}' });
    assert.equal(wrong.code, 2, wrong.stderr);
    const down = await runCli(["db:health"], { DATABASE_URL: "postgres://u:p@127.0.0.1:1/db" });
    assert.deepEqual([down.code, /UNREACHABLE/.test(down.stdout)], [3, true], down.stderr);
  });
});
