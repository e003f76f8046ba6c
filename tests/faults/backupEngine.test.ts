/**
 * Faults between the backup engine and PostgreSQL, at bytes that a seed chooses: whatever happens there is no manifest
 * without a full backup behind it, earlier backups are as they were, and no session, lock or process stays.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { type BackupOptions, type FinishedBackup, createBackup } from "../../scripts/backup/createBackup";
import { demandLockBudget } from "../../scripts/backup/source";
import { listBackups } from "../../scripts/backup/manifest";
import { Failure } from "../../scripts/contract/failure";
import { databaseFailure } from "../../scripts/database/databaseFailure";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import { startCluster } from "../../scripts/scratch/cluster";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import type { Depth } from "../../scripts/verification/verificationResult";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { isCampaign, randomNumbers, seeds } from "../servers/campaign";
import { runCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { type ProxyFault, startPostgresProxy } from "../servers/postgresProxy";

/** How many of each a campaign runs. A stall costs seconds of silence. */
const faults: readonly { readonly fault: ProxyFault; readonly cases: number }[] = [
  { fault: "reset", cases: 100 },
  { fault: "terminate", cases: 100 },
  { fault: "stall", cases: 40 },
];

/** Seconds of silence after which a connection counts as stalled, where one is. */
const stallSeconds = "2";

/** PostgreSQL's client programs that are children of this process. */
function ourPrograms(): { readonly pid: number; readonly name: string }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const [, name = "", state, parent] = /^\d+ \((.*)\) (\S) (\d+)/s.exec(stat) ?? [];
        return /^(pg_dump|pg_dumpall|psql)$/.test(name) && state !== "Z" && Number(parent) === process.pid
          ? [{ pid: Number(pid), name }]
          : [];
      } catch {
        return []; // ended meanwhile
      }
    });
}

describe("the backup engine under faults", function () {
  this.timeout(isCampaign ? 1_800_000 : 120_000);
  let client: Client;
  let target: DatabaseTarget;
  let store: Store;
  let first: FinishedBackup;
  /** Bytes that the server sends during a whole backup. */
  let wholeBytes: number;
  /** What one backup costs is small: several tables still get archives of their own. */
  const options = { tier: "manual", runId: "faults", jobs: 2, pieceBytes: 131_072 } as const;

  before(async () => {
    const crm = await freshCrm(3_000);
    client = crm.client;
    target = { ...parseTarget(crm.url, "test"), sslMode: "disable" };
    store = openStore(freshStore());
    const proxy = await throughProxy("reset", Infinity);
    first = await createBackup({ ...options, target: proxy.target, store });
    wholeBytes = proxy.bytes();
    await proxy.close();
    assert.ok(wholeBytes > 1_000_000, `only ${wholeBytes} bytes: faults would hit little else than the start`);
    assert.ok(first.manifest.archives.some(({ format }) => format === "copy"));
  });

  after(closeCrmClients);
  afterEach(() => delete process.env["DBPROTECT_STALL_SECONDS"]);

  async function throughProxy(fault: ProxyFault, afterBytes: number) {
    const proxy = await startPostgresProxy({
      to: target,
      fault,
      afterBytes,
      terminate: async (port) =>
        void (await client.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port = $1", [
          port,
        ])),
    });
    return { ...proxy, target: { ...target, host: "127.0.0.1", port: proxy.port } };
  }

  /** Runs a backup that something happens to; returns what it ended with. */
  async function attempt(more: Partial<BackupOptions>): Promise<FinishedBackup | { readonly failure: unknown }> {
    return createBackup({ ...options, target, store, ...more }).catch((failure: unknown) => ({ failure }));
  }

  /** What must hold after every run, however it ended. */
  async function demandOrder(outcome: FinishedBackup | { readonly failure: unknown }, before: number): Promise<void> {
    const after = await listBackups(store);
    if ("failure" in outcome) {
      // As the command line would judge it.
      const { failure } = outcome;
      const judged = failure instanceof Failure ? failure : databaseFailure(failure);
      assert.equal(judged?.exitCode, 3, String((failure as Error).stack));
      assert.equal(after.length, before, "a backup that failed has a manifest");
    } else {
      assert.equal(after.length, before + 1);
      await verify(outcome, 3);
    }
    await nothingLeft();
  }

  async function verify(backup: FinishedBackup, depth: Depth): Promise<void> {
    await verifyBackup({ store, backup: backup.reference, depth, runId: "faults" });
  }

  /** A program that was told to end, and a session whose connection went, are gone a moment later. */
  async function nothingLeft(): Promise<void> {
    for (const end = Date.now() + 30_000; ; await sleep(20)) {
      const { rows } = await client.query<{ left: string }>(
        `SELECT concat_ws(' ', a.application_name, a.state, left(a.query, 60)) AS left FROM pg_stat_activity a
          WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
         UNION ALL SELECT 'advisory lock' FROM pg_locks l JOIN pg_database d ON d.oid = l.database
          WHERE l.locktype = 'advisory' AND d.datname = current_database()
         UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()`,
      );
      const left = [...rows.map((row) => row.left), ...ourPrograms().map(({ name }) => name)];
      if (left.length === 0) return;
      assert.ok(Date.now() < end, left.join("; "));
    }
  }

  for (const [kind, { fault, cases }] of faults.entries()) {
    for (const seed of seeds(cases)) {
      it(`${fault}: seed ${seed}`, async () => {
        if (fault === "stall") process.env["DBPROTECT_STALL_SECONDS"] = stallSeconds;
        const before = (await listBackups(store)).length;
        const place = Math.floor(randomNumbers(seed * faults.length + kind)() * wholeBytes);
        const proxy = await throughProxy(fault, place);
        try {
          const outcome = await attempt({ target: proxy.target });
          // A program that stays silent because the machine is busy counts as stalled: that must end in order too.
          if ("failure" in outcome && fault !== "stall") assert.ok(proxy.struck(), String(outcome.failure));
          // As the network would at last: a session that we gave up ends with its connection.
          await proxy.close();
          await demandOrder(outcome, before);
        } finally {
          await proxy.close();
        }
      });
    }
  }

  for (const [program, signal] of [
    ["pg_dump", "SIGKILL"],
    ["pg_dump", "SIGTERM"],
    ["psql", "SIGKILL"],
  ] as const) {
    it(`${signal} for ${program}`, async () => {
      const before = (await listBackups(store)).length;
      const killed = new Set<number>();
      // Every one that is seen: the first may be ending just now.
      const hunt = setInterval(() => {
        for (const { pid } of ourPrograms().filter(({ name }) => name === program)) {
          if (killed.has(pid)) continue;
          killed.add(pid);
          process.kill(pid, signal);
        }
      }, 1);
      const outcome = await attempt({});
      clearInterval(hunt);
      assert.ok(killed.size > 0, `${program} was never seen`);
      assert.ok("failure" in outcome, "killed, and yet a backup");
      await demandOrder(outcome, before);
    });
  }

  it("earlier backups are as they were, and the next one is verified", async () => {
    await verify(first, 4);
    const next = await createBackup({ ...options, target, store });
    await verify(next, 4);
  });
});

