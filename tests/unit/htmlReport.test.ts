/** The HTML report: everything that it is given is there, escaped, in one file that needs nothing from outside. */
import assert from "node:assert/strict";
import type { ReportDocument } from "../../scripts/report/html/document";
import { duration, renderReport } from "../../scripts/report/html/renderReport";

const document: ReportDocument = {
  title: "Rehearsal",
  startedAt: "2026-11-22T17:02:12.000Z",
  seconds: 41.2,
  verdict: { tone: "bad", word: "failed", sentence: "1 of 2 scenes ended differently." },
  facts: [{ name: "Database", value: "crm" }],
  timeline: [
    { label: "The world", from: 0, seconds: 10.3, tone: "neutral" },
    { label: "up", from: 10.3, seconds: 30.9, tone: "good", within: true },
  ],
  steps: [
    {
      number: 1,
      name: "A good release",
      summary: "Adds a <table>",
      tone: "bad",
      word: "differs",
      seconds: 0.25,
      expected: "released",
      actual: "halted & frozen",
      evidence: [{ claim: "deploy calls", found: "0", tone: "bad" }],
      log: ["<script>alert(1)</script>"],
    },
  ],
  tables: [
    {
      caption: "Rows before and after",
      columns: [{ name: "table" }, { name: "rows", numeric: true }],
      rows: [["clients", { text: "29,934", tone: "bad" }]],
    },
  ],
};

describe("the HTML report", () => {
  const html = renderReport(document);

  it("shows verdict, facts, steps, evidence and tables", () => {
    assert.match(html, /<title>Rehearsal: failed<\/title>/);
    for (const text of ["2026-11-22 17:02:12 UTC", "41.2 s", "crm", "250 ms", "deploy calls", "29,934"]) {
      assert.ok(html.includes(text), text);
    }
    assert.match(html, /<td class="number bad">29,934<\/td>/);
  });

  it("escapes what it is given", () => {
    assert.ok(html.includes("halted &amp; frozen"));
    assert.ok(html.includes("Adds a &lt;table&gt;"));
    assert.ok(!html.includes("<script"));
  });

  it("draws the timeline to scale", () => {
    assert.match(html, /left:0\.00%;width:25\.00%/);
    assert.match(html, /left:25\.00%;width:75\.00%/);
  });

  it("fetches nothing: no address outside the file", () => {
    assert.ok(!/(?:src|href)=|url\(|@import|https?:/.test(html));
  });

  it("says that evidence does not hold in words too", () => {
    assert.match(html, /does not hold: <\/span>deploy calls/);
  });
});

describe("duration", () => {
  for (const [seconds, text] of [
    [0.0421, "42 ms"],
    [12.34, "12.3 s"],
    [245, "4 min 05 s"],
    [119.7, "2 min 00 s"],
  ] as const) {
    it(`${seconds} is ${text}`, () => assert.equal(duration(seconds), text));
  }
});
