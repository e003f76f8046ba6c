/** The figures of docs/benchmarks.md that stand beside others': kept together only where they belong together, all told and drawn. */
import assert from "node:assert/strict";
import { drawBarChart } from "../../docs/generate/barChart";
import {
  type MeasuredContender,
  type MeasuredGroup,
  type SideBySide,
  sideBySideCharts,
  sideBySideParts,
  tableOf,
  withMeasured,
} from "../../docs/generate/sideBySide";

const contender = (name: string, seconds: number[], more: Partial<MeasuredContender> = {}): MeasuredContender => ({
  ...{ name, ours: true, against: null, seconds, cpuSeconds: [1], peakMegabytes: [90, 100], megabytes: null },
  ...more,
});
const group = (...contenders: MeasuredContender[]): MeasuredGroup => ({
  ...{ machine: { cores: 2, cpu: "a", memoryBytes: 2 ** 30 }, postgres: "17.10", node: "v24.0.0" },
  ...{ heapMegabytes: 1911, on: "2026-01-01", contenders },
});
const nothing: SideBySide = { schemaVersion: 1, groups: {} };

describe("ours beside others", () => {
  it("what is measured again replaces the former figure in its place; the other group stays", () => {
    const former = withMeasured(
      withMeasured(nothing, "backup", group(contender("a", [1]), contender("b", [2]))),
      "after a release",
      group(contender("c", [3])),
    );
    const now = withMeasured(former, "backup", group(contender("a", [4, 5]), contender("d", [6])));
    const names = now.groups.backup?.contenders.map(({ name, seconds }) => [name, seconds]);
    assert.deepEqual(names, [
      ["a", [4, 5]],
      ["b", [2]],
      ["d", [6]],
    ]);
    assert.deepEqual(now.groups["after a release"], former.groups["after a release"]);
  });

  it("figures of another machine, server, Node.js or size do not stand beside each other", () => {
    const former = withMeasured(nothing, "backup", group(contender("a", [1])));
    const measured = group(contender("b", [2]));
    for (const other of [
      { ...measured, machine: { ...measured.machine, cores: 16 } },
      { ...measured, postgres: "18.1" },
      { ...measured, node: "v26.0.0" },
      { ...measured, heapMegabytes: 466 },
    ])
      assert.deepEqual(withMeasured(former, "backup", other).groups.backup, other);
  });

  it("the table has median, range and ratio", () => {
    const table = tableOf(
      group(
        contender("ours", [3, 1, 2], { against: "theirs", megabytes: 1234 }),
        contender("theirs", [4], { ours: false }),
      ),
    );
    assert.match(table, /\| ours \| 2\.0 \| 1\.0 to 3\.0 \| 0\.50 times theirs \| 1\.0 \| 100 \| 1,234 \|/);
    assert.match(table, /\| theirs \| 4\.0 \| 4\.0 to 4\.0 \| {2}\| 1\.0 \| 100 \| {2}\|/);
  });

  it("each group has its part and its chart, with a bar of its length for each", () => {
    const measured = withMeasured(nothing, "backup", group(contender("a < b", [40]), contender("c", [70, 80, 90])));
    assert.deepEqual([...sideBySideParts(measured).keys()], ["side by side backup"]);
    const part = sideBySideParts(measured).get("side by side backup")!();
    assert.match(part, /^2 cores \(a\), 1 GiB, PostgreSQL 17\.10, .* 1,911 MB of heap, medians of 1 to 3 alternating/);
    const [[file, svg]] = [...sideBySideCharts(measured)] as [[string, string]];
    assert.ok(part.includes(`(${file})`));
    const widths = [...svg.matchAll(/<rect class="first" [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width));
    assert.ok(Math.abs(widths[1]! - 2 * widths[0]!) < 0.3, widths.join());
    assert.ok(svg.includes("<title>a &lt; b: 40</title>"));
    assert.equal(svg.match(/class="range"/g)?.length, 1, "one has runs that lay apart");
  });

  it("a bar of others has the second colour", () => {
    const bars = [{ name: "theirs", value: 1, range: [1, 1] as const, kind: 1 as const }];
    const svg = drawBarChart({ title: "t", axis: "seconds", kinds: ["ours", "others"], bars });
    assert.match(svg, /<rect class="second"/);
  });
});
