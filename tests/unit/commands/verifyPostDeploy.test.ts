/** The last line of a verification: it must not say that nothing is lost when rows were deleted, though they might be. */
import assert from "node:assert/strict";
import { render } from "../../../scripts/commands/verifyPostDeploy";

describe("what db:verify:post-deploy says", () => {
  const lastLine = (missing: number): string | undefined => {
    const table = { table: "public.tasks", coverage: "content", rowsBefore: 10, rowsNow: 10 - missing } as const;
    const tables = [{ ...table, missing, changed: 0, added: 0, missingKeys: [], failure: null }];
    return render({
      verdict: "pass",
      runId: "run",
      releaseVersion: "v1",
      data: {
        comparison: { verdict: "pass", tables, failures: [], catalogChanges: [], visibility: "730:730:" },
        findings: [],
        missingKeysFile: null,
        missingKeysProblem: null,
      },
      health: { outcome: "not configured", results: [] },
      integration: null,
      findings: [],
    })
      .split("\n")
      .at(-1);
  };

  it("lost nothing, or how many rows were deleted as allowed", () => {
    assert.equal(lastLine(0), "PASS: v1 lost nothing");
    assert.equal(lastLine(1), "PASS: v1: 1 row deleted as allowed");
    assert.equal(lastLine(3), "PASS: v1: 3 rows deleted as allowed");
  });
});
