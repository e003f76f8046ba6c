/** The growth of docs/benchmarks.md: what was measured is kept together only where it belongs together, and the charts show those figures. */
import assert from "node:assert/strict";
import { type Growth, type Grown, growthCharts, growthParts, withMeasured } from "../../docs/generate/growth";
import { drawLineCharts } from "../../docs/generate/lineCharts";

const grown = (size: number, seconds: number): Grown => {
  const cost = { seconds, cpuSeconds: 1, peakMegabytes: 100, requests: 10 };
  return { size, on: "2026-01-01", backup: cost, restore: { ...cost, seconds: seconds * 2 } };
};

const growth = (bySize: Grown[], byTables: Grown[] = []): Growth => ({
  ...{ schemaVersion: 1, machine: { cores: 2, cpu: "a", memoryBytes: 2 ** 30 }, postgres: "17.10", node: "v24.0.0" },
  ...{ bySize, byTables },
});

/** Of each line its points, as `x,y`. */
const pointsOf = (svg: string): number[][][] =>
  [...svg.matchAll(/<polyline [^>]*points="([^"]*)"/g)].map(([, points = ""]) =>
    points.split(" ").map((point) => point.split(",").map(Number)),
  );

describe("the growth of backup and restore", () => {
  it("a size that is measured again replaces the former figure, others stay, in order", () => {
    const former = growth([grown(100, 1), grown(500, 5)], [grown(10, 1)]);
    const now = withMeasured(former, growth([grown(500, 6), grown(200, 2)]));
    assert.deepEqual(now.bySize, [grown(100, 1), grown(200, 2), grown(500, 6)]);
    assert.deepEqual(now.byTables, [grown(10, 1)]);
    assert.deepEqual(withMeasured(undefined, former), former);
  });

  it("figures of another machine, server or Node.js do not stand beside each other", () => {
    const former = growth([grown(100, 1)], [grown(10, 1)]);
    const now = growth([grown(500, 5)]);
    for (const other of [
      { ...now, machine: { ...now.machine, cores: 16 } },
      { ...now, postgres: "18.1" },
      { ...now, node: "v26.0.0" },
    ])
      assert.deepEqual(withMeasured(former, other), other);
  });

  it("tables and charts hold every figure", () => {
    const measured = growth([grown(100, 1), grown(1000, 4)], [grown(10, 1), grown(20_000, 9)]);
    const parts = growthParts(measured);
    assert.match(parts.get("growth by size")!(), /\| 1,000 \| 4\.0 \| 1\.0 \| 100 \| 10 \| 8\.0 \|/);
    assert.match(parts.get("growth measured")!(), /^2 cores \(a\), 1 GiB, PostgreSQL 17\.10.*2026-01-01:$/);
    const charts = growthCharts(measured);
    for (const [how, sizes] of [
      ["size", ["100", "1,000"]],
      ["tables", ["10", "20,000"]],
    ] as const) {
      const svg = charts.get(`images/growth-by-${how}.svg`)!;
      assert.ok(parts.get(`growth by ${how}`)!().includes(`(images/growth-by-${how}.svg)`));
      for (const title of ["wall, seconds", "peak memory, MB", "requests to S3"]) assert.ok(svg.includes(`>${title}<`));
      for (const size of sizes) assert.ok(svg.includes(`>${size}</text>`), size);
      assert.equal(pointsOf(svg).length, 6);
    }
    assert.ok(charts.get("images/growth-by-tables.svg")!.includes("<title>restore, 20,000 tables: 18</title>"));
  });

  it("a line chart is even in tenfold sizes, from 0 upwards, and twice the value is twice as high", () => {
    const svg = drawLineCharts({
      ...{ title: "a < b", axis: "MB", sizes: [10, 100, 1000] },
      panels: [{ title: "seconds", lines: [{ name: "backup", values: [0, 40, 80] }] }],
    });
    const [first, second, third] = pointsOf(svg)[0]!;
    assert.ok(Math.abs(third![0]! - second![0]! - (second![0]! - first![0]!)) < 0.2);
    assert.ok(Math.abs(third![1]! - second![1]! - (second![1]! - first![1]!)) < 0.2);
    assert.ok(third![1]! < first![1]!);
    const zero = /y1="([\d.]+)"[^>]*\/><text[^>]*>0</.exec(svg)?.[1];
    assert.equal(first![1], Number(zero));
    assert.ok(svg.includes("<title>a &lt; b</title>"));
  });
});
