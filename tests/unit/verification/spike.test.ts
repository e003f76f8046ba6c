/** What is a spike and what is not: medians, percentages, windows. */
import assert from "node:assert/strict";
import type { EndpointBaseline } from "../../../scripts/record/healthBaseline";
import { type WatchSettings, operationSettingsSchema } from "../../../scripts/settings";
import { courseOf, percentile } from "../../../scripts/verification/latency";
import { SpikeDetector } from "../../../scripts/verification/spike";

const url = "http://app.example/api/health";
const usual: EndpointBaseline = { url, requests: 20, failures: 0, medianMilliseconds: 100, p95Milliseconds: 150 };

/** What each sample says: a number is a good answer's milliseconds, anything else an error. */
function feed(samples: readonly (number | string)[], baseline?: EndpointBaseline, over: Partial<WatchSettings> = {}) {
  const settings = { ...operationSettingsSchema.parse({}).watch, ...over };
  const detector = new SpikeDetector(url, baseline, settings);
  const findings = samples.map((sample) =>
    detector.add(
      typeof sample === "number" ? { ok: true, milliseconds: sample } : { ok: false, milliseconds: 1, error: sample },
    ),
  );
  return { first: findings.findIndex((finding) => finding !== undefined), findings, summary: detector.summary() };
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

describe("a spike", () => {
  it("percentiles are by the nearest rank", () => {
    const twenty = Array.from({ length: 20 }, (_, index) => 20 - index);
    assert.deepEqual([percentile(twenty, 0.5), percentile(twenty, 0.95)], [10, 19]);
    assert.deepEqual([percentile([7], 0.95), percentile([], 0.5)], [7, null]);
  });

  it("a long course keeps its slowest answers and its failures, in 120 points at most", () => {
    const answers = Array.from({ length: 1000 }, (_, second) => ({
      ...{ second, milliseconds: second === 500 ? null : second === 777 ? 9000 : 10 },
    }));
    const course = courseOf(answers);
    assert.ok(course.length <= 120 && course.length > 100, String(course.length));
    assert.equal(Math.max(...course.map(({ milliseconds }) => milliseconds ?? 0)), 9000);
    assert.equal(
      course.reduce((sum, { failures }) => sum + failures, 0),
      1,
    );
    assert.deepEqual(courseOf([{ second: 3, milliseconds: null }]), [{ second: 3, milliseconds: null, failures: 1 }]);
    assert.deepEqual(courseOf([]), []);
  });

  it("of latency is the median over factor times the usual one and the floor, from five answers on", () => {
    assert.equal(feed(times(60, 800), usual).first, -1, "the limit itself is none");
    const slow = feed(times(10, 801), usual);
    assert.equal(slow.first, 4);
    assert.equal(
      slow.findings[4],
      `${url}: latency spike: median of the last 5 answers 801 ms, before the release 100 ms (limit 800 ms)`,
    );
    assert.equal(feed(times(10, 801), usual, { factor: 4 }).first, -1);
    assert.equal(feed(times(10, 801), usual, { floorMilliseconds: 501 }).first, -1);
  });

  it("of latency is no single slow answer, nor half of them, and is seen also after many good ones", () => {
    assert.equal(feed([...times(6, 100), ...times(6, 5_000), ...times(6, 100)], usual).first, -1);
    const late = feed([...times(200, 100), ...times(12, 5_000)], usual);
    assert.equal(late.first, 206, "seven of the last twelve");
  });

  it("of errors is at least three, and more than a percent over the usual, of the last sixty", () => {
    const three = feed([...times(20, 100), "HTTP 500", 100, "HTTP 500", "HTTP 503"], usual);
    assert.equal(three.first, 23);
    assert.match(
      three.findings[23] ?? "",
      /error spike: 3 of the last 24 requests failed \(12\.5 %\), .* 0 %: HTTP 503$/,
    );
    const rare = times(60, [...times(39, 100), "HTTP 500"]).flat();
    assert.equal(feed(rare, usual).first, -1, "two in sixty are none");
    assert.equal(feed(["x", "x"], usual, { leastErrors: 2 }).first, 1);
  });

  it("of errors is told from what always fails", () => {
    const failing = { ...usual, failures: 10 };
    const half = times(60, ["HTTP 500", 100]).flat();
    assert.equal(feed(half, failing, { errorPercent: 20 }).first, -1);
    assert.notEqual(feed(half, usual).first, -1);
    assert.equal(feed(times(60, "HTTP 500"), { ...usual, failures: 20, medianMilliseconds: null }).first, -1);
  });

  it("without a baseline only errors count; the summary has all", () => {
    assert.equal(feed(times(50, 60_000)).first, -1);
    const { first, summary } = feed([10, 30, "x", "x", "x"]);
    assert.equal(first, 4);
    const { requests, failures, medianMilliseconds, p95Milliseconds, baseline } = summary;
    assert.deepEqual([requests, failures, medianMilliseconds, p95Milliseconds, baseline], [5, 3, 10, 30, null]);
  });
});
