/** The strategy's checklists: its words, proven by what is recorded of a release, ticked by a person only where nothing is. */
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { type Questions, askForOpenItems } from "../../scripts/commands/checklist";
import { setFreeze } from "../../scripts/control/freeze";
import { type Receipt, writeReceipt } from "../../scripts/record/receipt";
import { recordEvent } from "../../scripts/record/releaseEvents";
import { readNotes, recordNote } from "../../scripts/record/releaseNotes";
import { type CheckedList, checkList, readReleaseFacts } from "../../scripts/release/checklist";
import { type ChecklistName, checklistNames, checklists } from "../../scripts/release/checklists";
import { encodeDocument } from "../../scripts/store/documents";
import { FileStore } from "../../scripts/store/fileStore";
import { backupPrefix, manifestKey, verificationKey } from "../../scripts/store/layout";
import { receiptOf } from "../servers/receipts";
import { type CliRun, runCli } from "../servers/cli";
import { temporaryFolder } from "../servers/stores";

const runId = "20260101T000000Z-run";
const database = { host: "h", port: 5432, database: "crm", systemIdentifier: "1", serverVersion: 170_000 };
const gateSteps = ["environment", "data-checks", "rollback-target", "backup", "verification"];
const target = { deploymentId: "dep-1", status: "SUCCESS", createdAt: "2026-01-01T00:00:00Z", possible: true };

type StepOutcome = Receipt["steps"][number]["outcome"];