describe("the lock budget", function () {
  this.timeout(isCampaign ? 600_000 : 60_000);
  const tables = isCampaign ? 20_000 : 150;

  /** A server with just so many locks, and its tables. */
  async function withTables(locks: number, work: (url: string, client: Client) => Promise<void>): Promise<void> {
    const small = {
      max_connections: "20",
      max_worker_processes: "0",
      max_wal_senders: "0",
      autovacuum_max_workers: "1",
    };
    const cluster = await startCluster({
      listen: "loopback",
      lifetime: { kind: "parent" },
      purpose: "test",
      settings: { ...small, max_locks_per_transaction: String(locks) },
    });
    const client = new Client({ connectionString: cluster.url });
    try {
      await client.connect();
      const psql = spawnSync(join(cluster.binDir, "psql"), ["-X", "-q", "-v", "ON_ERROR_STOP=1", cluster.url], {
        // Statement by statement: one transaction would need all the locks at once.
        input: `SELECT format('CREATE TABLE t%s (id int)', n) FROM generate_series(1, ${tables}) n \\gexec\n`,
      });
      assert.equal(psql.status, 0, String(psql.stderr));
      await work(cluster.url, client);
    } finally {
      await client.end().catch(() => undefined);
      await cluster.stop();
    }
  }

  it(`${tables} tables on a server that has no room for them: exit 2 before anything is locked, and the number`, async () => {
    let needed = 0;
    await withTables(10, async (url, client) => {
      const run = await runCli(["db:backup", "--depth", "1"], { DATABASE_URL: url, BACKUP_STORE: freshStore() });
      assert.equal(run.code, 2, run.stderr);
      needed = Number(
        /max_locks_per_transaction: found 10, expected at least (\d+) for \d+ tables/.exec(run.stderr)?.[1],
      );
      assert.ok(needed > 10, run.stderr);
      await assert.rejects(demandLockBudget(client), /max_locks_per_transaction/);
    });
    // With the number that it names, and no lock more, there is room.
    await withTables(needed, async (url) => {
      const run = await runCli(["db:backup", "--depth", "3", "--json"], {
        DATABASE_URL: url,
        BACKUP_STORE: freshStore(),
      });
      assert.equal(run.code, 0, run.stderr);
      assert.equal((JSON.parse(run.stdout) as { verification: { tables: number } }).verification.tables, tables);
    });
  });
});
