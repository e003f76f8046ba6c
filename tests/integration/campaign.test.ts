/** The campaign itself: plans are functions of their seeds, a few runs pass, and what lies, loses or stays is found. */
import assert from "node:assert/strict";
import { type RunResult, runPlan } from "../../campaign/drive";
import { minimise } from "../../campaign/minimise";
import { differences, Oracle } from "../../campaign/oracle";
import { type Plan, faultKinds, planOf } from "../../campaign/plan";
import { describe as lineOf } from "../../campaign/results";
import { Lane } from "../../campaign/world";
import { sharedSeaweed } from "../servers/seaweedfs";

/** The shortest way, and nothing goes wrong. */
const quiet: Plan = {
  ...{ seed: 1, store: "folder", scratch: "kept server", orders: 20, oddSchema: false, writers: 0, environment: false },
  ...{ migration: "none", damage: "none", remedy: "repair", brokenHealth: false },
  steps: ["gate", "railway", "verify"],
  faults: [],
};

describe("the campaign", function () {
  this.timeout(600_000);
  let lane: Lane;

  before(async () => {
    const seaweed = await sharedSeaweed();
    await Lane.prepareBucket(seaweed);
    lane = await Lane.start("test", seaweed);
  });
  after(() => lane.stop());

  const shown = (result: RunResult): string => [lineOf(result), ...result.violations].join("\n");

  it("plans the same for the same seed, and every kind of fault within some hundred seeds", () => {
    assert.deepEqual(planOf(7), planOf(7));
    const plans = Array.from({ length: 400 }, (_, place) => planOf(place + 1));
    const kinds = new Set(plans.flatMap(({ faults }) => faults.map(({ fault }) => fault.kind)));
    assert.deepEqual([...kinds].sort(), [...faultKinds].sort());
  });

  it("knows what a snapshot shows from transaction ids alone", () => {
    const oracle = new Oracle(["t"]);
    oracle.record([{ table: "t", key: "1", content: "old" }], 5n, "1");
    oracle.record([{ table: "t", key: "1", content: "new" }], 9n, "1");
    oracle.record([{ table: "t", key: "2", content: "running" }], 7n, "1");
    assert.deepEqual([...oracle.at("7:9:7").get("t")!], [["1", "old"]]);
    assert.deepEqual(differences(oracle.now(), new Map([["t", new Map([["1", "old"]])]]), true), [
      "t: 1 rows are missing: 2",
      "t: 1 rows differ: 1",
    ]);
  });

  it("takes a commit that got no answer for what it was, not for that of whoever got its id after a crash", async () => {
    const oracle = new Oracle(["t"]);
    for (const [xid, key] of [
      [3n, "committed"],
      [4n, "its id given again"],
      [5n, "undone"],
    ] as const)
      oracle.doubt([{ table: "t", key, content: "" }], xid, "1");
    const [before, after] = [new Date(Date.now() - 1000), new Date(Date.now() + 1000)];
    await oracle.settle((xid) => Promise.resolve(xid === 3n ? before : xid === 4n ? after : undefined));
    assert.deepEqual([...oracle.now().get("t")!.keys()], ["committed"]);
  });

  for (const plan of [
    { ...quiet, writers: 1, migration: "deletes rows", steps: ["gate", "migrations", "railway", "verify"] },
    {
      ...quiet,
      damage: "deletes rows",
      faults: [{ during: "railway", fault: { kind: "kill", signal: "SIGKILL", at: { lines: 1 } } }],
    },
    {
      ...quiet,
      store: "bucket",
      faults: [{ during: "gate", fault: { kind: "store request", answer: "507", request: 8, times: 1000 } }],
    },
  ] satisfies Plan[])
    it(`finds nothing wrong in a run: ${plan.faults[0]?.fault.kind ?? plan.migration}`, async () => {
      const result = await runPlan(lane, plan);
      assert.deepEqual(result.violations, [], shown(result));
    });

  it("finds a verification that lies, and makes the plan small", async () => {
    const liar = (plan: Plan): Promise<RunResult> =>
      runPlan(lane, plan, (run) =>
        run.words[0] === "db:verify:post-deploy" && run.code === 1 ? { ...run, code: 0, stdout: "{}" } : run,
      );
    const first = await liar({ ...quiet, damage: "deletes rows" });
    assert.match(shown(first), /verified, and shop\.orders: \d+ rows are missing/);
    assert.match(shown(first), /expected 1 without a fault/);
    const smallest = await minimise(
      { ...quiet, damage: "deletes rows" },
      async (plan) => ({
        ...first,
        plan,
        violations: plan.damage === "none" ? [] : ["still"],
      }),
      12,
    );
    assert.equal(smallest.plan.damage, "deletes rows");
  });
});
