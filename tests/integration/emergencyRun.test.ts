/** `npm run emergency`: each kind of damage, from injected to verified, while people go on writing; killed at each step and gone on with. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { listSuspects } from "../../scripts/backup/manifest";
import { emergencySteps, readEmergency, takeEmergencyTurn } from "../../scripts/control/emergency";
import { readFreezes } from "../../scripts/control/freeze";
import type { Assessment } from "../../scripts/incident/assessment";
import { type EmergencyResult, runEmergency } from "../../scripts/incident/emergency";
import { chooseBy, emergencyPlanSchema } from "../../scripts/incident/emergencyChoice";
import { factsOf } from "../../scripts/incident/incidentFacts";
import { readIncident } from "../../scripts/record/incident";
import { openPlatforms } from "../../scripts/release/rollbackTargets";
import { operationSettingsSchema } from "../../scripts/settings";
import { runCli, startCli } from "../servers/cli";
import { closeCrmClients } from "../servers/crm";
import { type ProtectedCrm, protectedCrm } from "../servers/damage";
import { ask } from "../servers/postgres";
import { temporaryFolder } from "../servers/stores";

const quiet = { checks: "none", environment: { required: [], critical: [] } };
const settings = operationSettingsSchema.parse({ ...quiet, integrationCommand: "node -e 0" });
const signal = new AbortController().signal;
const decision = emergencyPlanSchema.parse({ person: "Ada", reason: "rows are gone" });

describe("npm run emergency", function () {
  this.timeout(240_000);
  let runs = 0;
  let assessed: Assessment | undefined;
  after(closeCrmClients);

  function respond(crm: ProtectedCrm, over: Partial<typeof decision> = {}): Promise<EmergencyResult> {
    return runEmergency({
      ...{ store: crm.store, live: crm.live, settings, signal, configured: [], clients: openPlatforms({}, signal) },
      addresses: { appUrl: undefined, frontendUrl: undefined },
      ...{ runId: `20260101T00010${++runs}Z-emergency`, person: decision.person, reason: decision.reason },
      decide: async (assessment) => chooseBy({ ...decision, ...over }, (assessed = assessment), undefined),
      onProgress: () => undefined,
    });
  }

  /** Somebody who goes on writing, connecting again whenever the connection or the database is gone. */
  async function underLoad<T>(crm: ProtectedCrm, work: () => Promise<T>): Promise<T> {
    const ending = new AbortController();
    const writer = (async () => {
      while (!ending.signal.aborted) {
        const client = new Client({ connectionString: crm.url });
        client.on("error", () => undefined);
        try {
          await client.connect();
          while (!ending.signal.aborted) {
            await client.query(`INSERT INTO "Ünsorted ""Notes""" VALUES ('later')`);
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 20));
        } finally {
          await client.end().catch(() => undefined);
        }
      }
    })();
    try {
      return await work();
    } finally {
      ending.abort();
      await writer;
    }
  }

  const counts = async (crm: ProtectedCrm): Promise<unknown> =>
    (
      await ask(
        crm.url,
        "SELECT (SELECT count(*)::int FROM clients) AS clients, (SELECT count(email)::int FROM clients) AS emails, (SELECT count(*)::int FROM tasks) AS tasks, (SELECT count(body)::int FROM chat_messages) AS messages",
      )
    )[0];
  const whole = { clients: 200, emails: 200, tasks: 600, messages: 1_000 };

  for (const [damage, sql, way] of [
    ["rows deleted", "DELETE FROM tasks WHERE id % 3 = 0", "db:repair"],
    ["a table truncated", "TRUNCATE chat_messages", "db:repair"],
    ["a column dropped", "ALTER TABLE chat_messages DROP COLUMN body", "db:emergency-restore"],
    ["values corrupted", "UPDATE clients SET email = NULL", "db:repair"],
  ] as const) {
    it(`${damage}, under load: ${way}, verified, and releases go on`, async () => {
      const crm = await protectedCrm();
      await ask(crm.url, sql);
      const result = await underLoad(crm, () => respond(crm));
      assert.equal(result.choice?.way, way, JSON.stringify(assessed?.recommendation));
      assert.deepEqual(await counts(crm), whole);
      assert.deepEqual(
        result.steps.map(({ step, withinStrategy }) => [step, withinStrategy]),
        emergencySteps.map((step) => [step, true]),
      );
      assert.ok((await listSuspects(crm.store)).has(result.damaged ?? ""), "the damaged state is stored");
      assert.deepEqual(await readFreezes(crm.store), []);
      const incident = await readIncident(crm.store, result.incident ?? "");
      const facts = factsOf(incident);
      assert.equal(incident.kind, "emergency");
      assert.match(facts.mitigated?.by ?? "", /^nothing of backup_\w+ is missing/);
      assert.deepEqual(
        facts.commands.map(({ command, exitCode }) => [command.split(" ")[0], exitCode]),
        emergencySteps.map((step) => [step === "recover" ? way : step, 0]),
      );
      assert.ok(facts.impact.length > 0);
    });
  }

  it("the whole database dropped: made again from its backup", async () => {
    const crm = await protectedCrm();
    const outside = crm.url.replace(/\/[^/]*$/, "/postgres");
    const name = new URL(crm.url).pathname.slice(1);
    await ask(outside, `DROP DATABASE ${name} WITH (FORCE)`);
    const result = await respond(crm);
    assert.equal(assessed?.database.state, "gone");
    assert.equal(result.choice?.way, "db:emergency-restore");
    assert.deepEqual(await counts(crm), whole);
    assert.equal(result.damaged, null);
  });

  it("nothing damaged: nothing is changed, and it is verified all the same", async () => {
    const crm = await protectedCrm();
    const result = await respond(crm);
    assert.equal(result.choice?.way, "nothing");
    assert.deepEqual([result.damaged, (await listSuspects(crm.store)).size], [null, 0]);
  });

  it("killed with -9 at each step, the next run goes on there; a second operator waits (3)", async () => {
    const crm = await protectedCrm();
    await ask(crm.url, "ALTER TABLE tasks DROP COLUMN title");
    const plan = join(temporaryFolder(), "plan.json");
    writeFileSync(plan, JSON.stringify({ person: "Ada", reason: "a column is gone" }));
    const env = { DATABASE_URL: crm.url, BACKUP_STORE: crm.address, DBPROTECT_SETTINGS: JSON.stringify(quiet) };
    const words = ["emergency", "--plan", plan, "--yes"];
    for (const point of [
      /1 of 7: deploy:freeze$/m,
      /2 of 7: db:assess$/m,
      /3 of 7: db:backup$/m,
      /4 of 7: recover \(db:emergency-restore\)$/m,
      /about to take the place of/,
      /5 of 7: db:emergency-verify$/m,
      /6 of 7: test:emergency$/m,
      /7 of 7: deploy:unfreeze$/m,
    ]) {
      const child = startCli(words, env);
      child.process.stderr?.on("data", () => {
        if (point.test(child.stderr())) child.process.kill("SIGKILL");
      });
      const { code, stderr } = await child.ended;
      assert.equal(code, null, `not killed at ${point.source}:\n${stderr}`);
      assert.equal((await readEmergency(crm.store))?.state, "under way", stderr);
    }
    const turn = await takeEmergencyTurn(crm.store, "first", (current) => current!);
    const second = await runCli(words, env);
    assert.equal(second.code, 3, second.stderr);
    assert.match(second.stderr, /an emergency is being carried out: first/);
    await turn.end();
    const last = await runCli(words, env);
    assert.equal(last.code, 0, last.stderr);
    assert.match(last.stderr, /goes on with emergency [^]*6 of 7: test:emergency: done before/);
    assert.deepEqual(await ask(crm.url, "SELECT count(title)::int AS titles FROM tasks"), [{ titles: 600 }]);
    assert.equal((await readEmergency(crm.store))?.state, "done");
    assert.deepEqual(await readFreezes(crm.store), []);
    assert.ok((await listSuspects(crm.store)).size > 0);
  });

  it("a plan that is none is a usage error, and without one and a terminal nothing is changed", async () => {
    const crm = await protectedCrm(1, 5);
    const env = { DATABASE_URL: crm.url, BACKUP_STORE: crm.address };
    const plan = join(temporaryFolder(), "plan.json");
    writeFileSync(plan, JSON.stringify({ person: "Ada", reason: "x", recover: "pray" }));
    const wrong = await runCli(["emergency", "--plan", plan, "--yes"], env);
    assert.equal(wrong.code, 2, wrong.stderr);
    assert.match(wrong.stderr, /--plan: .*: recover: Invalid option/);
    assert.equal((await runCli(["emergency", "--yes"], env)).code, 2);
    const asked = await runCli(["emergency"], env);
    assert.match(asked.stderr, /freezes releases of [^]*no terminal to ask on: nothing was changed/);
    assert.deepEqual(await readFreezes(crm.store), []);
  });
});
