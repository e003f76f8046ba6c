/** Metrics: a line of the embedded format inside ECS, PutMetricData elsewhere where asked for, nothing otherwise. */
import assert from "node:assert/strict";
import { Unavailable, UsageError } from "../../../scripts/contract/failure";
import { type Metric, emitMetrics } from "../../../scripts/monitoring/emitMetrics";
import { signalNames } from "../../../scripts/thresholds";
import { type CloudWatchFake, startCloudWatch } from "../../servers/cloudwatch";

const metrics: Metric[] = [
  { name: "Up", unit: "None", value: 1 },
  { name: "Disk", unit: "Percent", value: 41.5 },
];

describe("metrics", () => {
  const lines: string[] = [];
  const emit = (env: NodeJS.ProcessEnv, list = metrics, at = new Date()): Promise<void> =>
    emitMetrics(list, at, env, (line) => lines.push(line));
  beforeEach(() => {
    lines.length = 0;
  });

  it("are one document of the embedded metric format inside ECS", async () => {
    const at = new Date("2026-11-23T02:00:00Z");
    await emit(
      { ECS_CONTAINER_METADATA_URI_V4: "http://169.254.170.2/v4/x", DBPROTECT_STACK: "crm/prod" },
      metrics,
      at,
    );
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      [
        {
          _aws: {
            Timestamp: at.getTime(),
            CloudWatchMetrics: [
              {
                Namespace: "DatabaseProtection",
                Dimensions: [["Project", "Environment"]],
                Metrics: [
                  { Name: "Up", Unit: "None" },
                  { Name: "Disk", Unit: "Percent" },
                ],
              },
            ],
          },
          Project: "crm",
          Environment: "prod",
          Up: 1,
          Disk: 41.5,
        },
      ],
    );
    assert.ok(!lines[0]?.includes("\n"));
    // The format's limit on one document.
    assert.ok(signalNames.length <= 100);
  });

  it("go nowhere unless somebody wants them, and need a name", async () => {
    await emit({});
    await emit({ DBPROTECT_METRICS: "none", ECS_CONTAINER_METADATA_URI_V4: "http://x", DBPROTECT_STACK: "crm/prod" });
    assert.deepEqual(lines, []);
    await assert.rejects(emit({ DBPROTECT_METRICS: "statsd" }), UsageError);
    for (const stack of [undefined, "", "by hand", "a/b/c"])
      await assert.rejects(
        emit({ DBPROTECT_METRICS: "cloudwatch", ...(stack === undefined ? {} : { DBPROTECT_STACK: stack }) }),
        /DBPROTECT_STACK: found .*: expected project\/environment/,
      );
  });

  describe("through PutMetricData", () => {
    let cloudwatch: CloudWatchFake;
    const before_: NodeJS.ProcessEnv = {};
    before(async () => {
      cloudwatch = await startCloudWatch();
      // The SDK reads the process's own.
      for (const [name, value] of Object.entries(cloudwatch.env)) {
        before_[name] = process.env[name];
        process.env[name] = value;
      }
    });
    after(async () => {
      for (const [name, value] of Object.entries(before_)) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      await cloudwatch.close();
    });
    const env = { DBPROTECT_METRICS: "cloudwatch", DBPROTECT_STACK: "crm/prod" };

    it("arrive signed, under our own namespace, with two dimensions", async () => {
      await emit(env);
      const [request] = cloudwatch.requests;
      assert.equal(request?.Namespace, "DatabaseProtection");
      assert.deepEqual(
        request?.MetricData.map(({ MetricName, Unit, Value, Dimensions }) => [MetricName, Unit, Value, Dimensions]),
        metrics.map(({ name, unit, value }) => [
          name,
          unit,
          value,
          [
            { Name: "Project", Value: "crm" },
            { Name: "Environment", Value: "prod" },
          ],
        ]),
      );
      assert.deepEqual(lines, []);
    });

    it("that are many are still one request, compressed", async () => {
      const many = Array.from({ length: 400 }, (_, place): Metric => ({
        name: `M${place}`,
        unit: "Count",
        value: place,
      }));
      await emit(env, many);
      assert.equal(cloudwatch.requests.at(-1)?.MetricData.length, 400);
    });

    it("that CloudWatch refuses end with 3, saying why", async () => {
      const taken = cloudwatch.requests.length;
      await assert.rejects(emit(env, metrics, new Date("2020-01-01")), Unavailable);
      await assert.rejects(emit(env, [{ name: "Up", unit: "None", value: 1e200 }]), /does not take the metrics/);
      assert.equal(cloudwatch.requests.length, taken);
    });
  });
});
