/** Which differences from the accepted environment pass, and why the others do not. */
import assert from "node:assert/strict";
import {
  type DigestedVariable,
  type EnvironmentBaseline,
  compareEnvironment,
  hasExpired,
} from "../../../scripts/environment/compare";
import type { Acknowledgement } from "../../../scripts/settings";

const now = new Date("2026-11-22T12:00:00Z");

function variable(name: string, digest: string, source = "process", target = "run"): DigestedVariable {
  return { name, source, target, kind: "secret", digest };
}

function baselineOf(variables: DigestedVariable[], over: Partial<EnvironmentBaseline> = {}): EnvironmentBaseline {
  return { scope: [{ source: "process", target: "run", patterns: ["*"] }], variables, acknowledgements: [], ...over };
}

function acknowledge(name: string, expires = "2026-11-23"): Acknowledgement {
  return { name, reason: "rotated after the audit", person: "Ada", expires };
}

function refusals(
  observed: DigestedVariable[],
  baseline: EnvironmentBaseline,
  acknowledgements: Acknowledgement[] = [],
): (string | undefined)[] {
  return compareEnvironment(observed, baseline, { critical: ["KEY", "VITE_*"], acknowledgements }, now).changes.map(
    ({ name, change, refusal }) => `${name} ${change}${refusal === undefined ? "" : `: ${refusal}`}`,
  );
}

describe("compareEnvironment", () => {
  it("finds nothing where nothing changed, whatever the kind says", () => {
    const observed = [{ ...variable("KEY", "1"), kind: "plain" }];
    assert.deepEqual(refusals(observed, baselineOf([variable("KEY", "1")])), []);
  });

  it("refuses added, removed and changed critical variables, and lets others pass", () => {
    const baseline = baselineOf([
      variable("KEY", "1"),
      variable("VITE_A", "1"),
      variable("PORT", "1"),
      variable("GONE", "1"),
    ]);
    const observed = [variable("KEY", "2"), variable("VITE_B", "1"), variable("PORT", "2"), variable("NEW", "1")];
    assert.deepEqual(refusals(observed, baseline), [
      "GONE removed",
      "KEY changed: not acknowledged",
      "NEW added",
      "PORT changed",
      "VITE_A removed: not acknowledged",
      "VITE_B added: not acknowledged",
    ]);
  });

  it("tells the same name in two sources apart", () => {
    const file = variable("KEY", "1", "dotenv", ".env");
    const scope = [
      { source: "process", target: "run", patterns: ["*"] },
      { source: "dotenv", target: ".env", patterns: ["*"] },
    ];
    const { changes } = compareEnvironment(
      [variable("KEY", "1"), { ...file, digest: "2" }],
      baselineOf([variable("KEY", "1"), file], { scope }),
      { critical: ["KEY"], acknowledgements: [] },
      now,
    );
    assert.deepEqual(
      changes.map(({ source, target, change }) => [source, target, change]),
      [["dotenv", ".env", "changed"]],
    );
  });

  it("lets an acknowledged change pass, for that name and until it expires", () => {
    const baseline = baselineOf([variable("KEY", "1")]);
    const observed = [variable("KEY", "2")];
    assert.deepEqual(refusals(observed, baseline, [acknowledge("KEY")]), ["KEY changed"]);
    assert.deepEqual(refusals(observed, baseline, [acknowledge("OTHER")]), ["KEY changed: not acknowledged"]);
    assert.deepEqual(refusals(observed, baseline, [acknowledge("KEY", "2026-11-22")]), [
      "KEY changed: its acknowledgement by Ada expired (2026-11-22)",
    ]);
    assert.deepEqual(refusals(observed, baseline, [acknowledge("KEY", "2026-11-22"), acknowledge("KEY")]), [
      "KEY changed",
    ]);
  });

  it("lets one acknowledgement cover one change, not every later one", () => {
    const baseline = baselineOf([variable("KEY", "2")], { acknowledgements: [acknowledge("KEY")] });
    assert.deepEqual(refusals([variable("KEY", "3")], baseline, [acknowledge("KEY")]), [
      "KEY changed: its acknowledgement by Ada was used for an earlier change",
    ]);
    const renewed = { ...acknowledge("KEY"), reason: "rotated once more, the key leaked" };
    assert.deepEqual(refusals([variable("KEY", "3")], baseline, [acknowledge("KEY"), renewed]), ["KEY changed"]);
  });

  it("does not call a variable added that the baseline did not watch", () => {
    const baseline = baselineOf([], { scope: [{ source: "process", target: "run", patterns: ["KEY"] }] });
    const settings = { critical: ["KEY", "VITE_*"], acknowledgements: [] };
    const observed = [variable("KEY", "1"), variable("VITE_A", "1"), variable("KEY", "1", "dotenv", ".env")];
    const { changes, newlyWatched } = compareEnvironment(observed, baseline, settings, now);
    assert.deepEqual(
      changes.map(({ name, change, critical }) => [name, change, critical]),
      [["KEY", "added", true]],
    );
    assert.deepEqual(
      newlyWatched.map(({ name, source }) => [name, source]),
      [
        ["KEY", "dotenv"],
        ["VITE_A", "process"],
      ],
    );
  });

  it("ends consent at the first moment of its date, in UTC", () => {
    assert.ok(!hasExpired({ expires: "2026-11-23" }, new Date("2026-11-22T23:59:59Z")));
    assert.ok(hasExpired({ expires: "2026-11-23" }, new Date("2026-11-23T00:00:00Z")));
    assert.ok(!hasExpired({ expires: "2026-11-23T10:00:00Z" }, new Date("2026-11-23T09:59:59Z")));
  });
});
