/** Metrics of gates, backups and verified releases: told where configured, and never what a run fails of. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { backupMetrics, gateMetrics, releaseMetrics, tellMetrics } from "../../../scripts/monitoring/runMetrics";
import { type CloudWatchFake, startCloudWatch } from "../../servers/cloudwatch";

const valuesOf = (metrics: readonly { name: string; value: number }[]): object =>
  Object.fromEntries(metrics.map(({ name, value }) => [name, value]));

describe("metrics of a run", () => {
  it("say how it ended, and leave out what was not measured", () => {
    assert.deepEqual(valuesOf(gateMetrics({ verdict: "pass", steps: [{ seconds: 1.5 }, { seconds: 2 }] })), {
      GatePassed: 1,
      GateSeconds: 3.5,
    });
    assert.deepEqual(valuesOf(gateMetrics({ verdict: "halt", steps: [] })), { GatePassed: 0, GateSeconds: 0 });
    assert.deepEqual(valuesOf(backupMetrics({ depth: 4, bytes: 10, restoreSeconds: 2 })), {
      ...{ BackupVerified: 1, BackupArchiveBytes: 10, BackupRestoreSeconds: 2 },
    });
    assert.deepEqual(valuesOf(backupMetrics({ depth: 3, bytes: 10, restoreSeconds: null })), {
      ...{ BackupVerified: 0, BackupArchiveBytes: 10 },
    });
    assert.deepEqual(valuesOf(backupMetrics(undefined)), { BackupVerified: 0 });
    assert.deepEqual(valuesOf(releaseMetrics({ verdict: "fail" })), { ReleaseVerified: 0 });
  });

  it("have names that the reference lists", () => {
    const reference = readFileSync(resolve(__dirname, "../../../docs/reference.md"), "utf8");
    const all = [
      ...gateMetrics({ verdict: "pass", steps: [] }),
      ...backupMetrics({ depth: 4, bytes: 1, restoreSeconds: 1 }),
      ...releaseMetrics({ verdict: "pass" }),
    ];
    for (const { name } of all) assert.ok(reference.includes(`\`${name}\``), name);
  });

  describe("where CloudWatch is", () => {
    let cloudwatch: CloudWatchFake;
    const formerly = { ...process.env };
    const lines: string[] = [];
    before(async () => {
      cloudwatch = await startCloudWatch();
      Object.assign(process.env, cloudwatch.env, { DBPROTECT_METRICS: "cloudwatch", DBPROTECT_STACK: "crm/prod" });
    });
    after(async () => {
      process.env = formerly;
      await cloudwatch.close();
    });
    const tell = (): Promise<void> => tellMetrics(releaseMetrics({ verdict: "pass" }), (line) => lines.push(line));

    it("arrive", async () => {
      await tell();
      assert.deepEqual(lines, []);
      assert.deepEqual(
        cloudwatch.requests.at(-1)?.MetricData.map(({ MetricName, Value }) => [MetricName, Value]),
        [["ReleaseVerified", 1]],
      );
    });

    it("that nobody takes are a warning", async () => {
      process.env["DBPROTECT_STACK"] = "by hand";
      await tell();
      assert.match(lines.join(), /^WARNING: metrics were not told: DBPROTECT_STACK: found "by hand"/);
    });
  });
});
