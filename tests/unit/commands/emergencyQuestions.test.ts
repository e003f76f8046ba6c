/** The answers of an emergency as a plan's file: for its owner alone, without secrets; one that cannot be written holds nothing up. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Questions, askForWayBack } from "../../../scripts/commands/emergencyQuestions";
import { registerSecret } from "../../../scripts/contract/redaction";
import type { EmergencyChoice } from "../../../scripts/control/emergency";
import { assessmentSchema } from "../../../scripts/incident/assessment";
import { emergencyPlanSchema } from "../../../scripts/incident/emergencyChoice";

/** Nothing is damaged. */
const assessment = assessmentSchema.parse({
  ...{ schemaVersion: 1, verdict: "intact", at: "2026-01-01T00:00:00Z", seconds: 1 },
  database: { state: "reachable", identity: null, detail: "answers" },
  ...{ knownGood: null, lastGood: null, receipt: null, lossWindowSeconds: null, compared: [], tables: [] },
  ...{ definitions: [], dataChecks: null, health: { outcome: "not configured", failing: [] }, ladder: [] },
  recommendation: { rung: null, command: null, reason: "nothing is damaged" },
  ...{ notVerified: [], visibility: null },
});

const questions = {
  select: async () => "nothing",
  confirm: async () => true,
  isCancel: () => false,
} as unknown as Questions;

describe("the answers of an emergency", () => {
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-record-"));

  const decide = (record: string, reason: string): Promise<EmergencyChoice> =>
    askForWayBack(assessment, { person: "Ada", reason, record }, questions);

  it("are a plan for machines, mode 0600, without secrets", async () => {
    registerSecret("hunter-of-answers");
    const record = join(folder, "plan.json");
    await decide(record, "psql said hunter-of-answers");
    const plan = emergencyPlanSchema.parse(JSON.parse(readFileSync(record, "utf8")));
    assert.deepEqual(
      [plan.person, plan.reason, plan.recover, plan.unfreeze],
      ["Ada", "psql said [redacted]", "nothing", true],
    );
    assert.equal(statSync(record).mode & 0o777, 0o600);
  });

  it("that cannot be written are a warning, and what was chosen is done", async () => {
    const told: string[] = [];
    const { write } = process.stderr;
    process.stderr.write = (text: string | Uint8Array): boolean => told.push(String(text)) > 0;
    try {
      const choice = await decide(join(folder, "nowhere", "plan.json"), "data was lost");
      assert.equal(choice.way, "nothing");
    } finally {
      process.stderr.write = write;
    }
    assert.match(
      told.join(""),
      /^warning: --record: found \S+plan\.json: it cannot be written: ENOENT[^\n]*; the emergency goes on\n$/,
    );
    assert.deepEqual(readdirSync(folder), ["plan.json"]);
  });
});
