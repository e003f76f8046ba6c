/** Which freezes stand beside each other, and what lifts each. */
import assert from "node:assert/strict";
import { Refusal } from "../../../scripts/contract/failure";
import { type FreezeDocument, type NewFreeze, withFreeze, withoutFreezes } from "../../../scripts/control/freeze";

const now = new Date("2026-11-22T10:00:00.000Z");
const later = new Date("2026-11-22T11:00:00.000Z");
const manual: NewFreeze = {
  kind: "manual",
  runId: null,
  reason: "audit week",
  person: "ana",
  missingRows: {},
};
const failed: NewFreeze = {
  kind: "failed-verification",
  runId: "run-7",
  reason: "public.clients: 3 rows are gone",
  person: null,
  missingRows: { "public.clients": 3 },
};

function frozen(...freezes: NewFreeze[]): FreezeDocument {
  return freezes.reduce<FreezeDocument>((document, freeze) => withFreeze(document, freeze, now) ?? document, {
    schemaVersion: 1,
    freezes: [],
  });
}

describe("freeze", () => {
  it("neither kind replaces the other, whichever comes first", () => {
    for (const document of [frozen(manual, failed), frozen(failed, manual)]) {
      assert.deepEqual(document.freezes.map(({ kind }) => kind).sort(), ["failed-verification", "manual"]);
      assert.ok(document.freezes.every(({ state }) => state === "active"));
    }
  });

  it("set again changes nothing", () => {
    const document = frozen(manual, failed);
    assert.equal(withFreeze(document, manual, later), undefined);
    assert.equal(withFreeze(document, failed, later), undefined);
  });

  it("a second verification of the same receipt adds what the first had not found, and forgets nothing", () => {
    const again = { ...failed, missingRows: { "public.clients": 1, "public.tasks": 9 } };
    const document = withFreeze(frozen(failed), again, later);
    assert.equal(document?.freezes.length, 1);
    assert.deepEqual(document?.freezes[0]?.missingRows, { "public.clients": 3, "public.tasks": 9 });
    assert.equal(document?.freezes[0]?.at, now.toISOString());
  });

  it("another receipt, or another person's reason, is another freeze", () => {
    assert.equal(frozen(failed, { ...failed, runId: "run-8" }).freezes.length, 2);
    assert.equal(frozen(manual, { ...manual, person: "ben" }).freezes.length, 2);
  });

  it("set by hand, is lifted by name and reason", () => {
    const [freeze] = withoutFreezes(frozen(manual), { person: "ben", reason: "audit over" }, later).freezes;
    assert.equal(freeze?.state, "lifted");
    assert.deepEqual(freeze?.lifted, {
      person: "ben",
      reason: "audit over",
      at: later.toISOString(),
      acceptedRows: null,
    });
  });

  it("set by a failed verification, is not lifted by name and reason alone, nor is any other with it", () => {
    assert.throws(
      () => withoutFreezes(frozen(manual, failed), { person: "ben", reason: "trust me" }, later),
      (error) =>
        error instanceof Refusal && error.exitCode === 1 && /run-7.*public\.clients 3/.test(error.details.join("\n")),
    );
  });

  it("is lifted when a verification of that receipt passed, not of another", () => {
    const lift = { person: "ben", reason: "rows put back" };
    const [freeze] = withoutFreezes(frozen(failed), { ...lift, verifiedRunIds: ["run-7"] }, later).freezes;
    assert.equal(freeze?.lifted?.acceptedRows, null);
    assert.throws(() => withoutFreezes(frozen(failed), { ...lift, verifiedRunIds: ["run-6"] }, later), Refusal);
  });

  it("is lifted when every missing row of that receipt is accepted, and says so", () => {
    const lift = (runId: string, rows: Record<string, number>) => ({
      person: "ben",
      reason: "test clients",
      accepted: [{ runId, rows }],
    });
    const [freeze] = withoutFreezes(frozen(failed), lift("run-7", { "public.clients": 3 }), later).freezes;
    assert.deepEqual(freeze?.lifted?.acceptedRows, { "public.clients": 3 });
    assert.throws(() => withoutFreezes(frozen(failed), lift("run-7", { "public.clients": 2 }), later), Refusal);
    assert.throws(() => withoutFreezes(frozen(failed), lift("run-7", {}), later), Refusal);
    assert.throws(() => withoutFreezes(frozen(failed), lift("run-6", { "public.clients": 3 }), later), Refusal);
  });

  it("once lifted, can be set again; of the lifted ones the last fifty are kept, of the others all", () => {
    let document = frozen(failed);
    for (let round = 0; round < 60; round++) {
      document = withoutFreezes(
        withFreeze(document, manual, now) ?? document,
        {
          person: "ben",
          reason: "over",
          accepted: [{ runId: "run-7", rows: failed.missingRows }],
        },
        later,
      );
      document = withFreeze(document, failed, now) ?? document;
    }
    assert.equal(document.freezes.filter(({ state }) => state === "active").length, 1);
    assert.equal(document.freezes.filter(({ state }) => state === "lifted").length, 50);
  });
});
