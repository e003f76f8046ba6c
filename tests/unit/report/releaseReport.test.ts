/** The report of a release: every part of the records is in it, a loss stands out, and nothing of it is markup. */
import assert from "node:assert/strict";
import { releaseReport } from "../../../scripts/report/releaseReport";
import { renderReport } from "../../../scripts/report/html/renderReport";
import type { ReleaseFacts } from "../../../scripts/release/checklistEvidence";
import { damagedRelease } from "../../servers/releaseFacts";

const store = { url: "s3://backups/crm", pageOf: (key: string) => `https://console.example.com/${key}` };
const reportOf = (facts: ReleaseFacts) => releaseReport({ facts, lists: [], store });

describe("the report of a release", () => {
  const report = reportOf(damagedRelease);
  const html = renderReport(report);

  it("says what the verification found, and that releases are frozen", () => {
    assert.deepEqual([report.verdict.tone, report.verdict.word], ["bad", "Damage found"]);
    assert.match(report.verdict.sentence, /frozen: public\.tasks: 1,204 rows are missing/);
  });

  it("draws the gate from its first step on, each release step from start to end, the watch and the verdict", () => {
    const spans = Object.fromEntries(report.timeline.map(({ label, from, seconds }) => [label, [from, seconds]]));
    assert.equal(report.startedAt, "2026-01-03T10:00:00.000Z");
    assert.deepEqual(spans["gate"], [0, 40]);
    assert.deepEqual(spans["backup"], [10, 20]);
    assert.deepEqual(spans["railway: live"], [60, 50]);
    assert.deepEqual(spans["watched"], [144, 118]);
    assert.deepEqual(spans["verification-failed"], [275, 0]);
    assert.equal(report.seconds, 275);
  });

  it("has the rows before and after, the table that fails first", () => {
    const rows = report.tables.find(({ caption }) => caption.startsWith("Rows of each table"))?.rows ?? [];
    assert.deepEqual(
      rows.map(([name]) => name),
      ["public.tasks", "public.chat_messages", "public.clients"],
    );
    assert.deepEqual(rows[0]?.slice(1, 4), ["60,000", "58,796", { text: "1,204", tone: "bad" }]);
  });

  it("has definitions, migrations with judge and trial, locks, and links to backup and receipt", () => {
    for (const text of ["clients_id_seq fell", "drop-column: destroys data", "ran in 12 ms", "AccessExclusiveLock"])
      assert.ok(html.includes(text), text);
    assert.match(html, /href="https:\/\/console\.example\.com\/receipts\/20260103T100000Z-r1\.json"/);
    assert.match(
      html,
      /href="https:\/\/console\.example\.com\/backups\/predeploy\/backup_20260101_000000\/manifest\.json"/,
    );
  });

  it("draws the latency beside what was usual, broken where requests failed, and says it in words", () => {
    assert.match(
      html,
      /aria-label="https:\/\/crm\.example\.com\/api\/health: from 20 to 98 ms usual 24 ms 1 places with failures"/,
    );
    assert.equal(html.match(/class="failed"/g)?.length, 1);
    assert.equal(/class="line" d="([^"]*)"/.exec(html)?.[1]?.match(/M/g)?.length, 2);
  });

  it("escapes what the records hold", () => assert.ok(!html.includes("<script")));

  const endings: readonly [string, string, RegExp][] = [
    ["verified", "Verified", /No row of before the release is gone/],
    ["accepted", "Accepted", /accepted what the verification found/],
    ["repaired", "Repaired", /has not passed since/],
    ["railway-failed", "Failed", /railway failed/],
    ["railway-live", "Open", /Not verified yet/],
  ];
  for (const [event, word, sentence] of endings) {
    it(`${event} as the last event: ${word}`, () => {
      const last = { ...damagedRelease.events[0]!, event };
      const { verdict } = reportOf({ ...damagedRelease, events: [...damagedRelease.events, last] });
      assert.equal(verdict.word, word);
      assert.match(verdict.sentence, sentence);
    });
  }

  it("a verified release that was rolled back since is not simply good", () => {
    const events = ["verified", "railway-rolled-back"].map((event) => ({ ...damagedRelease.events[0]!, event }));
    const { verdict } = reportOf({ ...damagedRelease, events: [...damagedRelease.events, ...events] });
    assert.equal(verdict.tone, "neutral");
    assert.match(verdict.sentence, /Rolled back: railway\./);
  });

  it("a receipt without events: nothing was released", () => {
    assert.equal(reportOf({ ...damagedRelease, events: [], notes: [] }).verdict.word, "Gate passed");
  });
});
