/** The live replica between two real clusters: set up under load, broken in every way that comes up, and taken down. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describeFailover } from "../../scripts/report/replica";
import { newRunId } from "../../scripts/commands/gateContext";
import { type Failure, Refusal } from "../../scripts/contract/failure";
import { withConnection } from "../../scripts/database/connect";
import { readFailover } from "../../scripts/control/failover";
import { parseTarget } from "../../scripts/database/target";
import { dropReplica } from "../../scripts/replica/drop";
import { failBack, turnedRound } from "../../scripts/replica/failback";
import { type FailoverInput, failOver, planFailover } from "../../scripts/replica/failover";
import { dropExpired, planJanitor } from "../../scripts/replica/janitor";
import { planSetup, setUpReplica } from "../../scripts/replica/setUp";
import { type HealthSignal, checkHealth } from "../../scripts/monitoring/health";
import { readReplicaSignals } from "../../scripts/replica/signals";
import { readStatus } from "../../scripts/replica/status";
import { subscribe } from "../../scripts/replica/subscription";
import { until } from "../../scripts/replica/until";
import { verifyReplica } from "../../scripts/replica/verify";
import type { GateContext } from "../../scripts/gate/context";
import { replicaStep } from "../../scripts/gate/steps/replica";
import { liftFence } from "../../scripts/incident/maintenance";
import { type ReplicaSettings, operationSettingsSchema } from "../../scripts/settings";
import type { SignalName } from "../../scripts/thresholds";
import { openStore } from "../../scripts/store/openStore";
import { isCampaign } from "../servers/campaign";
import { runCli, startCli } from "../servers/cli";
import { freshStore } from "../servers/crm";
import { type Application, startApplication } from "../servers/platforms";
import { ask, freshDatabase, session } from "../servers/postgres";
import { type TestPair, freshPair, replicatedSchema, startWriters } from "../servers/replicaPair";

/** Every row of every table but ours, as one text: the plain way, beside the fingerprints. */
async function contents(url: string): Promise<unknown> {
  const tables = ["clients", "messages", "coded", "measured_old", "measured_new"];
  return Promise.all(
    tables.map((table) => ask(url, `SELECT count(*), sum(hashtextextended(t::text, 0)) FROM ONLY ${table} t`)),
  );
}

async function follows({ pair }: TestPair, seconds = 60): Promise<void> {
  const status = await until(
    async () => {
      // One that recovers after a kill -9 is away for a moment.
      const found = await readStatus(pair).catch((error: Failure) => {
        if (error.exitCode !== 3) throw error;
        return undefined;
      });
      return found?.findings.length === 0 && found.lagSeconds === 0 ? found : undefined;
    },
    { seconds },
  );
  assert.ok(status !== undefined, JSON.stringify((await readStatus(pair)).findings));
}

async function equal(test: TestPair): Promise<void> {
  await follows(test);
  assert.deepEqual(await contents(test.replicaUrl), await contents(test.sourceUrl));
}

const slotsOf = ({ sourceUrl }: TestPair): Promise<unknown[]> =>
  ask(sourceUrl, "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()");

/** One signal of `db:health`. */
async function healthOf(pair: TestPair["pair"]): Promise<(name: SignalName) => HealthSignal | undefined> {
  const { signals } = await checkHealth({
    ...{ target: pair.source, store: undefined, thresholds: {}, rtoMinutes: 5, window: undefined, env: {} },
    replica: () => readReplicaSignals(pair),
  });
  return (name) => signals.find(({ signal }) => signal === name);
}