describe("checklist", () => {
  let store: FileStore;
  let folder: string;

  beforeEach(() => {
    folder = temporaryFolder();
    store = new FileStore(folder);
  });

  const cli = (...words: string[]): Promise<CliRun> =>
    runCli(["checklist", ...words], { BACKUP_STORE: pathToFileURL(folder).href });
  const check = async (list: ChecklistName): Promise<CheckedList> =>
    checkList(store, list, await readReleaseFacts(store, list));
  const statesOf = ({ items }: CheckedList): Record<string, string> =>
    Object.fromEntries(items.map(({ id, state }) => [id, state]));

  const run = { runId, releaseVersion: "v1", stack: "crm/test", receiptSha256: "" };
  const event = (name: string, detail = "", person?: string): Promise<void> =>
    recordEvent(store, run, name, detail, person === undefined ? {} : { person });

  /** What a gate leaves when it passed. */
  async function gate(over: { outcomes?: Record<string, StepOutcome>; rollbackTarget?: typeof target | null } = {}) {
    const receipt = receiptOf({
      ...{ runId, database },
      rollback: { railway: over.rollbackTarget === undefined ? target : over.rollbackTarget, vercel: null },
      steps: gateSteps.map((step) => ({
        ...{ step, outcome: over.outcomes?.[step] ?? "pass", seconds: 1, summary: `${step} done` },
        evidence:
          over.outcomes?.[step] === "overridden" ? ["OVERRIDE data-checks by Ada until 2027-01-01: agreed"] : [],
      })),
      settings: {
        railway: { command: "railway up --ci" },
        retention: { predeploy: { newest: 1, days: 1 }, daily: { newest: 1, days: 1 }, floor: 1 },
      },
    });
    run.receiptSha256 = await writeReceipt(store, receipt);
    await event("gate-passed");
  }

  async function release(): Promise<void> {
    await event("railway-started");
    await event("railway-live");
    await event("verified", "300 of 300 rows of the snapshot are there in 3 tables");
    await recordNote(store, runId, { kind: "endpoints", ok: true, detail: "4 of 4 health checks answered" });
    await recordNote(store, runId, { kind: "workflows", ok: true, detail: "the integration tests passed" });
  }

  it("has every item of the strategy's five lists in its words", () => {
    const words = checklistNames.map((name) => checklists[name].items.map((item) => item.words));
    assert.deepEqual(words, [
      [
        "Create full database backup",
        "Verify backup integrity",
        "Test environment variables",
        "Run data validation scripts",
        "Document current data state",
        "Prepare rollback plan",
      ],
      [
        "Create database backup",
        "Verify backup integrity",
        "Test environment variables",
        "Run data validation scripts",
        "Prepare rollback plan",
        "Notify team of deployment",
      ],
      [
        "Monitor deployment logs",
        "Watch for errors",
        "Verify database connectivity",
        "Test critical endpoints",
        "Monitor application health",
      ],
      [
        "Verify all data is intact",
        "Test user workflows",
        "Monitor error rates",
        "Update documentation",
        "Clean up old backups",
        "Document any issues",
      ],
      [
        "All data is preserved (record counts match)",
        "Application is accessible",
        "Database connections work",
        "Critical functionality tested",
        "No error spikes in logs",
        "Backup created and verified",
      ],
    ]);
  });

  it("before a deployment: open without a gate, complete after it, open again once its release was verified", async () => {
    assert.deepEqual(new Set(Object.values(statesOf(await check("quick")))), new Set(["open"]));
    await gate();
    const quick = await check("quick");
    assert.deepEqual(new Set(Object.values(statesOf(quick))), new Set(["proven"]));
    assert.equal(quick.verdict, "complete");
    await release();
    const next = await check("quick");
    assert.equal(next.release, null);
    assert.match(next.obstacles.join(), /no gate has passed since/);
    const asked = await checkList(store, "quick", await readReleaseFacts(store, "quick", runId));
    assert.equal(asked.verdict, "complete", "the receipt that was asked for");
  });

  it("a step that was skipped or halted proves nothing, an override is named, a lacking rollback target leaves no plan", async () => {
    await gate({
      outcomes: { environment: "halt", "data-checks": "overridden", verification: "skipped" },
      rollbackTarget: null,
    });
    const { items } = await check("pre");
    const { environment, validation, integrity, backup } = statesOf(await check("pre"));
    assert.deepEqual([environment, validation, integrity, backup], ["failed", "proven", "open", "proven"]);
    assert.match(items.find(({ id }) => id === "validation")!.detail, /OVERRIDE data-checks by Ada/);
    assert.equal(statesOf(await check("quick"))["rollback-plan"], "open");
  });

  it("after a deployment only what was seen since it went live counts", async () => {
    await gate();
    await recordNote(store, runId, { kind: "endpoints", ok: true, detail: "of before" });
    await event("railway-started");
    assert.equal(statesOf(await check("during"))["logs"], "open");
    await event("railway-live");
    const { logs, endpoints, connectivity } = statesOf(await check("during"));
    assert.deepEqual([logs, endpoints, connectivity], ["proven", "open", "open"]);
    await event("verification-failed", "public.clients: 3 rows missing");
    const failed = await check("success");
    assert.deepEqual([statesOf(failed)["data"], statesOf(failed)["connections"]], ["failed", "proven"]);
    await event("accepted", "lost for good", "Ada");
    const accepted = (await check("success")).items.find(({ id }) => id === "data")!;
    assert.equal(accepted.state, "open", "accepted is not preserved");
    assert.match(accepted.detail, /accepted as lost by Ada/);
  });

  it("a freeze and a rollback keep a list open whatever is ticked", async () => {
    await gate();
    await release();
    for (const item of ["success/error-spikes"])
      await recordNote(store, runId, { kind: "ticked", ok: true, item, person: "Ada", detail: "" });
    assert.equal((await check("success")).verdict, "complete");
    await event("railway-rolled-back");
    const undone = await check("success");
    assert.equal(undone.verdict, "open");
    assert.match(undone.obstacles.join(), /rolled back: railway/);
    await setFreeze(store, { kind: "manual", runId: null, reason: "incident 42", person: "Ada", missingRows: {} });
    assert.match((await check("pre")).obstacles.join(), /frozen since .*incident 42/);
  });

  it("what is recorded later counts more than a tick", async () => {
    await gate();
    const tick = { kind: "ticked", ok: true, item: "success/accessible", person: "Ada", detail: "" } as const;
    await recordNote(store, runId, tick);
    assert.equal(statesOf(await check("success"))["accessible"], "ticked");
    await recordNote(store, runId, { kind: "endpoints", ok: false, detail: "3 of 4 health checks answered" });
    assert.equal(statesOf(await check("success"))["accessible"], "failed");
  });

  it("on the command line: open items exit 1, ticks are recorded with name and time, success is recorded once", async () => {
    await gate();
    await release();
    const open = await cli("success");
    assert.equal(open.code, 1, open.stderr);
    assert.match(open.stdout, /\[ \] No error spikes in logs/);
    assert.match(open.stdout, /\[x\] All data is preserved/);
    assert.match(open.stdout, /status\.supabase\.com/);
    const ticked = await cli("success", "--tick", "no error spikes in logs", "--by", "Ada Example", "--json");
    assert.equal(ticked.code, 0, ticked.stderr);
    const { verdict, items } = JSON.parse(ticked.stdout) as CheckedList;
    assert.equal(verdict, "complete");
    assert.match(items.find(({ id }) => id === "error-spikes")!.detail, /^by Ada Example at 20/);
    assert.equal((await cli("success")).code, 0);
    const notes = await readNotes(store, runId);
    assert.deepEqual(
      notes.slice(2).map(({ kind, person }) => [kind, person]),
      [
        ["ticked", "Ada Example"],
        ["succeeded", null],
      ],
    );
  });

  describe("asks for what nothing proves", () => {
    const cancelled = Symbol("cancelled");

    /** A person who gives these answers, one after the other. */
    function answering(...answers: (boolean | string | symbol)[]): { questions: Questions; asked: string[] } {
      const asked: string[] = [];
      const next = ({ message }: { message: string }): Promise<boolean | string | symbol> => {
        asked.push(message);
        return Promise.resolve(answers.shift() ?? cancelled);
      };
      const questions = {
        confirm: next,
        text: async (options: { message: string; validate?: (text: string) => unknown }) => {
          assert.equal(options.validate?.("  "), "expected a name");
          return next(options);
        },
        isCancel: (answer: unknown) => answer === cancelled,
      } as unknown as Questions;
      return { questions, asked };
    }

    it("one question each, and the name of who vouches for what was confirmed", async () => {
      await gate();
      await release();
      const open = (await check("during")).items.filter(({ state }) => state === "open").map(({ words }) => words);
      assert.ok(open.length >= 2, "this list has two items that nothing proves");
      const { questions, asked } = answering(true, ...open.slice(1).map(() => false), " Ada Example ");
      assert.equal(await askForOpenItems(store, await check("during"), questions), true);
      assert.deepEqual(
        asked.map((message) => message.replace(/\? \(.*$/s, "")),
        [...open, "Your name, for the record"],
      );
      const notes = (await readNotes(store, runId)).filter(({ kind }) => kind === "ticked");
      assert.deepEqual(
        notes.map(({ person }) => person),
        ["Ada Example"],
      );
    });

    it("whoever leaves, says no to all or gives no name ticks nothing", async () => {
      await gate();
      await release();
      const before = await readNotes(store, runId);
      const open = (await check("during")).items.filter(({ state }) => state === "open");
      for (const answers of [[], open.map(() => false), [true, ...open.slice(1).map(() => false), cancelled]]) {
        assert.equal(await askForOpenItems(store, await check("during"), answering(...answers).questions), false);
      }
      assert.deepEqual(await readNotes(store, runId), before);
    });
  });

  it("nobody ticks what does not exist, what the records contradict, without a name, or for no release", async () => {
    assert.equal((await cli("pre", "--tick", "team", "--by", "Ada")).code, 2);
    await gate();
    await event("railway-live");
    await event("verification-failed", "public.clients: 3 rows missing");
    const contradicted = await cli("success", "--tick", "error-spikes", "data", "--by", "Ada");
    assert.equal(contradicted.code, 1);
    assert.match(contradicted.stderr, /the records say otherwise[\s\S]*3 rows missing/);
    const unknown = await cli("success", "--tick", "lunch", "--by", "Ada");
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /found "lunch": expected an item of the list success/);
    assert.equal((await cli("success", "--tick", "error-spikes")).code, 2);
    assert.deepEqual(await readNotes(store, runId), [], "nothing was ticked");
  });

  it("post cleans up: only after intact data, only when told, once", async () => {
    await gate();
    const daysAgo = (days: number): string => {
      const time = new Date(Date.now() - 60_000 - days * 86_400_000).toISOString();
      return `backup_${time.slice(0, 19).replace(/[-:]/g, "").replace("T", "_")}`;
    };
    const names = [90, 60, 0].map(daysAgo);
    const at = new Date().toISOString();
    for (const name of names) {
      await store.create(`${backupPrefix("daily", name)}data-000.dump.zst`, Buffer.from("archive"));
      const manifest = {
        ...{ schemaVersion: 1, name, tier: "daily", runId: "r", database, databaseBytes: 1 },
        ...{ encoding: "UTF8", collate: "C", ctype: "C", clientVersion: "17", roles: [], extensions: [] },
        snapshot: { id: "1", visibility: "1:1:", lsn: "0/1", takenAt: at },
        tables: [{ schema: "public", name: "t", rows: 7, checksum: "1", coverage: "content" }],
        archives: [],
        fingerprint: { file: "fingerprint.ndjson.zst", bytes: 1, sha256: "00" },
        ...{ startedAt: at, finishedAt: at },
      };
      await store.create(manifestKey("daily", name), encodeDocument(manifest));
      await store.create(verificationKey(name, "20260101T000000Z-r", 4), encodeDocument({}));
    }
    const left = async (): Promise<number> =>
      (await store.list("backups/")).filter(({ key }) => /json$/.test(key)).length;
    assert.equal((await cli("post", "--yes")).code, 1);
    assert.equal(await left(), 3, "the data was not found intact yet");
    await release();
    assert.match((await cli("post")).stderr, /not done: --yes deletes 2 of 3/);
    assert.equal(await left(), 3);
    const done = await cli("post", "--yes", "--tick", "error-rates", "documentation", "issues", "--by", "Ada");
    assert.equal(done.code, 0, done.stderr + done.stdout);
    assert.match(done.stdout, /\[x\] Clean up old backups: 2 old backups let go/);
    assert.equal(await left(), 1);
    assert.equal((await cli("post")).code, 0, "done once is done");
  });
});
