/**
 * Release steps: only what the gate's receipt admits, once per version, never past a loss. And the verification
 * after them, with freeze and unfreeze.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "pg";
import { resolveBackup } from "../../scripts/backup/manifest";
import { readFreeze } from "../../scripts/control/freeze";
import { readLease } from "../../scripts/control/lease";
import { readReceipt, readTrustedReceipt } from "../../scripts/record/receipt";
import { listOpenReceipts, readEvents, recordEvent } from "../../scripts/record/releaseEvents";
import { closeScratch, isScratchAlive } from "../../scripts/scratch/scratchServer";
import { verifyReceipt } from "../../scripts/verification/verifyReceipt";
import { serveLoopback } from "../../scripts/rehearsal/loopbackServer";
import type { ReportDocument } from "../../scripts/report/html/document";
import { parseTarget } from "../../scripts/database/target";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { type CliRun, type RunningCli, runCli, startCli } from "../servers/cli";
import { closeCrmClients, deploymentVariables, freshCrm, freshStore } from "../servers/crm";
import { overwrite } from "../servers/damageFile";

interface Release {
  readonly client: Client;
  readonly store: Store;
  readonly url: string;
  /** Runs a command as a stack's Command would. */
  run(words: string[], more?: Record<string, string>): Promise<CliRun>;
  start(words: string[]): RunningCli;
  /** Runs the full gate and returns the run id of its receipt. */
  gate(more?: Record<string, string>): Promise<string>;
  /** How often Railway's stand-in was asked to deploy. */
  deploys(): number;
  /** What Railway's stand-in does from now on. */
  railway(script: string): void;
}

