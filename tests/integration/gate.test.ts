/**
 * Each gate step halts for its own reason, with its own exit code; and, left out of the list, lets pass what it
 * alone would have caught: so no step is decoration.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Client } from "pg";
import { fileKey } from "../../scripts/backup/manifest";
import { setFreeze } from "../../scripts/control/freeze";
import { acquireLease, readLease } from "../../scripts/control/lease";
import { exitCode } from "../../scripts/contract/failure";
import { withConnection } from "../../scripts/database/connect";
import { readIdentity } from "../../scripts/database/identity";
import { parseTarget } from "../../scripts/database/target";
import type { GateContext, GateStep } from "../../scripts/gate/context";
import { type GateResult, fullSteps, readOnlySteps, runGate, runReadOnlyGate } from "../../scripts/gate/gate";
import { runSteps } from "../../scripts/gate/runSteps";
import { closeStarted } from "../../scripts/gate/scratch";
import { readReceipt } from "../../scripts/record/receipt";
import { startSupabaseFake } from "../../scripts/rehearsal/platforms/supabaseFake";
import { type ScratchPlace, closeScratch, isScratchAlive, scratchTarget } from "../../scripts/scratch/scratchServer";
import { type OperationSettingsInput, operationSettingsSchema } from "../../scripts/settings";
import { encodeDocument } from "../../scripts/store/documents";
import { verificationKey } from "../../scripts/store/layout";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { claimStore } from "../../scripts/store/storeIdentity";
import { readVerification } from "../../scripts/verification/readVerification";
import { runCli } from "../servers/cli";
import { damageFile } from "../servers/damageFile";
import { closeCrmClients, deploymentVariables, freshCrm, freshStore } from "../servers/crm";

interface Scene {
  readonly context: GateContext;
  readonly client: Client;
  readonly store: Store;
  readonly storeUrl: string;
  readonly url: string;
}

/** Five variables in a dotenv file, so that a scene can change one without touching this process. */
function dotenvFile(
  changes: Record<string, string> = {},
  file = join(mkdtempSync(join(tmpdir(), "dbprotect-env-")), ".env"),
): string {
  const { BACKUP_PASSPHRASE: _, ...variables } = { ...deploymentVariables, ...changes };
  writeFileSync(
    file,
    Object.entries(variables)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
  );
  return file;
}

let runs = 0;

async function scene(settings: OperationSettingsInput = {}, clients = 300): Promise<Scene> {
  const { url, client } = await freshCrm(clients);
  const storeUrl = freshStore();
  const store = openStore(storeUrl);
  const context: GateContext = {
    settings: operationSettingsSchema.parse({
      environment: { sources: [{ kind: "dotenv", path: dotenvFile() }] },
      ...settings,
    }),
    target: parseTarget(url, "DATABASE_URL"),
    store,
    runId: `20260101T000000Z-gate${++runs}`,
    releaseVersion: "v1",
    stack: "project/test",
    addresses: { appUrl: undefined, frontendUrl: undefined },
    takeOver: true,
    waitSeconds: 0,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  };
  return { context, client, store, storeUrl, url };
}

/** The same gate without one step, as if somebody had taken it out of the list. */
async function without(step: string, context: GateContext): Promise<{ verdict: string }> {
  const left: GateStep[] = fullSteps.filter(({ name }) => name !== step);
  assert.equal(left.length, fullSteps.length - 1);
  await claimStore(context.store!, await identityOf(context));
  const result = await runSteps(context, left);
  await closeStarted(result.state);
  return result;
}

async function identityOf({ target }: GateContext): Promise<{ systemIdentifier: string; name: string }> {
  const { systemIdentifier, database } = await withConnection(target, (client) => readIdentity(client, target));
  return { systemIdentifier, name: database };
}

function demandHalt(result: GateResult, step: string, code: number, message: RegExp): void {
  assert.equal(result.verdict, "halt");
  assert.equal(result.steps.at(-1)?.step, step, JSON.stringify(result.steps, null, 1));
  assert.equal(result.exitCode, code, result.message ?? "");
  assert.match(result.message ?? "", message);
  assert.equal(result.receiptSha256, null);
}

