/** The stacks that come with the project evaluate as they are configured, and docs/resources.md says what they create. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { cloudFormation } from "./cloudFormation";
import { record } from "./record";
import { renderResourcesPage } from "./resourcesPage";
import { currentResourcesPage, resourcesPage } from "./writeResourcesPage";

describe("the stacks of this project", function () {
  this.timeout(120_000);

  it("Pulumi.prod.yaml makes all of Level 2, and a release that depends on its gate", async () => {
    const { registered, errors, outputs, get } = await record("production");
    assert.deepEqual(errors, []);
    assert.match(
      String(outputs["backupStore"]),
      /^s3:\/\/database-bucket-bucket-1a2b3c4\/prod\?lockMode=governance&lockDays=daily:7,/,
    );
    assert.equal(outputs["releaseVersion"], "3f9c2a1");
    const types = new Set(registered.map(({ type }) => type));
    for (const type of [
      "BackupBucket",
      "DumpSchedule",
      "HealthSchedule",
      "AlertTopic",
      "Alerting",
      "DeployGate",
      "GuardedRelease",
    ])
      assert.ok(types.has(`database-protection:index:${type}`), type);
    assert.ok(get("release-migrations").dependsOn.includes("database-gate-run"));
  });

  it("examples/level2 gives each database a locked bucket of its own, and dumps all of them by one schedule", async () => {
    const { registered, errors, outputs } = await record("level2Example");
    assert.deepEqual(errors, []);
    assert.deepEqual(Object.keys(outputs["stores"] as object), ["crm", "shop"]);
    const count = (type: RegExp): number => registered.filter((resource) => type.test(resource.type)).length;
    assert.deepEqual([count(/s3\/bucket:Bucket$/), count(/:TaskDefinition$/), count(/:StateMachine$/)], [2, 2, 1]);
    assert.ok(registered.some(({ name }) => name === "crm-lock"));
    assert.ok(Object.keys(cloudFormation(registered).Resources).length > 25);
  });

  it("docs/resources.md is what is registered now: npx tsx tests/components/writeResourcesPage.ts", async () => {
    assert.equal(readFileSync(resourcesPage, "utf8"), await currentResourcesPage());
  });

  it("a resource that nobody explained is noticed", async () => {
    const { registered } = await record("production");
    const [first] = registered.filter(({ type }) => type.startsWith("aws:"));
    assert.throws(
      () => renderResourcesPage([{ ...first!, type: "aws:new/thing:Thing" }]),
      /aws:new\/thing:Thing has no explanation/,
    );
  });
});
