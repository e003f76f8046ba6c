/** `db:assess`: what is damaged and since when, under load; the ways back with what they cost; and that it only reads. */
import assert from "node:assert/strict";
import { assess } from "../../scripts/incident/assess";
import { type Assessment, assessmentSchema } from "../../scripts/incident/assessment";
import { recordAssessment } from "../../scripts/incident/recordAssessment";
import { factsOf } from "../../scripts/incident/incidentFacts";
import { newRunId } from "../../scripts/commands/gateContext";
import { recordEvent } from "../../scripts/record/releaseEvents";
import { listIncidents, openIncident, readIncident } from "../../scripts/record/incident";
import { renderAssessment } from "../../scripts/report/assessment";
import { operationSettingsSchema } from "../../scripts/settings";
import { runCli } from "../servers/cli";
import { closeCrmClients, freshStore } from "../servers/crm";
import { type ProtectedCrm, protectedCrm } from "../servers/damage";
import { ask } from "../servers/postgres";

const settings = operationSettingsSchema.parse({ checks: "none" });

describe("db:assess", function () {
  this.timeout(120_000);
  let crm: ProtectedCrm;
  let second: string;
  after(closeCrmClients);

  const look = (copy: "auto" | "always" | "never" = "auto"): Promise<Assessment> =>
    assess({
      ...{ store: crm.store, live: crm.live, settings, copy, application: false },
      addresses: { appUrl: undefined, frontendUrl: undefined },
      ...{ signal: new AbortController().signal, onProgress: () => undefined },
    });

  before(async () => {
    crm = await protectedCrm();
    await ask(crm.url, "INSERT INTO tasks (client_id, title) SELECT 1, 'New ' || n FROM generate_series(1, 50) n");
    second = (await crm.back(1)).name;
  });

  it("finds nothing where nothing is damaged, and says what it did not look at", async () => {
    const assessment = await look();
    assert.equal(assessment.verdict, "intact");
    assert.deepEqual(assessment.tables, []);
    assert.equal(assessment.lastGood?.name, second);
    assert.equal(assessment.recommendation.rung, null);
    assert.match(assessment.notVerified.join(), /no health check is configured[^]*no data check was run/);
  });

  it("with nothing to compare with does not say intact: a mistyped BACKUP_STORE is no good news; a freeze there warns", async () => {
    const env = { DATABASE_URL: crm.url, BACKUP_STORE: freshStore() };
    const assessed = await runCli(["db:assess"], env);
    assert.equal(assessed.code, 1, assessed.stderr);
    assert.match(assessed.stdout, /^NOT COMPARED: [^]*check BACKUP_STORE/);
    assert.doesNotMatch(assessed.stdout, /INTACT|no row is missing/);
    const restore = await runCli(["db:emergency-restore"], env);
    assert.equal(restore.code, 1);
    assert.match(restore.stderr, /holds no backup[^]*BACKUP_STORE/);
    const frozen = await runCli(["deploy:freeze", "--person", "Ann", "--reason", "lost rows", "--yes"], env);
    assert.equal(frozen.code, 0);
    assert.match(frozen.stderr, /^warning: no gate and no backup ever used file:.*check BACKUP_STORE$/m);
    const emergency = await runCli(["emergency"], env);
    assert.equal(emergency.code, 2);
    assert.match(emergency.stderr, /hint: without a terminal: .*--plan <file> --yes/);
  });

  it("names missing rows by table and since when, while people go on writing", async () => {
    await ask(crm.url, "DELETE FROM tasks WHERE id BETWEEN 1 AND 40");
    const after = (await crm.back(1)).name;
    // As many new rows as were lost: counts alone would say that nothing happened.
    await ask(crm.url, "INSERT INTO tasks (client_id, title) SELECT 2, 'Later ' || n FROM generate_series(1, 40) n");
    const assessment = assessmentSchema.parse(await look());
    assert.equal(assessment.verdict, "damaged");
    const [table, ...others] = assessment.tables;
    assert.deepEqual([table?.table, table?.missing, table?.exact, others], ["public.tasks", 40, true, []]);
    const taken = (name: string) => assessment.compared.find((each) => each.name === name)!.takenAt;
    assert.deepEqual([assessment.lastGood?.name, assessment.receipt], [second, null]);
    assert.equal(assessment.compared.find(({ name }) => name === after)?.verdict, "pass");
    assert.equal(table?.since.notAfter, taken(after));
    assert.ok(table?.since.notBefore === null || table?.since.notBefore === taken(second));
    assert.equal(assessment.recommendation.rung, "db:repair");
    assert.equal(assessment.recommendation.command, `npm run db:repair -- --backup ${second}`);
    assert.ok((assessment.lossWindowSeconds ?? -1) >= 0);
    const ladder = new Map(assessment.ladder.map((each) => [each.rung, each]));
    assert.deepEqual([ladder.get("db:repair")?.possible, ladder.get("db:repair")?.lossSeconds], [true, 0]);
    assert.ok((ladder.get("db:repair")?.expectedSeconds ?? 0) > 0, "measured here");
    assert.equal(ladder.get("db:emergency-restore")?.possible, false, "that backup was never restored");
    assert.match(ladder.get("db:emergency-restore")?.detail ?? "", /depth 1 only: npm run db:verify/);
    assert.equal(ladder.get("deploy:rollback")?.expectedSeconds, null);
    const text = renderAssessment(assessment);
    assert.match(text, /^DAMAGED: 1 table\(s\) damaged[^]*public\.tasks +40 [^]*RECOMMENDED: npm run db:repair/);
    assert.doesNotMatch(text, /Call 1|New 1|"id"/, "no row's content");
  });

  it("without a copy it gives what checksums prove, and says so", async () => {
    const assessment = await look("never");
    assert.match(assessment.notVerified.join("\n"), /rows are not named/);
    assert.ok(assessment.tables.every(({ exact }) => !exact));
  });

  it("is in the timeline of an open incident, with impact and since when", async () => {
    const id = await openIncident(crm.store, {
      ...{ kind: "person", title: "tasks are gone", person: "Ada", receipt: null, impact: [], notVerified: [] },
      began: { notBefore: null, notAfter: null },
      ids: { database: null, release: null, backup: null, deployments: { railway: null, vercel: null } },
    });
    await recordAssessment(crm.store, await look(), assert.fail);
    const facts = factsOf(await readIncident(crm.store, id));
    assert.deepEqual(
      facts.impact.map(({ table, missing }) => [table, missing]),
      [["public.tasks", 40]],
    );
    assert.ok(facts.detect.atMost !== null);
    assert.equal((await listIncidents(crm.store, "open")).length, 1);
  });

  it("db:repair puts it back from that backup, without a release, and keeps what was written since", async () => {
    const env = { DATABASE_URL: crm.url, BACKUP_STORE: crm.address };
    const shown = await runCli(["db:repair", "--backup", second], env);
    assert.match(shown.stdout, /public\.tasks +40 +all/, shown.stderr);
    const both = await runCli(["db:repair", "--backup", second, "--receipt", "x"], env);
    assert.equal(both.code, 2, both.stderr);
    const run = await runCli(["db:repair", "--backup", second, "--yes"], env);
    assert.equal(run.code, 0, run.stderr);
    const [counts] = await ask(crm.url, "SELECT count(*)::int AS tasks FROM tasks");
    assert.deepEqual(counts, { tasks: 690 });
    const found = await runCli(["db:assess", "--json"], env);
    assert.equal(found.code, 0, found.stderr);
    assert.equal(assessmentSchema.parse(JSON.parse(found.stdout)).verdict, "intact");
  });

  it("what a person accepted as lost is no damage any more, once a backup was taken since", async () => {
    await ask(crm.url, "DELETE FROM tasks WHERE id BETWEEN 60 AND 69");
    assert.equal((await look()).verdict, "damaged");
    const run = { runId: newRunId(), releaseVersion: "1", stack: "crm", receiptSha256: "0".repeat(64) };
    await recordEvent(crm.store, run, "accepted", "not needed", { person: "Ann" });
    assert.equal((await look()).verdict, "damaged", "nothing shows yet what was accepted");
    await crm.back(1);
    const assessment = await look();
    assert.equal(assessment.verdict, "intact");
    assert.match(assessment.notVerified.join("\n"), /what was lost before .*: a person accepted it then/);
    await ask(crm.url, "DELETE FROM tasks WHERE id BETWEEN 70 AND 71");
    assert.deepEqual(
      (await look()).tables.map(({ table, missing }) => [table, missing]),
      [["public.tasks", 2]],
    );
  });
});