describe("the gate", () => {
  before(() => Object.assign(process.env, { BACKUP_PASSPHRASE: deploymentVariables["BACKUP_PASSPHRASE"] }));
  after(async () => {
    delete process.env["BACKUP_PASSPHRASE"];
    await closeCrmClients();
  });

  it("passes: a receipt, named by the lease, with a living scratch copy", async function () {
    this.timeout(60_000);
    const { context, store } = await scene();
    const result = await runGate(context);
    assert.equal(result.verdict, "pass", result.message ?? "");
    assert.deepEqual(
      result.steps.map(({ step }) => step),
      fullSteps.map(({ name }) => name),
    );
    const lease = await readLease(store);
    assert.deepEqual([lease?.phase, lease?.receiptSha256], ["passed", result.receiptSha256]);
    const receipt = await readReceipt(store, result.runId, result.receiptSha256!);
    assert.equal(receipt.backup.depth, 4);
    assert.ok(await isScratchAlive(receipt.scratch!));
    assert.deepEqual([receipt.expectedRto?.restores, receipt.warnings], [1, []]);
    // Restores that took three hours are over the target of five minutes.
    const measured = await readVerification(store, receipt.backup.name, 4);
    for (const run of ["r1", "r2"])
      await store.create(
        verificationKey(receipt.backup.name, `20990101T000000Z-${run}`, 4),
        encodeDocument({ ...measured, restoreSeconds: 10_800 }),
      );
    // The next gate of the same stack takes the lease over, and ends the copy that nothing was released with.
    const next = await runGate({ ...context, runId: "20260101T000001Z-next", releaseVersion: "v2" });
    assert.equal(next.verdict, "pass", next.message ?? "");
    assert.ok(!(await isScratchAlive(receipt.scratch!)));
    const slow = await readReceipt(store, next.runId);
    assert.equal(slow.expectedRto?.restores, 4);
    assert.match(slow.warnings.join(), /the expected RTO, about \d+ min, is over the target of 5 min/);
    await closeScratch(slow.scratch!);
  });

  describe("halts at", () => {
    it("freeze (1)", async () => {
      const { context, store } = await scene();
      const freeze = { kind: "manual", runId: null, reason: "audit", person: "Ada", missingRows: {} } as const;
      await setFreeze(store, freeze);
      demandHalt(await runGate(context), "freeze", exitCode.refused, /frozen.*audit/);
      assert.equal((await without("freeze", context)).verdict, "pass");
    });

    it("platform (1): it is required and there is none; and with it, a restore point that the receipt names", async function () {
      this.timeout(60_000);
      const requirements = { backup: "require" } as const;
      const { context } = await scene({ platform: { requirements } });
      demandHalt(await runGate(context), "platform", exitCode.refused, /^platform: backup: archive_mode is off/);
      const fake = await startSupabaseFake();
      Object.assign(process.env, fake.environment);
      try {
        fake.state.pitr = true;
        fake.state.window = { earliest: new Date(0), latest: new Date() };
        const well = await scene({
          platform: { requirements, restorePoint: true },
          // The variables are of another project than the one that the fake stands for.
          environment: { sources: [{ kind: "dotenv", path: dotenvFile() }], content: "ignore" },
        });
        fake.state.restorePoint = { looks: 0, becomes: "FAILED" };
        const failing = await runGate({ ...well.context, runId: "20260101T000000Z-a" });
        demandHalt(failing, "restore-point", exitCode.refused, /dbp-20260101T000000Z: ended as FAILED/);
        fake.state.restorePoint = { looks: 0, becomes: "AVAILABLE" };
        const result = await runGate({ ...well.context, runId: "20260101T000001Z-b" });
        assert.equal(result.verdict, "pass", result.message ?? "");
        const receipt = await readReceipt(well.store, result.runId, result.receiptSha256!);
        assert.equal(receipt.restorePoint?.name, "dbp-20260101T000001Z");
        assert.ok(!JSON.stringify(receipt).includes(fake.token));
        await closeScratch(receipt.scratch!);
      } finally {
        for (const name of Object.keys(fake.environment)) delete process.env[name];
        await fake.close();
      }
    });

    it("lease (3): another run is gating; the read-only part only looks", async () => {
      const { context, store } = await scene();
      const other = await acquireLease(store, { stack: "project/other", runId: "other" });
      await assert.rejects(runGate(context), /held by/);
      const look = await runReadOnlyGate(context);
      demandHalt(look, "lease", exitCode.unreachable, /held by/);
      const left = readOnlySteps.filter(({ name }) => name !== "lease");
      assert.equal((await runSteps(context, left)).verdict, "pass");
      await other.release();
      assert.equal((await runReadOnlyGate(context)).verdict, "pass");
      assert.equal((await readLease(store))?.phase, "released");
    });

    it("connection (1): another time here than on the server, before a lease is taken; and at the receipt, set meanwhile", async () => {
      const { context, store } = await scene();
      const now = Date.now;
      const setBack = (): void => void (Date.now = () => now() - 3_700_000);
      try {
        setBack();
        await assert.rejects(runGate(context), { message: /^this machine's clock says .*, that of the database's / });
        assert.equal(await readLease(store), undefined);
        demandHalt(await runReadOnlyGate(context), "connection", exitCode.refused, /^this machine's clock says/);
        Date.now = now;
        const onProgress = (line: string): void => (line.endsWith("restored") ? setBack() : undefined);
        demandHalt(
          await runGate({ ...context, onProgress }),
          "receipt",
          exitCode.refused,
          /^this machine's clock says/,
        );
      } finally {
        Date.now = now;
      }
      assert.equal((await readLease(store))?.phase, "released");
    });

    it("open-receipts (1): an earlier release lost a row that nobody verified, and releases freeze", async function () {
      this.timeout(90_000);
      const { context, store, client } = await scene();
      assert.equal((await runGate(context)).verdict, "pass");
      const { runId } = context;
      await client.query("DELETE FROM chat_messages WHERE client_id = 3 AND number = 1");
      const next = { ...context, runId: `${context.runId}-next`, releaseVersion: "v2" };
      assert.match((await runReadOnlyGate(next)).steps.find(({ step }) => step === "open-receipts")!.summary, /1 open/);
      demandHalt(await runGate(next), "open-receipts", exitCode.refused, /lost data.*chat_messages.*"client_id" : "3"/);
      demandHalt(await runGate(next), "freeze", exitCode.refused, /frozen/);
      // Left out, the new fingerprint would have taken the loss for normal.
      const clean = openStore(freshStore());
      assert.equal((await without("open-receipts", { ...next, store: clean })).verdict, "pass");
      await closeScratch((await readReceipt(store, runId)).scratch!);
    });

    it("connection (2): a policy names a table that does not exist, unless a migration is about to make it", async () => {
      const tables = { "public.taks": { deletes: "any" as const } };
      const { context } = await scene({ tables });
      const message = /tables: found public\.taks, and the database has no such table: expected public\.tasks/;
      demandHalt(await runReadOnlyGate(context), "connection", exitCode.usage, message);
      const path = mkdtempSync(join(tmpdir(), "dbprotect-migrations-"));
      writeFileSync(join(path, "20260101000000_new.sql"), "CREATE TABLE taks (id int)");
      const settings = operationSettingsSchema.parse({ ...context.settings, migrations: { path } });
      assert.equal((await runReadOnlyGate({ ...context, settings })).verdict, "pass");
    });

    it("connection (1, 2): a right is missing; the store belongs to another database", async () => {
      const { context, client } = await scene();
      await client.query("DROP ROLE IF EXISTS gate_reader; CREATE ROLE gate_reader LOGIN PASSWORD 'gate-reader'");
      const target = { ...context.target, user: "gate_reader", password: "gate-reader" };
      demandHalt(
        await runReadOnlyGate({ ...context, target }),
        "connection",
        exitCode.refused,
        /cannot read every row/,
      );
      const foreign = openStore(freshStore());
      await claimStore(foreign, { systemIdentifier: "1", name: "other" });
      demandHalt(await runReadOnlyGate({ ...context, store: foreign }), "connection", exitCode.usage, /belongs to/);
      const left = readOnlySteps.filter(({ name }) => name !== "connection" && name !== "environment");
      assert.equal((await runSteps({ ...context, store: foreign }, left)).verdict, "pass");
      await client.query("DROP ROLE gate_reader");
    });

    it("connection (3): the database is gone", async () => {
      const { context } = await scene();
      const target = { ...context.target, port: 1 };
      demandHalt(await runReadOnlyGate({ ...context, target }), "connection", exitCode.unreachable, /127\.0\.0\.1:1/);
    });

    it("environment (1): a required variable is missing, a critical one changed", async function () {
      this.timeout(90_000);
      const { context, store } = await scene();
      const file = (context.settings.environment.sources[0] as { path: string }).path;
      const next = { ...context, releaseVersion: "v2" };
      dotenvFile({ SUPABASE_URL: "" }, file);
      demandHalt(await runReadOnlyGate(next), "environment", exitCode.refused, /SUPABASE_URL/);
      dotenvFile({}, file);
      assert.equal((await runGate(context)).verdict, "pass");
      dotenvFile({ SUPABASE_SERVICE_ROLE_KEY: "sb_secret_987654" }, file);
      const halt = await runReadOnlyGate(next);
      demandHalt(halt, "environment", exitCode.refused, /SUPABASE_SERVICE_ROLE_KEY/);
      assert.ok(!JSON.stringify(halt).includes("another-key-987654"), "a value was printed");
      const left = readOnlySteps.filter(({ name }) => name !== "environment");
      assert.equal((await runSteps(next, left)).verdict, "pass");
      await closeScratch((await readReceipt(store, context.runId)).scratch!);
    });

    it("migrations (1): a destructive statement, named with file and line", async function () {
      this.timeout(60_000);
      const folder = mkdtempSync(join(tmpdir(), "dbprotect-migrations-"));
      writeFileSync(join(folder, "20260101000000_purge.sql"), "SELECT 1;\nDELETE FROM clients WHERE stage = 'lost';\n");
      const { context } = await scene({ migrations: { path: folder }, environment: environmentOf() });
      demandHalt(await runGate(context), "migrations", exitCode.refused, /20260101000000_purge\.sql:2:1 /);
      assert.equal((await without("migrations", context)).verdict, "pass");
    });

    it("migrations (1): no script takes it back, where that halts; where it warns, the evidence says so", async function () {
      this.timeout(60_000);
      const folder = mkdtempSync(join(tmpdir(), "dbprotect-prisma-"));
      const file = "20260101_note/migration.sql";
      mkdirSync(join(folder, "20260101_note"));
      writeFileSync(join(folder, file), "CREATE TABLE note (id int);\n");
      const migrations = { path: folder, tool: "prisma", command: "true" } as const;
      const { context } = await scene({ migrations: { ...migrations, rollbackScript: "halt" } });
      const gate = (changes: OperationSettingsInput): Promise<GateResult> => {
        const settings = operationSettingsSchema.parse({ environment: context.settings.environment, ...changes });
        return runReadOnlyGate({ ...context, settings });
      };
      const halted = await runReadOnlyGate(context);
      demandHalt(
        halted,
        "migrations",
        exitCode.refused,
        /20260101_note\/migration\.sql: the script that takes it back/,
      );
      const override = { reason: "agreed in CHG-1234", person: "Ada", expires: "2099-01-01" };
      const overrides = [{ what: `migrations:${file}:no-rollback`, ...override }];
      assert.equal((await gate({ migrations: { ...migrations, rollbackScript: "halt" }, overrides })).verdict, "pass");
      const warned = await gate({ migrations });
      assert.match(
        JSON.stringify(warned.steps),
        /WARNING: 20260101_note\/migration\.sql: the script that takes it back/,
      );
      const silent = await gate({ migrations: { ...migrations, rollbackScript: "ignore" } });
      assert.deepEqual([warned.verdict, silent.verdict], ["pass", "pass"]);
      assert.doesNotMatch(JSON.stringify(silent.steps), /takes it back/);
      writeFileSync(join(folder, "20260101_note", "down.sql"), "DROP TABLE note;\n");
      assert.equal((await runReadOnlyGate(context)).verdict, "pass");
    });

    it("trial (1): a file that adds a row sets off a trigger that deletes; an override lets that table's loss pass", async function () {
      this.timeout(120_000);
      const folder = mkdtempSync(join(tmpdir(), "dbprotect-migrations-"));
      const file = "20260101000000_setting.sql";
      writeFileSync(join(folder, file), "INSERT INTO app_settings VALUES ('retention') ON CONFLICT DO NOTHING;\n");
      const migrations = { path: folder };
      const { context, client, store, storeUrl, url } = await scene({ migrations, environment: environmentOf() });
      await client.query(
        `CREATE TABLE app_settings (name text PRIMARY KEY);
         CREATE FUNCTION apply_setting() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN DELETE FROM public.chat_messages WHERE number = 5; RETURN NEW; END';
         CREATE TRIGGER apply AFTER INSERT ON app_settings FOR EACH ROW EXECUTE FUNCTION apply_setting()`,
      );
      assert.equal((await runReadOnlyGate(context)).verdict, "pass");
      demandHalt(await runGate(context), "trial", exitCode.refused, /chat_messages: 300 of 1500 row\(s\) are lost/);
      const withOverride = (what: string): GateContext => {
        const override = { what, reason: "agreed in CHG-1234", person: "Ada", expires: "2099-01-01" };
        const settings = operationSettingsSchema.parse({ ...context.settings, overrides: [override] });
        return { ...context, runId: `${context.runId}-${what.length}`, settings };
      };
      demandHalt(
        await runGate(withOverride("trial:public.tasks")),
        "trial",
        exitCode.refused,
        /not needed by the trial/,
      );
      const passing = withOverride("trial:public.chat_messages");
      const result = await runGate(passing);
      assert.equal(result.verdict, "pass", result.message ?? "");
      assert.equal(result.steps.find(({ step }) => step === "trial")?.outcome, "overridden");
      const { trial, scratch } = await readReceipt(store, passing.runId);
      assert.deepEqual(
        trial?.files.map(({ file }) => file),
        [file],
      );
      // What the verification after the release compares with is as it was restored.
      await withConnection(scratchTarget(scratch!), async (copy) => {
        assert.equal((await copy.query("SELECT FROM public.chat_messages")).rowCount, 1500);
      });
      await closeScratch(scratch!);
      const environment = {
        DATABASE_URL: url,
        BACKUP_STORE: storeUrl,
        DBPROTECT_SETTINGS: JSON.stringify({ migrations }),
      };
      const { code, stdout } = await runCli(["migrations:trial"], environment);
      assert.equal(code, exitCode.refused);
      assert.match(stdout, /PASS: 1 file\(s\), 0 refused, 0 to know\n/);
      assert.match(
        stdout,
        /\nlost: public\.chat_messages: 300 of 1500 row\(s\) are lost: .* \(trial:public\.chat_messages\)\nREFUSED: /,
      );
    });

    it("data-checks (1): a broken row, and a database that no check applies to", async function () {
      this.timeout(60_000);
      const { context, client } = await scene();
      await client.query("UPDATE clients SET stage = NULL WHERE id = 9");
      demandHalt(await runGate(context), "data-checks", exitCode.refused, /client-corruption/);
      assert.equal((await without("data-checks", context)).verdict, "pass");
      await client.query("DROP TABLE clients, tasks, chat_messages CASCADE");
      demandHalt(await runGate(context), "data-checks", exitCode.refused, /no data check applies/);
      const none = { ...context, settings: operationSettingsSchema.parse({ ...context.settings, checks: "none" }) };
      assert.equal((await runReadOnlyGate(none)).verdict, "pass");
    });

    it("backup (3): another backup of the database is running", async () => {
      const { context, client } = await scene();
      await client.query("SELECT pg_advisory_lock(hashtext('dbprotect'), hashtext('backup'))");
      demandHalt(await runGate(context), "backup", exitCode.unreachable, /another backup/);
      await client.query("SELECT pg_advisory_unlock_all()");
    });

    it("whatever a step throws, and closes what it started; what is told is why, not that the store went away", async function () {
      this.timeout(60_000);
      const { context, store, storeUrl } = await scene();
      await claimStore(store, await identityOf(context));
      let place: ScratchPlace | undefined;
      const bug: GateStep = {
        name: "bug",
        run: async (_, { scratch }) => {
          place = (await scratch)?.place;
          throw new TypeError("undefined is not a function");
        },
      };
      const until = fullSteps.findIndex(({ name }) => name === "backup") + 1;
      await assert.rejects(runSteps(context, [...fullSteps.slice(0, until), bug]), TypeError);
      assert.ok(place !== undefined && !(await isScratchAlive(place)));
      // A folder store keeps each version of a document as a file.
      const lease = fileURLToPath(`${storeUrl}/control/lease.json`);
      const onStepEnd = (): void => readdirSync(lease).forEach((file) => writeFileSync(join(lease, file), "<html>"));
      await setFreeze(store, { kind: "manual", runId: null, reason: "audit", person: "Ada", missingRows: {} });
      const told: string[] = [];
      const halted = await runGate({ ...context, onProgress: (line) => void told.push(line) }, { onStepEnd });
      demandHalt(halted, "freeze", exitCode.refused, /frozen.*audit/);
      assert.match(told.join("\n"), /the lease ends by itself, it was not given back: .*lease.json is damaged/);
    });

    it("verification (4): one bit of the stored rows flipped", async function () {
      this.timeout(60_000);
      const { context, storeUrl } = await scene();
      const damagingVerification = fullSteps.map((step): GateStep => {
        if (step.name !== "verification") return step;
        return {
          ...step,
          run: (inner, state) => {
            damageFile(join(new URL(storeUrl).pathname, fileKey(state.backup!, "data-000.dump.zst")));
            return step.run(inner, state);
          },
        };
      });
      const result = await runSteps(context, damagingVerification);
      assert.deepEqual([result.verdict, result.exitCode, result.steps.at(-1)?.step], ["halt", 4, "verification"]);
      assert.match(result.message ?? "", /data-000\.dump\.zst is damaged/);
    });

    it("verification (1): the restore succeeds, but the copy differs from the snapshot", async function () {
      this.timeout(60_000);
      const { context, client } = await scene();
      // Declared immutable, and isn't: a restore computes the column anew and gets another value. The archive is
      // whole and pg_restore content; only comparing the rows can tell.
      await client.query(`
        CREATE FUNCTION where_am_i() RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN current_database(); END';
        ALTER TABLE tasks ADD COLUMN origin text GENERATED ALWAYS AS (public.where_am_i()) STORED`);
      demandHalt(await runGate(context), "verification", exitCode.refused, /public\.tasks.*other content/);
      const readOnly = {
        ...context,
        runId: `${context.runId}-b`,
        settings: { ...context.settings, verification: { depth: 3 as const, scratchHours: 1 } },
      };
      assert.equal((await runGate(readOnly)).verdict, "pass");
    });
  });
});

function environmentOf(): OperationSettingsInput["environment"] {
  return { sources: [{ kind: "dotenv", path: dotenvFile() }] };
}
