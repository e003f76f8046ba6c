/** The last line of a verification: it must not say that nothing is lost when rows were deleted, though they might be. */
import assert from "node:assert/strict";
import { render } from "../../../scripts/commands/verifyPostDeploy";

describe("what db:verify:post-deploy says", () => {
  const catalogChanges = Array.from({ length: 22 }, (_, number) => `column public.tasks.c${number} added`);
  const writes = { inserted: 12, updated: 3, deleted: 1 };
  const said = (missing: number): string[] => {
    const table = { table: "public.tasks", coverage: "content", rowsBefore: 10, rowsNow: 10 - missing } as const;
    const found = { missing, moved: 0, changed: 0, unwritten: 0, added: 0, missingKeys: [], unwrittenKeys: [] };
    const tables = [{ ...table, ...found, columns: { compared: 2, before: 2, now: 3 }, writes, failure: null }];
    const definitions = { failures: [], explained: ["trigger gone: 1.sql (drop-trigger)"], catalogChanges };
    return render({
      verdict: "pass",
      runId: "run",
      releaseVersion: "v1",
      data: {
        comparison: { verdict: "pass", tables, ...definitions, visibility: "730:730:" },
        findings: [],
        missingKeysFile: null,
        missingKeysProblem: null,
      },
      health: { outcome: "not configured", results: [] },
      integration: null,
      rollback: null,
      findings: [],
    }).split("\n");
  };
  const lastLine = (missing: number): string | undefined => said(missing).at(-1);

  it("how much of each table was compared, what the server counted, and how the definitions changed", () => {
    const lines = said(0).map((line) => line.trimEnd().replace(/ +/g, " "));
    assert.ok(lines.includes("public.tasks content, 2 of 3 columns 10 10 0 0 0 +12 ~3 -1"), lines.join("\n"));
    assert.ok(lines.includes("explained: trigger gone: 1.sql (drop-trigger)"));
    assert.ok(lines.includes("definitions: … and 2 more"));
  });

  it("lost nothing, or how many rows were deleted as allowed", () => {
    assert.equal(lastLine(0), "PASS: v1 lost nothing");
    assert.equal(lastLine(1), "PASS: v1: 1 row deleted as allowed");
    assert.equal(lastLine(3), "PASS: v1: 3 rows deleted as allowed");
  });
});