describe("live replica", function () {
  this.timeout(120_000);
  let test: TestPair;

  before(async () => {
    test = await freshPair(replicatedSchema);
  });

  it("copies everything under 8 writers, and follows them to equality", async () => {
    const writers = startWriters(test.sourceUrl, 8);
    const result = await setUpReplica(test.pair);
    const during = writers.committed();
    await writers.stop();
    assert.ok(result.ready && during > 20, `${during} transactions`);
    await equal(test);
    // Triggers of the replica stay silent: a row is applied as it was written.
    assert.deepEqual(await ask(test.replicaUrl, "SELECT last_value >= 3000 AS ahead FROM clients_id_seq"), [
      { ahead: true },
    ]);
  });

  it("again it changes nothing, and a plan says so", async () => {
    assert.deepEqual((await planSetup(test.pair, false)).steps, []);
    const before = await ask(test.replicaUrl, "SELECT oid FROM pg_subscription");
    assert.equal((await setUpReplica(test.pair)).ready, true);
    assert.deepEqual(await ask(test.replicaUrl, "SELECT oid FROM pg_subscription"), before);
  });

  it("a table that both sides get later is noticed, and follows once it is set up again", async () => {
    const definition = "CREATE TABLE later (id int PRIMARY KEY, word text)";
    await ask(test.sourceUrl, definition);
    await ask(test.sourceUrl, "INSERT INTO later VALUES (1, 'before')");
    const { findings } = await readStatus(test.pair);
    assert.ok(findings.some(({ id, message }) => id === "not-replicated" && /later.*replication:sync/.test(message)));
    await ask(test.replicaUrl, definition);
    assert.equal((await setUpReplica(test.pair)).ready, true);
    await ask(test.sourceUrl, "INSERT INTO later VALUES (2, 'after')");
    await follows(test);
    assert.deepEqual(await ask(test.replicaUrl, "SELECT word FROM later ORDER BY id"), [
      { word: "before" },
      { word: "after" },
    ]);
    for (const url of [test.sourceUrl, test.replicaUrl]) await ask(url, "DROP TABLE later");
  });

  for (const side of ["source", "replica"] as const) {
    it(`kill -9 of the ${side}'s processes under load: it recovers and is equal`, async () => {
      const writers = startWriters(test.sourceUrl, 2);
      const [victim] =
        side === "source"
          ? await ask<{ pid: number }>(
              test.sourceUrl,
              "SELECT active_pid AS pid FROM pg_replication_slots WHERE active",
            )
          : await ask<{ pid: number }>(
              test.replicaUrl,
              "SELECT pid FROM pg_stat_subscription WHERE pid IS NOT NULL AND subname = $1",
              [test.pair.settings.name],
            );
      process.kill(victim!.pid, "SIGKILL");
      await until(
        () =>
          ask(side === "source" ? test.sourceUrl : test.replicaUrl, "SELECT 1").then(
            () => true,
            () => undefined,
          ),
        { seconds: 30 },
      );
      const before = writers.committed();
      await until(async () => (writers.committed() > before + 10 ? true : undefined), { seconds: 30 });
      await writers.stop();
      await equal(test);
    });
  }

  it("a network that is cut under load, in a campaign for a minute: the lag is told in bytes and seconds, then it catches up", async () => {
    const writers = startWriters(test.sourceUrl, 2);
    await follows(test);
    test.network.cut();
    try {
      const before = writers.committed();
      await until(async () => (writers.committed() > before + 50 ? true : undefined), { seconds: 30 });
      // A campaign waits for the minute that every timeout of both servers is over.
      if (isCampaign) await sleep(60_000);
      const behind = await readStatus(test.pair);
      assert.ok((behind.lagBytes ?? 0) > 10_000 && (behind.lagSeconds ?? 0) > 1, JSON.stringify(behind));
      assert.equal(behind.slot?.active, false);
      const cut = await healthOf(test.pair);
      assert.deepEqual([cut("replicaFollows")?.value, cut("replicaFollows")?.state], [0, "critical"]);
      assert.ok((cut("replicaSeconds")?.value ?? 0) > 1 && (cut("replicaBytes")?.value ?? 0) > 10_000);
      assert.ok((cut("replicaSlotBytes")?.value ?? 0) >= (cut("replicaBytes")?.value ?? Infinity));
      assert.equal(cut("replicaSlotRoom")?.state, "absent");
    } finally {
      test.network.mend();
    }
    await writers.stop();
    await equal(test);
    const mended = await healthOf(test.pair);
    assert.deepEqual([mended("replicaFollows")?.value, mended("replicaSeconds")?.state], [1, "ok"]);
    const away = await healthOf({ ...test.pair, replica: { ...test.pair.replica, port: 9 } });
    assert.deepEqual([away("replicaFollows")?.value, away("replicaSeconds")?.state], [0, "unread"]);
  });

  it("is proven equal while 4 writers go on; a row that was changed, lost or made on the replica alone is a difference", async () => {
    const writers = startWriters(test.sourceUrl, 4);
    const found = await verifyReplica(test.pair);
    assert.equal(found.verdict, "equal", JSON.stringify(found));
    assert.ok(found.rows > 10_000 && writers.committed() > 5);
    await ask(test.replicaUrl, "UPDATE coded SET note = 'other' WHERE code = 'c7'");
    await ask(test.replicaUrl, "DELETE FROM measured WHERE at = '2025-06-09'");
    await ask(test.replicaUrl, "INSERT INTO clients (id, name) VALUES (-1, 'only here')");
    const other = await verifyReplica(test.pair);
    await writers.stop();
    assert.equal(other.verdict, "different");
    assert.deepEqual(
      other.findings.toSorted(),
      ["clients", "coded", "measured_old"].map((table) => `table public.${table} differs in 1 bucket(s) of rows`),
    );
    await setUpReplica(test.pair, { resync: true });
    assert.equal((await verifyReplica(test.pair, { exact: true })).verdict, "equal");
    await ask(test.sourceUrl, "SELECT nextval('clients_id_seq')");
    const { findings } = await verifyReplica(test.pair, { exact: true });
    assert.match(findings.join(), /sequence public\.clients_id_seq fell back/);
  });

  it("the password is in no log of statements, also when the source refuses it", async () => {
    const { pair } = test;
    const settings = { ...pair.settings, name: "r_refused" };
    const wrong = { ...pair, route: { ...pair.route, password: "swordfish-1" }, settings };
    await assert.rejects(setUpReplica(wrong), (error: Error) => !/swordfish/.test(String(error.stack)));
    await assert.rejects(subscribeBlindly(wrong), /password authentication failed/);
    const folder = join(test.replica.place.dataDir, "log");
    const logs = readdirSync(folder).map((file) => readFileSync(join(folder, file), "utf8"));
    assert.match(logs.join(""), /ALTER DATABASE|CREATE DATABASE/);
    assert.ok(!/swordfish/.test(logs.join("")));
    assert.ok(!logs.join("").includes(pair.route.password ?? "-"));
    assert.deepEqual(await slotsOf(test), [{ slot_name: pair.settings.name }]);
    assert.deepEqual(await ask(test.sourceUrl, "SELECT pubname FROM pg_publication"), [
      { pubname: pair.settings.name },
    ]);
  });

  it("a slot that is lost by its cap is noticed, refused, and copied anew", async () => {
    const admin = test.source.url;
    await ask(admin, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    await ask(admin, "SELECT pg_reload_conf()");
    test.network.cut();
    try {
      await until(
        async () => {
          await ask(test.sourceUrl, "UPDATE clients SET balance = balance + 1 WHERE id % 10 = 0");
          await ask(admin, "SELECT pg_switch_wal()");
          await ask(admin, "CHECKPOINT");
          const query = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1";
          const [slot] = await ask(admin, query, [test.pair.settings.name]);
          return slot?.["wal_status"] === "lost" ? true : undefined;
        },
        { seconds: 60 },
      );
    } finally {
      test.network.mend();
      await ask(admin, "ALTER SYSTEM RESET max_slot_wal_keep_size");
      await ask(admin, "SELECT pg_reload_conf()");
    }
    const { findings } = await readStatus(test.pair);
    assert.ok(
      findings.some(({ id }) => id === "slot-lost"),
      JSON.stringify(findings),
    );
    await assert.rejects(setUpReplica(test.pair), /was lost.*can follow no more/);
    const writers = startWriters(test.sourceUrl, 2);
    await setUpReplica(test.pair, { resync: true });
    await writers.stop();
    await equal(test);
  });

  it("what was killed half-way is gone on with: a slot without subscriber, a copy without its end", async () => {
    const { name } = test.pair.settings;
    await dropReplica(test.pair, "replica");
    assert.deepEqual(await slotsOf(test), [{ slot_name: name }]);
    await assert.rejects(setUpReplica(test.pair), /has rows, and no subscription brings them/);
    const child = startCli(["replication:setup", "--resync", "--yes"], test.env);
    child.process.stderr?.on("data", () => {
      if (/making the slot/.test(child.stderr())) child.process.kill("SIGKILL");
    });
    await child.ended;
    const run = await runCli(["replication:setup", "--resync", "--yes", "--json"], test.env);
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(await slotsOf(test), [{ slot_name: name }]);
    await equal(test);
  });

  it("a drop whose source cannot be reached changes nothing and is loud; then nothing is left", async () => {
    const { pair, network } = test;
    const lost = { ...pair, source: { ...pair.route, source: "DATABASE_URL" } };
    network.cut();
    await assert.rejects(
      dropReplica(lost, "both"),
      (error: Failure) => error.exitCode === 3 && /slot .* cannot be dropped/.test(error.message),
    );
    assert.equal((await ask(test.replicaUrl, "SELECT FROM pg_subscription")).length, 1);
    network.mend();
    const dropped = await dropReplica(pair, "both");
    assert.deepEqual(dropped, { subscriptionDropped: true, slotsDropped: [pair.settings.name], left: [] });
    assert.deepEqual(await slotsOf(test), []);
    assert.deepEqual(await ask(test.sourceUrl, "SELECT pubname FROM pg_publication"), []);
    assert.deepEqual(await ask(test.replicaUrl, "SELECT subname FROM pg_subscription"), []);
    const again = await dropReplica(pair, "both");
    assert.deepEqual(again, { subscriptionDropped: false, slotsDropped: [], left: [] });
  });

  it("without the source the replica's side goes and the slot that stays is told with exit 1; the other side later", async () => {
    await setUpReplica(test.pair, { resync: true });
    const { name } = test.pair.settings;
    const nowhere = { ...test.env, DATABASE_URL: "postgres://x:y@127.0.0.1:9/x" };
    const run = await runCli(["replication:drop", "--side", "replica", "--yes"], nowhere);
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stdout, new RegExp(`STILL THERE.*pg_drop_replication_slot\\('${name}'\\)`));
    assert.deepEqual(await slotsOf(test), [{ slot_name: name }]);
    const later = await runCli(["replication:drop", "--side", "source", "--yes", "--json"], test.env);
    assert.deepEqual(JSON.parse(later.stdout).slotsDropped, [name], later.stderr);
    assert.deepEqual(await slotsOf(test), []);
  });

  it("the janitor drops a slot of ours past its time, and no other", async () => {
    await setUpReplica(test.pair, { resync: true });
    const { pair } = test;
    const { name } = pair.settings;
    const past = { ...pair, settings: { ...pair.settings, slotTtlHours: 0 } };
    await ask(test.sourceUrl, "SELECT pg_create_logical_replication_slot('somebody_elses', 'pgoutput')");
    try {
      assert.deepEqual((await planJanitor(pair)).idle, []);
      await dropReplica(pair, "replica");
      assert.deepEqual(await dropExpired(pair), []);
      assert.equal((await planJanitor(pair)).idle[0]?.expired, false);
      assert.deepEqual(await dropExpired(past), [name]);
      assert.deepEqual(await slotsOf(test), [{ slot_name: "somebody_elses" }]);
    } finally {
      await ask(test.sourceUrl, "SELECT pg_drop_replication_slot('somebody_elses')");
    }
  });
});

