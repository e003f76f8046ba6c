/** The gate's steps: one that is broken off says why, not how whatever ran at that moment noticed. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Unavailable } from "../../../scripts/contract/failure";
import type { GateContext } from "../../../scripts/gate/context";
import { runSteps } from "../../../scripts/gate/runSteps";
import { parseTarget } from "../../../scripts/database/target";
import { operationSettingsSchema } from "../../../scripts/settings";

describe("the gate's steps", () => {
  it("name the lost lease, in the step's line too, where a step was broken off by it", async () => {
    const loss = new AbortController();
    const context: GateContext = {
      settings: operationSettingsSchema.parse({}),
      target: parseTarget("postgres://somebody@localhost/none", "test"),
      store: undefined,
      ...{ runId: "r", releaseVersion: "v", stack: "s", takeOver: true, waitSeconds: 0 },
      addresses: { appUrl: undefined, frontendUrl: undefined },
      signal: loss.signal,
      onProgress: () => undefined,
    };
    const step = {
      name: "slow",
      run: async () => {
        setImmediate(() => loss.abort(new Unavailable("the release lease expired")));
        await sleep(60_000, undefined, { signal: loss.signal });
        return { summary: "never" };
      },
    };
    const result = await runSteps(context, [step]);
    assert.deepEqual([result.verdict, result.exitCode, result.message], ["halt", 3, "the release lease expired"]);
    assert.deepEqual(
      result.steps.map(({ outcome, summary }) => [outcome, summary]),
      [["halt", "the release lease expired"]],
    );
  });
});