describe("a release", function () {
  this.timeout(120_000);
  after(closeCrmClients);

  async function prepare(): Promise<Release> {
    const { url, client } = await freshCrm(300);
    const folder = mkdtempSync(join(tmpdir(), "dbprotect-release-"));
    const [script, counter] = [join(folder, "railway.sh"), join(folder, "deploys")];
    const storeUrl = freshStore();
    const railway = (text: string): void => writeFileSync(script, `echo x >> ${counter}\n${text}\n`);
    railway("echo deployed");
    const settings = {
      railway: { command: `sh ${script}`, timeoutSeconds: 5 },
      tables: { "public.chat_messages": { deletes: "<=1" } },
      health: { deadlineSeconds: 2 },
      // A script deploys here, not Railway.
      rollback: { target: "optional" },
    };
    const env = {
      DATABASE_URL: url,
      BACKUP_STORE: storeUrl,
      DBPROTECT_RELEASE_VERSION: "v1",
      DBPROTECT_STACK: "crm/test",
      DBPROTECT_SETTINGS: JSON.stringify(settings),
      ...deploymentVariables,
    };
    const run = (words: string[], more: Record<string, string> = {}): Promise<CliRun> =>
      runCli(words, { ...env, ...more }, folder);
    return {
      client,
      url,
      store: openStore(storeUrl),
      run,
      start: (words) => startCli(words, env, folder),
      gate: async (more) => {
        const gate = await run(["gate", "run", "--json"], more);
        assert.equal(gate.code, 0, gate.stderr);
        return (JSON.parse(gate.stdout) as { runId: string }).runId;
      },
      deploys: () => (existsSync(counter) ? readFileSync(counter, "utf8").trim().split("\n").length : 0),
      railway,
    };
  }

  function refused(run: CliRun, why: RegExp): void {
    assert.equal(run.code, 1, run.stderr);
    assert.match(run.stderr, why);
  }

  it("is admitted only by a passed gate, for its version and its database", async () => {
    const release = await prepare();
    refused(await release.run(["release", "railway"]), /no gate has passed/);
    await release.gate();
    refused(
      await release.run(["release", "railway"], { DBPROTECT_RELEASE_VERSION: "v2" }),
      /for version "v1", not "v2"/,
    );
    const other = await freshCrm(10);
    refused(await release.run(["release", "railway"], { DATABASE_URL: other.url }), /the receipt .* guards/);
    assert.equal((await release.run(["release", "vercel"])).code, 2, "vercel is not configured");
    assert.equal(release.deploys(), 0);
    assert.equal((await release.run(["db:verify:post-deploy"])).code, 0);
  });

  it("deploys once per version, also when the Command runs again; another version deploys again", async () => {
    const release = await prepare();
    const runId = await release.gate();
    const { scratch } = await readReceipt(release.store, runId);
    assert.equal((await release.run(["release", "railway"])).code, 0);
    assert.match((await release.run(["release", "railway"])).stdout, /already live/);
    assert.equal(release.deploys(), 1);
    assert.deepEqual(await listOpenReceipts(release.store), [runId]);
    assert.equal((await release.run(["db:verify:post-deploy"])).code, 0);
    assert.deepEqual(await listOpenReceipts(release.store), []);
    assert.equal((await readLease(release.store))?.phase, "released");
    assert.equal(await isScratchAlive(scratch!), false, "the copy must be spent with its receipt");
    const again = await release.run(["gate", "run", "--print", "receipt"]);
    assert.equal(again.stdout.trim(), "unchanged", again.stderr);
    assert.match((await release.run(["release", "railway"])).stdout, /already live/);
    await release.gate({ DBPROTECT_RELEASE_VERSION: "v2" });
    assert.equal((await release.run(["release", "railway"], { DBPROTECT_RELEASE_VERSION: "v2" })).code, 0);
    assert.equal((await release.run(["db:verify:post-deploy"], { DBPROTECT_RELEASE_VERSION: "v2" })).code, 0);
    // Back to v1 is a release like any other: v2 is live now.
    await release.gate();
    assert.equal((await release.run(["release", "railway"])).code, 0);
    assert.equal(release.deploys(), 3);
    assert.equal((await release.run(["db:verify:post-deploy"])).code, 0);
  });

  it("tells the team when it starts and how it ended; the checklists know", async () => {
    const release = await prepare();
    const told: string[] = [];
    const webhook = await serveLoopback(async ({ body }) => {
      told.push((JSON.parse(body) as { event: string }).event);
      return { status: 200, body: {} };
    });
    const env = { NOTIFY_WEBHOOK_URL: `${webhook.url}/hook` };
    try {
      await release.gate(env);
      assert.match((await release.run(["checklist", "pre"])).stdout, /\[x\] Notify team of deployment/);
      release.railway("exit 7");
      const failed = await release.run(["release", "railway"], env);
      assert.match(failed.stderr, /hint: .*status\.railway\.com/);
      release.railway("echo deployed");
      await release.gate(env);
      assert.equal((await release.run(["release", "railway"], env)).code, 0);
      await release.client.query("DELETE FROM clients WHERE id IN (SELECT id FROM clients LIMIT 1)");
      const verified = await release.run(["db:verify:post-deploy"], env);
      assert.equal(verified.code, 1);
      const file = /report: (\S+\.html)/.exec(verified.stderr)?.[1];
      assert.match(readFileSync(file ?? "", "utf8"), /Damage found/);
      assert.deepEqual(told, [
        ...["release-started", "release-failed", "release-started"],
        ...["incident-opened", "frozen", "release-failed"],
      ]);
      assert.match((await release.run(["checklist", "success"])).stdout, /\[!\] All data is preserved/);
      const report = await release.run(["deploy:report", "--json"]);
      const rows = (JSON.parse(report.stdout) as ReportDocument).tables.flatMap((table) => table.rows);
      assert.deepEqual(rows.find(([name]) => name === "public.clients")?.[3], { text: "1", tone: "bad" });
    } finally {
      await webhook.close();
    }
  });

  it("that fails without a loss says so, and the next gate is a full one although the version is the same", async () => {
    const release = await prepare();
    const runId = await release.gate();
    release.railway("exit 7");
    refused(await release.run(["release", "railway"]), /railway failed: .*7.*no row is lost/);
    assert.equal(await readFreeze(release.store), undefined);
    // Still open: a deploy that was said to have failed may yet become live.
    assert.deepEqual(await listOpenReceipts(release.store), [runId]);
    assert.deepEqual(
      (await readEvents(release.store, runId)).map(({ event }) => event),
      ["gate-passed", "railway-started", "railway-failed"],
    );
    release.railway("echo deployed");
    const next = await release.gate();
    assert.notEqual(next, runId);
    assert.equal((await release.run(["release", "railway"])).code, 0);
    assert.equal((await release.run(["db:verify:post-deploy"])).code, 0);
  });

  it("that hangs is ended at its timeout, and nothing of it goes on", async () => {
    const release = await prepare();
    await release.gate();
    const marker = join(mkdtempSync(join(tmpdir(), "dbprotect-hang-")), "went-on");
    release.railway(`sleep 8; touch ${marker}`);
    refused(await release.run(["release", "railway"]), /took longer than 5 s/);
    await new Promise((done) => setTimeout(done, 4_000));
    assert.equal(existsSync(marker), false, "the deploy went on after it was said to have failed");
  });

  it("runs one step at a time: a second one, and another stack's gate, are refused (3)", async () => {
    const release = await prepare();
    await release.gate();
    const folder = mkdtempSync(join(tmpdir(), "dbprotect-two-"));
    const [started, goOn] = [join(folder, "started"), join(folder, "go-on")];
    release.railway(`touch ${started}; while [ ! -e ${goOn} ]; do sleep 0.05; done`);
    const first = release.run(["release", "railway"]);
    while (!existsSync(started)) await Promise.race([first, new Promise((done) => setTimeout(done, 10))]);
    const second = await release.run(["release", "railway"]);
    assert.equal(second.code, 3, second.stderr);
    assert.match(second.stderr, /a release step is running already: railway, \S+ \(process \d+ on /);
    const other = await release.run(["gate", "run"], { DBPROTECT_STACK: "crm/other" });
    assert.equal(other.code, 3, other.stderr);
    writeFileSync(goOn, "");
    assert.equal((await first).code, 0);
    assert.match((await release.run(["release", "railway"])).stdout, /already live/);
    assert.equal(release.deploys(), 1);
    assert.equal((await release.run(["db:verify:post-deploy"])).code, 0);
  });

  it("killed with -9, or ended by Ctrl-C, at a step or its verification, it is taken up again by the next run", async () => {
    const release = await prepare();
    const folder = mkdtempSync(join(tmpdir(), "dbprotect-killed-"));
    const started = join(folder, "started");
    const runId = await release.gate();

    release.railway(`touch ${started}; sleep 20`);
    for (const [signal, code] of [
      ["SIGKILL", null],
      ["SIGINT", 130],
    ] as const) {
      const run = release.start(["release", "railway"]);
      while (!existsSync(started)) await Promise.race([run.ended, new Promise((done) => setTimeout(done, 10))]);
      run.process.kill(signal);
      assert.equal((await run.ended).code, code, signal);
      rmSync(started);
      // Interrupted it gave the lease back: the next up begins with the gate.
      if (signal === "SIGINT") assert.equal((await readLease(release.store))?.phase, "released");
    }
    const next = await release.gate();
    assert.notEqual(next, runId);
    release.railway("echo deployed");
    assert.equal((await release.run(["release", "railway"])).code, 0);

    const verification = release.start(["db:verify:post-deploy"]);
    verification.process.stderr?.once("data", () => verification.process.kill("SIGKILL"));
    await verification.ended;
    const ended = await release.run(["db:verify:post-deploy"]);
    assert.equal(ended.code, 0, ended.stderr);
    assert.deepEqual(await listOpenReceipts(release.store), []);
    assert.equal((await readLease(release.store))?.phase, "released");
  });

  it("killed with -9 in the middle of its migrations, or of Vercel's step, it is taken up again by the next run", async () => {
    const release = await prepare();
    const folder = mkdtempSync(join(tmpdir(), "dbprotect-killed-"));
    const [script, started] = [join(folder, "vercel.sh"), join(folder, "started")];
    const migrations = mkdtempSync(join(tmpdir(), "dbprotect-migrations-"));
    writeFileSync(
      join(migrations, "20260101000000_extra.sql"),
      "CREATE TABLE notes (id int PRIMARY KEY);\nALTER TABLE tasks ADD COLUMN extra int;\n",
    );
    const settings = {
      ...{ migrations: { path: migrations }, vercel: { command: `sh ${script}` } },
      rollback: { target: "optional" },
    };
    const runId = await release.gate({ DBPROTECT_SETTINGS: JSON.stringify(settings) });
    const waiting = async (): Promise<boolean> => {
      const { rows } = await release.client.query(
        "SELECT FROM pg_locks WHERE relation = 'tasks'::regclass AND NOT granted",
      );
      return rows.length > 0;
    };

    await release.client.query("BEGIN; LOCK TABLE tasks IN ACCESS SHARE MODE");
    const migrating = release.start(["release", "migrations"]);
    while (!(await waiting())) await Promise.race([migrating.ended, new Promise((done) => setTimeout(done, 10))]);
    migrating.process.kill("SIGKILL");
    assert.equal((await migrating.ended).code, null);
    await release.client.query("ROLLBACK");
    const applied = await release.run(["release", "migrations"]);
    assert.match(applied.stdout, /applied 20260101000000_extra\.sql/, applied.stderr);
    assert.match((await release.run(["release", "migrations"])).stdout, /already live/);

    writeFileSync(script, `touch ${started}; exec sleep 20`);
    const deploying = release.start(["release", "vercel"]);
    while (!existsSync(started)) await Promise.race([deploying.ended, new Promise((done) => setTimeout(done, 10))]);
    deploying.process.kill("SIGKILL");
    assert.equal((await deploying.ended).code, null);
    writeFileSync(script, "echo deployed");
    const deployed = await release.run(["release", "vercel"]);
    assert.equal(deployed.code, 0, deployed.stderr);
    assert.deepEqual(
      (await readEvents(release.store, runId)).map(({ event }) => event),
      [
        ...["gate-passed", "migrations-started", "migrations-started", "migrations-live"],
        ...["vercel-started", "vercel-started", "vercel-live"],
      ],
    );
    assert.equal((await release.run(["db:verify:post-deploy"])).code, 0);
    const { rows } = await release.client.query(
      "SELECT to_regclass('notes') AS notes, count(extra)::int AS extra FROM tasks",
    );
    assert.deepEqual(rows, [{ notes: "notes", extra: 0 }]);
  });

  it("that loses rows freezes: named, frozen for every gate and step, lifted only by repair or acceptance", async () => {
    const release = await prepare();
    await release.gate();
    assert.equal((await release.run(["release", "railway"])).code, 0);
    const { rows } = await release.client.query("DELETE FROM tasks WHERE id IN (5, 6) RETURNING id, client_id, title");
    const gateBackup = (await resolveBackup(release.store, "latest")).name;
    assert.equal((await release.run(["db:backup", "--depth", "1"])).code, 0);
    assert.notEqual((await resolveBackup(release.store, "latest")).name, gateBackup);
    const verification = await release.run(["db:verify:post-deploy", "--json"]);
    assert.equal(verification.code, 1);
    assert.match(verification.stderr, /public\.tasks: 2 row\(s\).*"id" : "5".*"id" : "6"/);
    const file = (JSON.parse(verification.stdout) as { data: { missingKeysFile: string } }).data.missingKeysFile;
    assert.equal(readFileSync(file, "utf8").trim().split("\n").length, 2);
    // A backup taken before the verification noticed is marked, and no longer what "latest" means.
    assert.match((await release.run(["db:restore", "latest", "--yes"])).stdout, new RegExp(`restored: ${gateBackup}`));
    refused(await release.run(["gate", "run"], { DBPROTECT_RELEASE_VERSION: "v2" }), /frozen/);
    refused(await release.run(["release", "railway"], { DBPROTECT_RELEASE_VERSION: "v2" }), /frozen/);
    const unfreeze = ["deploy:unfreeze", "--person", "Ada", "--reason", "rows are back", "--yes"];
    refused(await release.run(unfreeze), /freeze stays.*public\.tasks/);
    assert.equal((await readFreeze(release.store))?.kind, "failed-verification");
    for (const row of rows as { id: string; client_id: string; title: string }[]) {
      await release.client.query("INSERT INTO tasks VALUES ($1, $2, $3)", [row.id, row.client_id, row.title]);
    }
    const lifted = await release.run(unfreeze);
    assert.equal(lifted.code, 0, lifted.stderr);
    assert.deepEqual([await readFreeze(release.store), await listOpenReceipts(release.store)], [undefined, []]);
  });

  it("that fails, and loses rows only afterwards, is found by the next gate", async () => {
    const release = await prepare();
    await release.gate();
    release.railway("exit 7");
    refused(await release.run(["release", "railway"]), /no row is lost/);
    await release.client.query("DELETE FROM tasks WHERE id = 3");
    refused(
      await release.run(["gate", "run"], { DBPROTECT_RELEASE_VERSION: "v2" }),
      /lost data: public\.tasks.*"id" : "3"/,
    );
  });

  it("of resources that tell nobody is guarded from the moment the gate passed", async () => {
    const release = await prepare();
    await release.gate();
    await release.client.query("DELETE FROM tasks WHERE id = 3");
    refused(await release.run(["gate", "run"], { DBPROTECT_RELEASE_VERSION: "v2" }), /lost data: public\.tasks/);
  });

  it("that goes on while it is verified is not called verified", async () => {
    const release = await prepare();
    const runId = await release.gate();
    const { receipt, receiptSha256 } = await readTrustedReceipt(release.store, runId);
    const live = parseTarget(release.url, "DATABASE_URL");
    const identity = { runId, releaseVersion: "v1", stack: receipt.stack, receiptSha256 };
    // The comparison's first line of progress would be too late: the event comes while the tables are read.
    const verification = verifyReceipt({ store: release.store, receipt, receiptSha256, live });
    await recordEvent(release.store, identity, "railway-live", "meanwhile");
    await assert.rejects(verification, /went on while it was compared/);
    assert.deepEqual(await listOpenReceipts(release.store), [runId]);
  });

  it("applies only the migrations that the gate judged", async () => {
    const release = await prepare();
    const folder = mkdtempSync(join(tmpdir(), "dbprotect-judged-"));
    const file = join(folder, "20260101000000_notes.sql");
    writeFileSync(file, "CREATE TABLE notes (id int PRIMARY KEY);\n");
    const settings = { DBPROTECT_SETTINGS: JSON.stringify({ migrations: { path: folder } }) };
    await release.gate(settings);
    writeFileSync(file, "CREATE TABLE notes (id int PRIMARY KEY);\nDELETE FROM tasks;\n");
    refused(
      await release.run(["release", "migrations"]),
      /20260101000000_notes\.sql was changed after the gate judged it/,
    );
    writeFileSync(file, "CREATE TABLE notes (id int PRIMARY KEY);\n");
    writeFileSync(join(folder, "20260102000000_drop.sql"), "DROP TABLE tasks;\n");
    refused(await release.run(["release", "migrations"], settings), /no gate has passed|was added after the gate/);
    refused(await release.run(["migrations:apply", "--yes"]), /no gate has passed/);
    const { rows } = await release.client.query("SELECT to_regclass('notes') AS notes, to_regclass('tasks') AS tasks");
    assert.deepEqual(rows, [{ notes: null, tasks: "tasks" }]);
  });

  it("applies them by hand, after asking, and only what the receipt names", async () => {
    const release = await prepare();
    const folder = mkdtempSync(join(tmpdir(), "dbprotect-by-hand-"));
    const [file, other] = [join(folder, "20260101000000_notes.sql"), join(folder, "20260102000000_more.sql")];
    writeFileSync(file, "CREATE TABLE notes (id int PRIMARY KEY);\n");
    await release.gate({ DBPROTECT_SETTINGS: JSON.stringify({ migrations: { path: folder } }) });
    const unasked = await release.run(["migrations:apply"]);
    assert.equal(unasked.code, 2);
    assert.match(unasked.stderr, /applies 1 file\(s\) to .*\n {2}20260101000000_notes\.sql {2}[0-9a-f]{64}\n/);
    writeFileSync(other, "CREATE TABLE more (id int);\n");
    refused(await release.run(["migrations:apply", "--yes"]), /20260102000000_more\.sql was added after the gate/);
    rmSync(other);
    const applied = await release.run(["migrations:apply", "--yes", "--json"]);
    assert.deepEqual([applied.code, JSON.parse(applied.stdout).outcome], [0, "live"], applied.stderr);
    const { rows } = await release.client.query("SELECT to_regclass('notes') AS notes");
    assert.deepEqual(rows, [{ notes: "notes" }]);
  });

  it("of another stack is its own: live there says nothing here", async () => {
    const release = await prepare();
    await release.gate();
    assert.equal((await release.run(["release", "railway"])).code, 0);
    const other = { DBPROTECT_STACK: "crm/other" };
    refused(await release.run(["release", "railway"], other), /is of crm\/test, not of crm\/other/);
    assert.equal((await release.run(["db:verify:post-deploy"])).code, 0);
    await release.gate(other);
    assert.equal((await release.run(["release", "railway"], other)).code, 0);
    assert.equal(release.deploys(), 2);
    assert.equal((await release.run(["db:verify:post-deploy"], other)).code, 0);
  });

  it("whose receipt was altered to allow deletes is not judged by it (4)", async () => {
    const release = await prepare();
    const runId = await release.gate();
    const file = join(new URL(release.store.url).pathname, "receipts", `${runId}.json`);
    overwrite(
      file,
      readFileSync(file, "utf8").replace(
        '"tables": {',
        '"tables": { "public.tasks": { "deletes": "any", "updates": "any" },',
      ),
    );
    await release.client.query("DELETE FROM tasks");
    for (const words of [["db:verify:post-deploy"], ["gate", "run"]]) {
      const run = await release.run(words, { DBPROTECT_RELEASE_VERSION: "v2" });
      assert.equal(run.code, 4, run.stderr);
    }
  });

  it("whose loss is accepted goes on, with the person and the rows on record", async () => {
    const release = await prepare();
    const runId = await release.gate();
    release.railway("exit 1");
    await release.client.query("DELETE FROM chat_messages WHERE client_id = 1 AND number = 1");
    await release.client.query("DELETE FROM tasks WHERE id = 9");
    refused(await release.run(["release", "railway"]), /data was lost: public\.tasks: 1 row/);
    const accept = [
      "deploy:unfreeze",
      "--person",
      "Ada",
      "--reason",
      "test data, not needed",
      "--accept-missing",
      "--yes",
    ];
    // More went missing since: that has to be named before anybody can accept it.
    await release.client.query("DELETE FROM tasks WHERE id = 10");
    refused(await release.run(accept), /more rows are missing than the freeze named[\s\S]*"id" : "10"/);
    await release.client.query("INSERT INTO tasks SELECT 10, min(client_id), 'back' FROM tasks");
    assert.equal((await release.run(accept)).code, 0);
    const accepted = (await readEvents(release.store, runId)).at(-1)!;
    assert.deepEqual([accepted.event, accepted.person], ["accepted", "Ada"]);
    assert.match(accepted.detail, /"id" : "9"/);
    release.railway("echo deployed");
    await release.gate();
    assert.equal((await release.run(["release", "railway"])).code, 0);
    assert.equal((await release.run(["db:verify:post-deploy"])).code, 0);
  });

  it("is verified even when the scratch server is gone: the backup is restored again to name the rows", async () => {
    const release = await prepare();
    const runId = await release.gate();
    await closeScratch((await readReceipt(release.store, runId)).scratch!);
    assert.equal((await release.run(["release", "railway"])).code, 0);
    await release.client.query("DELETE FROM tasks WHERE id = 1");
    const verification = await release.run(["db:verify:post-deploy"]);
    assert.equal(verification.code, 1, verification.stderr);
    assert.match(verification.stderr, /restoring backup_\d+_\d+ again/);
    assert.match(verification.stderr, /"id" : "1"/);
  });

  it("fails its verification when the application does not answer, without freezing: no row is lost", async () => {
    const release = await prepare();
    await release.gate();
    assert.equal((await release.run(["release", "railway"])).code, 0);
    const run = await release.run(["db:verify:post-deploy"], { APP_URL: "http://127.0.0.1:1" });
    refused(run, /127\.0\.0\.1:1\/api\/health/);
    assert.equal(await readFreeze(release.store), undefined);
    assert.deepEqual(await listOpenReceipts(release.store), []);
  });
});