/** As the replica's server does it, without the preflight before. */
const subscribeBlindly = (pair: TestPair["pair"]): Promise<void> =>
  withConnection(pair.replica, (replica) => subscribe(pair, replica, false));

describe("failing over to the live replica, and back", function () {
  this.timeout(120_000);
  let test: TestPair;
  let role: string;
  let back: TestPair["pair"];
  let application: Application;
  const [storeOfSource, storeOfReplica] = [freshStore(), freshStore()];

  before(async () => {
    test = await freshPair(`${replicatedSchema}
      CREATE TABLE ledger (id bigserial PRIMARY KEY, entry text NOT NULL UNIQUE)`);
    role = `app_${new URL(test.sourceUrl).pathname.slice(1)}`;
    await ask(
      test.sourceUrl,
      `CREATE ROLE ${role} LOGIN PASSWORD 'app-password'; GRANT ALL ON ledger TO ${role};
      GRANT USAGE ON SEQUENCE ledger_id_seq TO ${role}`,
    );
    await setUpReplica(test.pair);
    back = turnedRound(test.pair, test.pair.replica);
    application = await startApplication();
    application.railway.variables["DATABASE_URL"] = asApp(test.sourceUrl);
  });
  after(() => application.close());

  /** With the application's connection strings as variables of both platforms. */
  const withVariables = (given: FailoverInput, url: string): FailoverInput => {
    const connectionVariables = (["railway", "vercel"] as const).map((platform) => ({
      ...{ platform, name: "DATABASE_URL", environment: "production" as const },
    }));
    const settings = { ...given.pair.settings, connectionVariables };
    const env = { ...application.env, REPLICA_APPLICATION_URL: url };
    return { ...given, pair: { ...given.pair, settings }, env };
  };

  function asApp(url: string): string {
    const address = new URL(url);
    address.username = role;
    address.password = "app-password";
    return address.href;
  }

  /** The application: what was acknowledged to it must be there afterwards. */
  function startLedger(url: string, name: string): { acknowledged: string[]; stop(): Promise<void> } {
    const acknowledged: string[] = [];
    let stopped = false;
    const write = async (writer: number): Promise<void> => {
      for (let entry = 0; !stopped; entry++) {
        const client = await session(asApp(url)).catch(() => undefined);
        try {
          for (; client !== undefined && !stopped; entry++) {
            const text = `${name} ${writer} ${entry}`;
            await client.query("INSERT INTO ledger (entry) VALUES ($1)", [text]);
            acknowledged.push(text);
          }
        } catch {
          // refused by the fence, or cut off
        }
        await client?.end().catch(() => undefined);
      }
    };
    const writers = Array.from({ length: 4 }, (_, writer) => write(writer));
    return {
      acknowledged,
      stop: async () => {
        stopped = true;
        await Promise.all(writers);
      },
    };
  }

  const entries = async (url: string): Promise<Set<unknown>> =>
    new Set((await ask(url, "SELECT entry FROM ledger")).map((row) => row["entry"]));

  const input = (pair: TestPair["pair"], store: string): FailoverInput => ({
    ...{ pair, store: openStore(store), runId: newRunId(), fencedRoles: [role], sourceLost: false, seconds: 60 },
  });

  it("a dry run says what it would do and changes nothing; a replica that is not fit is refused", async () => {
    const env = { ...test.env, BACKUP_STORE: storeOfSource };
    const settings = { replica: test.pair.settings, rollback: { fencedRoles: [role] } };
    const run = await runCli(["replication:failover", "--dry-run"], {
      ...env,
      DBPROTECT_SETTINGS: JSON.stringify(settings),
    });
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stdout, new RegExp(`keeps ${role} from writing.*`));
    assert.match(run.stdout, /cannot log in on the replica: app_/);
    await ask(asApp(test.sourceUrl), "INSERT INTO ledger (entry) VALUES ('still writable')");
    await ask(test.replicaUrl, "DROP INDEX clients_name");
    await assert.rejects(
      planFailover(input(test.pair, storeOfSource)),
      (error: Refusal) =>
        /not fit to take over/.test(error.message) &&
        /index public\.clients_name is missing/.test(error.details.join()),
    );
    await ask(test.replicaUrl, "CREATE INDEX clients_name ON clients (lower_name)");
    await assert.rejects(
      planFailover({ ...input(test.pair, storeOfSource), sourceLost: true }),
      /found a source that answers/,
    );
  });

  it("the gate's step halts for a replica that lacks definitions or cannot be reached, and warns where it may", async () => {
    const look = (replica: Partial<ReplicaSettings>) => {
      const settings = operationSettingsSchema.parse({ replica: { ...test.pair.settings, ...replica } });
      const context = { settings, target: test.pair.source } as GateContext;
      return replicaStep.run(context, { usedOverrides: [], reports: [] });
    };
    process.env["DATABASE_URL"] = test.sourceUrl;
    process.env["REPLICA_DATABASE_URL"] = test.replicaUrl;
    try {
      assert.match((await look({})).summary, /follows, with the same definitions/);
      await ask(test.sourceUrl, "CREATE TABLE young (id int PRIMARY KEY)");
      const ids = (await look({})).findings?.map(({ id }) => id) ?? [];
      assert.ok(ids.includes("not-replicated") && ids.includes("drift:relation public.young"), ids.join());
      assert.match((await look({ onDrift: "warn" })).summary, /^WARNING: .*public\.young/);
      await ask(test.sourceUrl, "DROP TABLE young");
      process.env["REPLICA_DATABASE_URL"] = "postgres://x:y@127.0.0.1:9/x";
      assert.deepEqual(
        (await look({})).findings?.map(({ id }) => id),
        ["unreachable"],
      );
    } finally {
      delete process.env["DATABASE_URL"];
      delete process.env["REPLICA_DATABASE_URL"];
    }
  });

  it("killed half-way under load, run again: nothing that was acknowledged is lost, and both are equal", async () => {
    const ledger = startLedger(test.sourceUrl, "before");
    await until(async () => (ledger.acknowledged.length > 50 ? true : undefined), { seconds: 30 });
    const env = {
      ...{ ...test.env, BACKUP_STORE: storeOfSource },
      DBPROTECT_SETTINGS: JSON.stringify({ replica: test.pair.settings, rollback: { fencedRoles: [role] } }),
    };
    const child = startCli(["replication:failover", "--yes"], env);
    child.process.stderr?.on("data", () => {
      if (/comparing every row/.test(child.stderr())) child.process.kill("SIGKILL");
    });
    await child.ended;
    assert.equal((await readFailover(openStore(storeOfSource)))?.state, "begun", child.stderr());
    await ask(test.replicaUrl, `ALTER ROLE ${role} LOGIN PASSWORD 'app-password'`);
    const again = withVariables(input(test.pair, storeOfSource), asApp(test.replicaUrl));
    await assert.rejects(planFailover(withVariables(again, asApp(test.sourceUrl))), /found another database/);
    const plan = await planFailover(again);
    const words = describeFailover(plan, false);
    assert.match(words, /DATABASE_URL \(railway .*is set to the new database[^]*DATABASE_URL \(vercel .*is made/);
    assert.ok(!words.includes("app-password"));
    // It is the database by then; what is left to do is done by the next run.
    application.vercel.faults.plan({ kind: "status", status: 400 }, 1, ({ method }) => method === "POST");
    await assert.rejects(failOver(again, plan));
    assert.equal((await readFailover(again.store))?.state, "promoted");
    assert.equal(application.vercel.valueOf("DATABASE_URL"), undefined);
    const result = await failOver(again, await planFailover(again));
    assert.equal(application.railway.variables["DATABASE_URL"], asApp(test.replicaUrl));
    assert.equal(application.vercel.valueOf("DATABASE_URL"), asApp(test.replicaUrl));
    assert.ok(result.connections?.length === 2 && !JSON.stringify(result).includes("app-password"));
    await ledger.stop();
    assert.ok(result.wayBack && result.left.length === 0, JSON.stringify(result));
    const there = await entries(test.replicaUrl);
    assert.deepEqual(
      ledger.acknowledged.filter((entry) => !there.has(entry)),
      [],
    );
    assert.deepEqual(await contents(test.replicaUrl), await contents(test.sourceUrl));
    await assert.rejects(ask(asApp(test.sourceUrl), "INSERT INTO ledger (entry) VALUES ('too late')"), {
      code: "42501",
    });
    // The next value of a sequence is free on the new database, and nothing is left on the old one.
    await ask(asApp(test.replicaUrl), "INSERT INTO ledger (entry) VALUES ('first here')");
    assert.deepEqual(await slotsOf(test), []);
    const once = await planFailover(again);
    assert.ok(once.going);
    assert.equal((await failOver(again, once)).promotedAt !== "", true);
  });

  it("the way back: the former source follows without a copy, and becomes the database again", async () => {
    const ledger = startLedger(test.replicaUrl, "after");
    const followed = await failBack(back, openStore(storeOfSource), { seconds: 60 });
    assert.ok(followed.follows);
    assert.equal((await verifyReplica(back)).verdict, "equal");
    await until(async () => (ledger.acknowledged.length > 50 ? true : undefined), { seconds: 30 });
    const there = input(back, storeOfReplica);
    await failOver(there, await planFailover(there));
    await ledger.stop();
    const here = await entries(test.sourceUrl);
    assert.deepEqual(
      ledger.acknowledged.filter((entry) => !here.has(entry)),
      [],
    );
    assert.ok(here.has("first here"));
    await liftFence({ store: openStore(storeOfSource), live: test.pair.source, runId: newRunId() });
    await ask(asApp(test.sourceUrl), "INSERT INTO ledger (entry) VALUES ('home again')");
  });

  it("a source that is lost: sequences are moved past the rows, and it is said that nothing was compared", async () => {
    const other = await freshPair(
      "CREATE TABLE t (id bigserial PRIMARY KEY, a int); INSERT INTO t (a) SELECT 1 FROM generate_series(1, 10)",
    );
    await setUpReplica(other.pair);
    const lost = { ...other.pair, source: { ...other.pair.route, source: "DATABASE_URL" } };
    other.network.cut();
    await assert.rejects(planFailover(input(lost, freshStore())), { exitCode: 3 });
    const given = { ...input(lost, freshStore()), sourceLost: true };
    const plan = await planFailover(given);
    assert.ok(plan.newestBeat !== null && plan.fence === null);
    const result = await failOver(given, plan);
    assert.ok(result.sourceLost && !result.wayBack && result.rows === null);
    assert.match(result.left.join(), /replication:drop --side source/);
    assert.deepEqual(await ask(other.replicaUrl, "INSERT INTO t (a) VALUES (1) RETURNING id > 10000 AS ahead"), [
      { ahead: true },
    ]);
    await assert.rejects(failBack(turnedRound(lost, lost.replica), given.store, { seconds: 1 }));
    other.network.mend();
    assert.deepEqual((await dropReplica(other.pair, "source")).slotsDropped, [other.pair.settings.name]);
  });
});

describe("preflight of a live replica", function () {
  this.timeout(120_000);
  let test: TestPair;

  before(async () => {
    test = await freshPair(`
      CREATE TABLE keyless (a int); CREATE TABLE indexed (code text NOT NULL UNIQUE);
      CREATE UNLOGGED TABLE quick (id int PRIMARY KEY);
      CREATE SCHEMA _analytics; CREATE TYPE _analytics.level AS ENUM ('a'); CREATE TABLE levelled (id int PRIMARY KEY, level _analytics.level);
      CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
      CREATE TRIGGER always BEFORE INSERT ON levelled FOR EACH ROW EXECUTE FUNCTION f();
      ALTER TABLE levelled ENABLE ALWAYS TRIGGER always; SELECT lo_create(0)`);
    await ask(test.replicaUrl, "CREATE TABLE keyless (a int)");
  });

  async function lines(pair: TestPair["pair"], id: string): Promise<string> {
    const { findings } = await planSetup(pair, false);
    const found = findings.filter((finding) => finding.id === id);
    return found.map(({ severity, problem, fix }) => `${severity}: ${problem}; ${fix}`).join("\n");
  }

  it("before there is one, failing over and comparing say so, and what to do", async () => {
    const none = /there is no live replica/;
    const refused = (error: unknown) => {
      assert.ok(error instanceof Refusal, String(error));
      assert.match(error.message, none);
      return true;
    };
    const failover = {
      ...{ pair: test.pair, store: openStore(freshStore()), runId: newRunId(), fencedRoles: [], sourceLost: false },
      ...{ seconds: 60, env: {} },
    };
    await assert.rejects(planFailover(failover), refused);
    await assert.rejects(verifyReplica(test.pair), refused);
  });

  it("names tables that cannot be replicated, large objects, what the other side has or lacks, each with its fix", async () => {
    await ask(
      test.sourceUrl,
      "SET allow_system_table_mods = on; INSERT INTO pg_extension SELECT 99999, 'nowhere', 10, 2200, true, '1'",
    );
    process.env["DBPROTECT_PRESET"] = "supabase";
    try {
      const { pair } = test;
      assert.match(
        await lines(pair, "no-key"),
        /indexed has no primary key.*REPLICA IDENTITY USING INDEX "indexed_code_key"/,
      );
      assert.match(
        await lines(pair, "no-key"),
        /give it a primary key; .* or declare it in replica\.uncovered: "public\.keyless"/,
      );
      assert.match(await lines(pair, "unlogged"), /^halt: public\.quick is unlogged.*SET LOGGED/);
      assert.match(await lines(pair, "large-objects"), /^halt: 1 large object.*withoutLargeObjects/);
      assert.match(await lines(pair, "extension"), /^halt: the replica's server has no extension nowhere/);
      assert.match(await lines(pair, "type"), /^halt: the replica has no type _analytics\.level/);
      assert.match(await lines(pair, "not-empty"), /^halt: .*1 of the tables already: public\.keyless/);
      assert.match(await lines(pair, "trigger"), /^warn: trigger .*always fires on the replica too/);
      await assert.rejects(setUpReplica(pair), /stand in the way of a live replica: nothing was changed/);
      assert.deepEqual(await ask(test.sourceUrl, "SELECT FROM pg_publication"), []);
    } finally {
      delete process.env["DBPROTECT_PRESET"];
    }
  });

  it("what is declared uncovered stands in nobody's way", async () => {
    const declared = { uncovered: ["public.keyless", "public.ind*", "public.quick"], withoutLargeObjects: true };
    const pair = { ...test.pair, settings: { ...test.pair.settings, ...declared } };
    for (const id of ["no-key", "unlogged", "large-objects", "not-empty"]) assert.equal(await lines(pair, id), "", id);
  });

  it("names rights that are missing, and how to give them", async () => {
    const { pair } = test;
    for (const url of [test.source.url, test.replica.url])
      await ask(url, "CREATE ROLE poor LOGIN PASSWORD 'poor-password'");
    const poor = { user: "poor", password: "poor-password" };
    const found = await lines(
      {
        ...pair,
        ...{
          source: { ...pair.source, ...poor },
          replica: { ...pair.replica, ...poor },
          route: { ...pair.route, ...poor },
        },
      },
      "rights",
    );
    for (const pattern of [
      /role poor may not make a replication slot.*ALTER ROLE "poor" REPLICATION/,
      /role poor may not subscribe.*GRANT pg_create_subscription TO "poor"/,
      /may not create anything in the source's database/,
      /may not publish public\.keyless: it belongs to postgres; GRANT "postgres" TO "poor"/,
      /REPLICATION_SOURCE_URL: .*role poor may not replicate/,
    ])
      assert.match(found, pattern);
  });

  it("names settings without room for the workers of a copy", async () => {
    await ask(test.replica.url, "ALTER SYSTEM SET max_sync_workers_per_subscription = 40");
    await ask(test.replica.url, "SELECT pg_reload_conf()");
    try {
      const found = await until(async () => (await lines(test.pair, "room")) || undefined, { seconds: 30 });
      for (const setting of [
        ...["max_replication_slots of the source", "max_wal_senders of the source"],
        ...["max_replication_slots of the replica", "max_logical_replication_workers of the replica"],
      ])
        assert.match(found ?? "", new RegExp(`${setting} leaves \\d+, needed are 41; raise`));
    } finally {
      await ask(test.replica.url, "ALTER SYSTEM RESET max_sync_workers_per_subscription");
      await ask(test.replica.url, "SELECT pg_reload_conf()");
    }
  });

  it("names a log level that is too low, one server for both, one database for both, a pooler", async () => {
    const { pair } = test;
    const other = parseTarget(await freshDatabase("replica"), "DATABASE_URL");
    const low = { ...pair, source: other, route: other };
    assert.match(await lines(low, "wal-level"), /^halt: wal_level of the source is replica; set wal_level = logical/);
    assert.match(await lines({ ...low, replica: { ...other, database: "postgres" } }, "same-server"), /on one server/);
    await assert.rejects(planSetup({ ...pair, replica: pair.source }, false), /found the database of DATABASE_URL/);
    const pooler = await startPooler();
    try {
      const route = { ...pair.route, port: pooler.port, sslMode: "disable" as const };
      assert.match(await lines({ ...pair, route }, "pooler"), /^halt: .*is a pooler.*use the direct host/);
    } finally {
      await pooler.close();
    }
  });
});

/** Answers every connection as PgBouncer answers one for replication. */
async function startPooler(): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => {
      const fields = Buffer.from("SFATAL\0C08P01\0Munsupported startup parameter: replication\0\0");
      const head = Buffer.from([0x45, 0, 0, 0, fields.length + 4]);
      socket.end(Buffer.concat([head, fields]));
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((done) => server.close(() => done())),
  };
}
