/**
 * What is decided in an emergency: the application taken back where it is what fails, the questions to a person, their
 * answers recorded and played again by a machine, and tests of what was recovered that fail.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listSuspects } from "../../scripts/backup/manifest";
import { type Questions, askForWayBack } from "../../scripts/commands/emergencyQuestions";
import { Refusal } from "../../scripts/contract/failure";
import { emergencySteps, readEmergency } from "../../scripts/control/emergency";
import { readFreezes } from "../../scripts/control/freeze";
import { readIdentity } from "../../scripts/database/identity";
import type { Assessment } from "../../scripts/incident/assessment";
import { recordEvent } from "../../scripts/record/releaseEvents";
import { writeReceipt } from "../../scripts/record/receipt";
import { findTarget, openPlatforms } from "../../scripts/release/rollbackTargets";
import { operationSettingsSchema } from "../../scripts/settings";
import { runCli } from "../servers/cli";
import { closeCrmClients } from "../servers/crm";
import { type ProtectedCrm, protectedCrm } from "../servers/damage";
import { copyOnSharedCluster, quietSettings, respondTo } from "../servers/emergency";
import { type Application, firstCommit, startApplication } from "../servers/platforms";
import { ask } from "../servers/postgres";
import { receiptOf } from "../servers/receipts";
import { temporaryFolder } from "../servers/stores";

const second = "2".repeat(40);

describe("decisions in an emergency", function () {
  this.timeout(120_000);
  copyOnSharedCluster();
  after(closeCrmClients);

  const stepsDone = async ({ store }: ProtectedCrm): Promise<string[]> =>
    ((await readEmergency(store))?.steps ?? []).flatMap(({ step, state }) => (state === "done" ? [step] : []));

  describe("an application that does not answer", () => {
    let app: Application;
    let crm: ProtectedCrm;

    beforeEach(async () => {
      [app, crm] = await Promise.all([startApplication(), protectedCrm()]);
    });
    afterEach(() => app.close());

    const clients = () => openPlatforms(app.env, new AbortController().signal);
    const settings = operationSettingsSchema.parse({
      ...quietSettings,
      railway: { command: "railway up --ci" },
      vercel: { command: "vercel deploy --prod --yes" },
      health: { appPaths: ["/api/health"], deadlineSeconds: 3 },
      rollback: { timeoutSeconds: 5 },
    });

    /** What a gate writes, and the release that follows, whose code answers 500. */
    async function badRelease(): Promise<void> {
      const runId = "20260101T000009Z-run";
      const [railway, vercel] = [await findTarget("railway", clients()), await findTarget("vercel", clients())];
      const receipt = receiptOf({
        ...{ runId, releaseVersion: second, settings, rollback: { railway, vercel } },
        database: await readIdentity(crm.client, crm.live),
        backup: { tier: "manual", name: crm.backup, depth: 4, restoreSeconds: 1, rpoSeconds: null },
        addresses: { appUrl: app.url, frontendUrl: app.url },
      });
      const receiptSha256 = await writeReceipt(crm.store, receipt);
      await app.deploy(second);
      app.broken.add(second);
      for (const event of ["gate-passed", "railway-live", "vercel-live"])
        await recordEvent(crm.store, { runId, releaseVersion: second, stack: "crm/test", receiptSha256 }, event, "");
    }

    const respond = (assessments: Assessment[] = []) =>
      respondTo(crm, {
        ...{ settings, clients: clients(), configured: ["railway", "vercel"] },
        whenAssessed: (assessment) => assessments.push(assessment),
      });

    it("is taken back on both platforms, verified by the receipt's addresses, and no row is touched", async () => {
      await badRelease();
      const assessments: Assessment[] = [];
      const result = await respond(assessments);
      const { recommendation } = assessments[0]!;
      assert.equal(recommendation.rung, "deploy:rollback");
      assert.match(
        recommendation.reason,
        /^the application does not answer \(.*\/api\/health.*\) and no row is missing$/,
      );
      assert.equal(result.choice?.way, "deploy:rollback");
      assert.deepEqual(app.live, { railway: firstCommit, vercel: firstCommit });
      const details = new Map(result.steps.map(({ step, detail }) => [step, detail]));
      assert.equal(details.get("db:backup"), "not needed: this way back does not touch the database");
      assert.equal(details.get("recover"), "railway rolled back, vercel rolled back");
      assert.match(details.get("db:emergency-verify") ?? "", /; health pass$/);
      assert.equal((await listSuspects(crm.store)).size, 0);
      assert.deepEqual(await readFreezes(crm.store), []);
    });

    it("that one platform does not take back stays frozen, says which, and the next run goes on with that one", async () => {
      await badRelease();
      app.vercel.failNextRollback();
      await assert.rejects(respond(), (error: unknown) => {
        assert.ok(error instanceof Refusal);
        assert.equal(error.message, "the application did not go back");
        assert.match(error.details.join(), /^vercel: /);
        assert.match(error.hint ?? "", /npm run emergency again: it goes on here/);
        return true;
      });
      assert.equal((await readFreezes(crm.store)).length, 1);
      assert.deepEqual(await stepsDone(crm), emergencySteps.slice(0, 3));
      const result = await respond();
      assert.equal(result.steps.find(({ step }) => step === "recover")?.detail, "railway already, vercel rolled back");
      assert.deepEqual(await readFreezes(crm.store), []);
    });

    it("together with missing rows: the rows first, for taking the application back brings none of them", async () => {
      await badRelease();
      await ask(crm.url, "DELETE FROM tasks WHERE id <= 10");
      const assessments: Assessment[] = [];
      await assert.rejects(respond(assessments), /what was recovered is not verified: releases stay frozen/);
      assert.equal(assessments[0]?.recommendation.rung, "db:repair");
      assert.deepEqual(await ask(crm.url, "SELECT count(*)::int AS tasks FROM tasks"), [{ tasks: 600 }]);
      app.broken.delete(second);
      await respond();
      assert.deepEqual(await readFreezes(crm.store), []);
    });
  });

  describe("a person who is asked", () => {
    const cancelled = Symbol("cancelled");

    /** Answers one after the other; whoever has none left leaves. */
    function answering(...answers: unknown[]): { questions: Questions; asked: Record<string, unknown>[] } {
      const asked: Record<string, unknown>[] = [];
      const next = async (options: Record<string, unknown>): Promise<unknown> => {
        asked.push(options);
        return answers.length === 0 ? cancelled : answers.shift();
      };
      const questions = { select: next, confirm: next, isCancel: (answer: unknown) => answer === cancelled };
      return { questions: questions as unknown as Questions, asked };
    }

    const respond = (crm: ProtectedCrm, questions: Questions, record?: string) =>
      respondTo(crm, {
        decide: (assessment) =>
          askForWayBack(assessment, { person: "Ada", reason: "tasks are gone", record }, questions),
      });

    it("sees every way with what stands in its way, and what is recommended first; the answers play again by machine", async () => {
      const crm = await protectedCrm();
      await ask(crm.url, "DELETE FROM tasks WHERE id <= 10");
      const record = join(temporaryFolder(), "plan.json");
      const { questions, asked } = answering("db:repair", true);
      const result = await respond(crm, questions, record);
      assert.deepEqual([result.choice?.way, await readFreezes(crm.store)], ["db:repair", []]);
      const [way, unfreeze] = asked;
      assert.equal(way?.["initialValue"], "db:repair");
      assert.deepEqual(
        (way?.["options"] as { label: string; hint: string }[]).map(({ label, hint }) => [label, hint.split(";")[0]]),
        [
          ["deploy:rollback", "neither Railway nor Vercel is configured here"],
          ["db:repair (recommended)", "puts back just what is missing"],
          ["db:emergency-restore", "the whole database as it was then"],
          ["nothing", "verify and test only"],
        ],
      );
      assert.match(String(unfreeze?.["message"]), /^May releases go on/);

      await ask(crm.url, "DELETE FROM tasks WHERE id <= 20");
      const env = {
        DATABASE_URL: crm.url,
        BACKUP_STORE: crm.address,
        DBPROTECT_SETTINGS: JSON.stringify(quietSettings),
      };
      const run = await runCli(["emergency", "--plan", record, "--yes", "--json"], env);
      assert.equal(run.code, 0, run.stderr);
      const machine = JSON.parse(run.stdout) as typeof result;
      assert.deepEqual([machine.choice?.way, machine.id === result.id], ["db:repair", false]);
      assert.match(run.stderr, /RECOMMENDED: npm run db:repair/);
      assert.deepEqual(await ask(crm.url, "SELECT count(*)::int AS tasks FROM tasks"), [{ tasks: 600 }]);
    });

    it("who leaves, or chooses what is not possible, changes nothing and records nothing; the next run asks again", async () => {
      const crm = await protectedCrm();
      await ask(crm.url, "DELETE FROM tasks WHERE id <= 10");
      const record = join(temporaryFolder(), "plan.json");
      for (const [answers, refusal] of [
        [[], /^Refusal: nothing was decided: releases stay frozen/],
        [["db:repair"], /^Refusal: nothing was decided: releases stay frozen/],
        [["deploy:rollback", true], /^Refusal: deploy:rollback is not possible: neither Railway nor Vercel/],
      ] as const) {
        await assert.rejects(respond(crm, answering(...answers).questions, record), refusal);
        assert.equal((await readFreezes(crm.store)).length, 1);
        assert.deepEqual(await stepsDone(crm), ["deploy:freeze"]);
      }
      assert.deepEqual([existsSync(record), (await listSuspects(crm.store)).size], [false, 0]);
      const result = await respond(crm, answering("db:repair", false).questions, record);
      const plan = { person: "Ada", reason: "tasks are gone", recover: "db:repair", unfreeze: false };
      assert.deepEqual(
        Object.entries(JSON.parse(readFileSync(record, "utf8")) as object).filter(([key]) => key in plan),
        Object.entries(plan),
      );
      assert.match(result.steps.at(-1)!.detail, /^releases stay frozen, as was decided: npm run deploy:unfreeze/);
      assert.equal((await readFreezes(crm.store)).length, 1);
    });

    it("a plan that says something else than what was decided is refused, and --record beside --plan is a usage error", async () => {
      const crm = await protectedCrm();
      await ask(crm.url, "DELETE FROM tasks WHERE id <= 10");
      const lasting = operationSettingsSchema.parse({
        ...quietSettings,
        integrationCommand: "node -e process.exit(7)",
      });
      await assert.rejects(respondTo(crm, { settings: lasting }), /what was recovered does not work/);
      const plan = join(temporaryFolder(), "plan.json");
      writeFileSync(plan, JSON.stringify({ person: "Ada", reason: "x", recover: "db:emergency-restore" }));
      const env = { DATABASE_URL: crm.url, BACKUP_STORE: crm.address };
      const other = await runCli(["emergency", "--plan", plan, "--yes"], env);
      assert.equal(other.code, 1, other.stderr);
      assert.match(
        other.stderr,
        /--plan: found db:emergency-restore, and db:repair by backup_\w+ was decided: nothing was/,
      );
      const both = await runCli(["emergency", "--plan", plan, "--record", `${plan}2`, "--yes"], env);
      assert.equal(both.code, 2, both.stderr);
      assert.match(both.stderr, /--record: found --plan .* as well: expected one of them/);
    });
  });

  it("test:emergency that fails halts the run: it says what failed and what to do, stays frozen, and is gone on with", async () => {
    const crm = await protectedCrm();
    await ask(crm.url, "TRUNCATE chat_messages");
    const broken = join(temporaryFolder(), "broken");
    writeFileSync(broken, "");
    const settings = operationSettingsSchema.parse({
      ...quietSettings,
      integrationCommand: `node -e 'process.exit(require("fs").existsSync("${broken}") ? 7 : 0)'`,
    });
    await assert.rejects(respondTo(crm, { settings }), (error: unknown) => {
      assert.ok(error instanceof Refusal);
      assert.equal(error.message, "what was recovered does not work: releases stay frozen");
      assert.match(error.details.join(), /^integration tests: .*7/);
      assert.match(error.hint ?? "", /npm run emergency again: it goes on here/);
      return true;
    });
    assert.equal((await readFreezes(crm.store)).length, 1);
    assert.deepEqual(await stepsDone(crm), emergencySteps.slice(0, 5));
    rmSync(broken);
    const lines: string[] = [];
    const result = await respondTo(crm, { settings, onProgress: (line) => lines.push(line) });
    assert.deepEqual(
      lines.filter((line) => /done before$/.test(line)).length,
      emergencySteps.indexOf("test:emergency"),
      "what was done is not done again",
    );
    assert.match(result.steps.find(({ step }) => step === "test:emergency")!.detail, /command passed/);
    assert.equal((await listSuspects(crm.store)).size, 1);
    assert.deepEqual(await readFreezes(crm.store), []);
  });

  it("a plan that is none is a usage error, and without one and a terminal nothing is changed", async () => {
    const crm = await protectedCrm(1, 5);
    const env = { DATABASE_URL: crm.url, BACKUP_STORE: crm.address };
    const plan = join(temporaryFolder(), "plan.json");
    writeFileSync(plan, JSON.stringify({ person: "Ada", reason: "x", recover: "pray" }));
    const wrong = await runCli(["emergency", "--plan", plan, "--yes"], env);
    assert.equal(wrong.code, 2, wrong.stderr);
    assert.match(wrong.stderr, /error: --plan: found \S+plan\.json: recover: found "pray": Invalid option/);
    assert.equal((await runCli(["emergency", "--yes"], env)).code, 2);
    const asked = await runCli(["emergency"], env);
    assert.match(asked.stderr, /freezes releases of [^]*no terminal to ask on: nothing was changed/);
    assert.deepEqual(await readFreezes(crm.store), []);
  });
});
