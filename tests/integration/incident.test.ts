/** Incidents: opened by hand, by a failed verification and by a failed drill; what is run is in their timeline; closed with a reason. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { listBackups, readManifest } from "../../scripts/backup/manifest";
import { registerSecret } from "../../scripts/contract/redaction";
import { readFreezes, setFreeze } from "../../scripts/control/freeze";
import { targetFromEnvironment } from "../../scripts/database/target";
import { factsOf } from "../../scripts/incident/incidentFacts";
import { beginInTimeline } from "../../scripts/record/commandTimeline";
import { recordDrill } from "../../scripts/record/drillRecords";
import {
  type IncidentIds,
  type IncidentOpening,
  chooseIncident,
  listIncidents,
  openIncident,
  readIncident,
  recordIncident,
} from "../../scripts/record/incident";
import { listOpenIncidents } from "../../scripts/record/openIncidents";
import { writeReceipt } from "../../scripts/record/receipt";
import { recordEvent } from "../../scripts/record/releaseEvents";
import { recordRestore } from "../../scripts/record/restoreEvents";
import { openPlatforms } from "../../scripts/release/rollbackTargets";
import { verifyPostDeploy } from "../../scripts/release/postDeploy";
import { renderReport } from "../../scripts/report/html/renderReport";
import { incidentMarkdown, incidentReport, renderIncident } from "../../scripts/report/incident";
import { operationSettingsSchema } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { type CliRun, runCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { ask } from "../servers/postgres";
import { receiptOf } from "../servers/receipts";
import { temporaryFolder } from "../servers/stores";

const ids: IncidentIds = {
  ...{ database: null, release: null, backup: "backup_20260101_000000" },
  deployments: { railway: "r-1", vercel: null },
};
const opening: IncidentOpening = {
  ...{ kind: "person" as const, title: "clients are gone", person: "Ada", receipt: null, impact: [], notVerified: [] },
  ...{ began: { notBefore: null, notAfter: null }, ids },
};

describe("an incident", function () {
  this.timeout(60_000);
  after(closeCrmClients);

  describe("by hand", () => {
    const address = freshStore();
    const store = openStore(address);
    const cli = (...words: string[]): Promise<CliRun> => runCli(words, { BACKUP_STORE: address });

    it("is opened, and what is run from then on is in its timeline: UTC, command, host, exit", async () => {
      await beginInTimeline(store, "deploy:freeze", () => assert.fail("without an incident nothing is kept"));
      const freeze = { kind: "manual", runId: null, person: "Ada", reason: "rows are gone", missingRows: {} } as const;
      await setFreeze(store, freeze);
      const opened = await cli("incident", "open", "--title", "rows are gone", "--person", "Ada", "--json");
      assert.equal(opened.code, 0, opened.stderr);
      const { id } = JSON.parse(opened.stdout);
      assert.deepEqual(await listIncidents(store, "open"), [id]);
      assert.equal((await cli("deploy:unfreeze", "--person", "Ada", "--reason", "x", "--yes")).code, 2);
      const { commands } = factsOf(await readIncident(store, id));
      const [run, ...more] = commands;
      assert.deepEqual(more, []);
      assert.equal(run?.command, "deploy:unfreeze --person Ada --reason x --yes");
      assert.deepEqual([run?.host, run?.exitCode], [hostname(), 2]);
      assert.match(run?.at ?? "", /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
      assert.ok((run?.seconds ?? -1) >= 0);
    });

    it("is closed with a reason and an answer to what prevents the next one; a freeze stays", async () => {
      const without = await cli("incident", "close", "--person", "Ada", "--prevention", "x");
      assert.match(without.stderr, /required option '--reason <text>' not specified/);
      const unanswered = await cli("incident", "close", "--person", "Ada", "--reason", "restored");
      assert.equal(unanswered.code, 2, unanswered.stderr);
      assert.match(unanswered.stderr, /neither --prevention nor --without-prevention[^]*What would have kept it/);
      const [html, markdown] = ["report.html", "report.md"].map((name) => join(temporaryFolder(), name));
      const shown = await cli("incident", "show", "--html", html!, "--markdown", markdown!);
      assert.equal(shown.code, 0, shown.stderr);
      assert.match(shown.stdout, /^OPEN: rows are gone[^]*deploy:unfreeze --person Ada.* 2 \(/);
      assert.match(readFileSync(html!, "utf8"), /What would have kept it from happening\?/);
      assert.match(readFileSync(markdown!, "utf8"), /## Prevention\n\n- What would have kept it/);
      const note = await cli("incident", "note", "all rows are back", "--person", "Ada", "--mitigated");
      assert.equal(note.code, 0, note.stderr);
      const closing = ["--person", "Ada", "--reason", "restored", "--prevention", "no DELETE without WHERE"];
      const closed = await cli("incident", "close", ...closing, "--json");
      assert.equal(closed.code, 0, closed.stderr);
      assert.match(closed.stderr, /releases are still frozen/);
      assert.equal((await readFreezes(store)).length, 1);
      const { facts, id } = JSON.parse(closed.stdout);
      assert.equal(facts.mitigated.by, "all rows are back");
      assert.deepEqual(await listIncidents(store, "open"), []);
      const since = ["--since", "2999-01-01T00:00Z"];
      const early = await cli("incident", "open", "--title", "x", "--person", "Ada", ...since);
      assert.equal(early.code, 2, early.stderr);
      assert.match(early.stderr, /--since: found 2999-01-01T00:00Z: expected a time that has passed/);
      const late = await cli("incident", "note", "late", "--person", "Ada", "--id", id);
      assert.equal(late.code, 1, late.stderr);
      assert.match(late.stderr, /was closed at .* by Ada/);
      const list = JSON.parse((await cli("incident", "list", "--json")).stdout);
      assert.deepEqual(
        list.incidents.map((one: { id: string; open: boolean }) => [one.id, one.open]),
        [[id, false]],
      );
      assert.equal((await cli("incident", "list", "--open")).stdout, "no incident\n");
    });
  });

  describe("by a verification that fails", () => {
    let store: Store;
    let url: string;
    const run = { runId: "20260101T000001Z-run", releaseVersion: "v1", stack: "crm/test" };
    const verify = () =>
      verifyPostDeploy({
        ...{ store, target: targetFromEnvironment("DATABASE_URL", { DATABASE_URL: url }) },
        addresses: { appUrl: undefined, frontendUrl: undefined },
        clients: openPlatforms({}, new AbortController().signal),
        ...{ signal: new AbortController().signal, onProgress: () => undefined },
      });

    before(async () => {
      const crm = await freshCrm(50);
      url = crm.url;
      const address = freshStore();
      store = openStore(address);
      const taken = await runCli(["db:backup", "--depth", "1"], { DATABASE_URL: url, BACKUP_STORE: address });
      assert.equal(taken.code, 0, taken.stderr);
      const reference = (await listBackups(store)).at(-1)!;
      const { database, snapshot } = await readManifest(store, reference);
      const receipt = receiptOf({
        ...{ ...run, database, settings: operationSettingsSchema.parse({ checks: "none" }) },
        backup: { ...reference, depth: 4, restoreSeconds: 1, rpoSeconds: null },
        recoveryPoint: { lsn: snapshot.lsn, utc: snapshot.takenAt },
        rollback: {
          railway: { deploymentId: "r-1", status: "SUCCESS", createdAt: "2026-01-01T00:00:00Z", possible: true },
          vercel: null,
        },
      });
      const receiptSha256 = await writeReceipt(store, receipt);
      await recordEvent(store, { ...run, receiptSha256 }, "gate-passed", "");
    });

    it("is opened once, with the impact by table and the ids of before; again only after it was closed", async () => {
      await ask(url, "DELETE FROM tasks WHERE id <= 7");
      assert.equal((await verify()).verdict, "fail");
      const [id, ...others] = await listIncidents(store, "open");
      assert.deepEqual([id, others], [`${run.runId}-verification`, []]);
      const incident = await readIncident(store, id!);
      assert.equal(incident.kind, "verification");
      const { impact, idsBefore, detect, notVerified } = factsOf(incident);
      assert.deepEqual(impact, [
        {
          ...{ table: "public.tasks", rowsBefore: 150, rowsNow: 143 },
          ...{ missing: 7, changed: 0, damaged: 0, exact: true, why: impact[0]?.why ?? null },
        },
      ]);
      assert.equal(idsBefore?.deployments.railway, "r-1");
      assert.equal(idsBefore?.release?.runId, run.runId);
      assert.ok(detect.atLeast !== null && detect.atMost! >= detect.atLeast);
      assert.match(notVerified.join(), /no verification that passed is recorded/);
      assert.doesNotMatch(JSON.stringify(incident), /Call 1/, "no row's content");

      assert.equal((await verify()).verdict, "fail");
      assert.equal((await listIncidents(store, "all")).length, 1);
      await recordIncident(store, id!, {
        ...{ event: "closed", person: "Ada", reason: "accepted", prevention: [], noPrevention: "a test", ids },
      });
      assert.equal((await verify()).verdict, "fail");
      assert.deepEqual(await listIncidents(store, "open"), [`${run.runId}-verification-2`]);
    });

    it("a verification that passes is what mitigates it", async () => {
      const [id] = await listIncidents(store, "open");
      const entry = await beginInTimeline(store, "db:verify:post-deploy --json", () => undefined);
      await entry.end(1);
      assert.equal(factsOf(await readIncident(store, id!)).mitigated, null);
      const again = await beginInTimeline(store, "db:verify:post-deploy --json", () => undefined);
      await again.end(0);
      assert.equal(factsOf(await readIncident(store, id!)).mitigated?.by, "db:verify:post-deploy passed");
    });
  });

  it("by a drill that failed: noted in, and over when a person closes it or a later drill passes", async () => {
    const store = new FileStore(temporaryFolder());
    const location = {
      ...{ store: store.url, verdict: "failed" as const, backup: null, depth: null, rpoSeconds: null },
      ...{
        rtoSeconds: null,
        tables: null,
        rows: null,
        dataChecks: null,
        elsewhere: [],
        problem: "data-000 is damaged",
      },
    };
    const at = "2026-01-01T00:00:00Z";
    const drill = { schemaVersion: 1 as const, verdict: "failed" as const, locations: [location], startedAt: at, at };
    await recordDrill([store], { ...drill, runId: "20260101T000000Z-a" });
    await recordDrill([store], { ...drill, runId: "20260101T000000Z-b" });
    await recordIncident(store, "20260101T000000Z-a", { event: "noted", person: "Ada", text: "looked at" });
    const open = async (): Promise<string[]> => (await listOpenIncidents(store, [])).map(({ id }) => id);
    assert.deepEqual(await open(), ["20260101T000000Z-a", "20260101T000000Z-b"]);
    assert.match((await readIncident(store, "20260101T000000Z-a")).title, /drill failed: .*data-000 is damaged/);
    assert.deepEqual(await listIncidents(store, "open"), [], "what is run meanwhile is no answer to a drill");
    await recordIncident(store, "20260101T000000Z-a", {
      ...{ event: "closed", person: "Ada", reason: "bit rot", prevention: ["a second disk"], noPrevention: null, ids },
    });
    assert.deepEqual(await open(), ["20260101T000000Z-b"]);
    const passed = { ...location, verdict: "passed" as const, problem: null };
    const later = { ...drill, runId: "later", at: "2026-01-02T00:00:00Z", locations: [passed] };
    assert.deepEqual(await listOpenIncidents(store, [{ ...later, verdict: "passed" }]), []);
  });

  describe("as a record", () => {
    let store: FileStore;
    let folder: string;
    beforeEach(() => (store = new FileStore((folder = temporaryFolder()))));

    it("keeps restores and rollbacks apart from incidents", async () => {
      const database = { host: "h", port: 5432, database: "crm", systemIdentifier: "1", serverVersion: 170_000 };
      await recordRestore(store, {
        ...{ event: "restore-started", runId: "20260101T000000Z-r", mode: "swap", database, databaseBytes: 1 },
        ...{
          backup: { tier: "manual", name: "backup_20260101_000000" },
          safetyBackup: null,
          aside: null,
          seconds: null,
        },
      });
      assert.deepEqual(await listIncidents(store, "all"), []);
      await assert.rejects(readIncident(store, "20260101T000000Z-r"), /holds no incident 20260101T000000Z-r/);
      await openIncident(store, opening);
      assert.deepEqual(
        (await listOpenIncidents(store, [])).map(({ kind }) => kind),
        ["incident", "restore"],
      );
    });

    it("of several open ones needs a name, and of none says so", async () => {
      await assert.rejects(chooseIncident(store, undefined), /no incident is open/);
      const first = await openIncident(store, opening);
      assert.equal((await chooseIncident(store, undefined)).id, first);
      await openIncident(store, opening);
      await assert.rejects(chooseIncident(store, undefined), /2 incidents are open: /);
    });

    it("never holds a secret, and a store that is gone stops nothing", async () => {
      registerSecret("s3cr3t-in-a-note");
      const id = await openIncident(store, { ...opening, title: 'it said "s3cr3t-in-a-note"' });
      await recordIncident(store, id, { event: "noted", person: null, text: "postgres://a:hunter22@h/db" });
      const said = JSON.stringify(await readIncident(store, id));
      assert.doesNotMatch(said, /s3cr3t-in-a-note|hunter22/);
      const lines: string[] = [];
      const entry = await beginInTimeline(store, "db:repair", (line) => lines.push(line));
      store.create = () => Promise.reject(new Error("the store is gone"));
      await entry.end(0);
      assert.match(lines.join(), /db:repair is not in the incident's timeline: the store is gone/);
      assert.ok(folder !== "");
    });

    it("of which a command was killed says that it did not end", async () => {
      const id = await openIncident(store, opening);
      await beginInTimeline(store, "db:emergency-restore --yes", () => undefined);
      assert.match(
        renderIncident(await readIncident(store, id)),
        /emergency-restore --yes +did not end, or was killed/,
      );
    });

    it("makes a blameless report: no person, no markup of what people wrote", async () => {
      const id = await openIncident(store, { ...opening, person: "Ada Lovelace", title: "rows <b>gone</b> | *all*" });
      await recordIncident(store, id, { event: "noted", person: "Grace Hopper", text: "looking" });
      for (const person of ["Ada", "'Grace O'\\''Hopper'"]) {
        const command = `deploy:unfreeze --person ${person} --reason 'all is back' --yes`;
        await recordIncident(store, id, { event: "command-started", person: null, run: person, command });
      }
      const impact = { table: "public.tasks", rowsBefore: 150, rowsNow: null, missing: 150, changed: 0, damaged: 0 };
      await recordIncident(store, id, {
        ...{ event: "assessed", person: null, text: "restore", notVerified: ["public.notes: compared by keys only"] },
        ...{
          impact: [{ ...impact, exact: false, why: "the table is gone" }],
          began: { notBefore: "2026-01-01T00:00:00Z", notAfter: null },
        },
      });
      await recordIncident(store, id, {
        ...{ event: "closed", person: "Grace Hopper", reason: "restored", prevention: ["least privilege"] },
        ...{ noPrevention: null, ids: { ...ids, backup: "backup_20260202_000000" } },
      });
      const incident = await readIncident(store, id);
      const [markdown, html] = [incidentMarkdown(incident), renderReport(incidentReport(incident))];
      for (const report of [markdown, html]) {
        assert.doesNotMatch(report, /Ada|Grace|Hopper/);
        assert.match(report, /deploy:unfreeze --person &lt;a person&gt; --reason .{0,10}all is back.{0,10} --yes/);
        for (const text of ["150", "gone", "at least 150", "backup_20260101_000000", "backup_20260202_000000"])
          assert.ok(report.includes(text), text);
        for (const text of ["least privilege", "names no person", "at most", "no verification that passed"])
          assert.ok(report.includes(text), text);
        assert.ok(!report.includes("<b>gone"), "escaped");
      }
      assert.match(markdown, /^# rows &lt;b&gt;gone&lt;\/b&gt; \\\| \\\*all\\\*$/m);
    });
  });
});
