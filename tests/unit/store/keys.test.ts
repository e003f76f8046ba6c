/** Which keys a store takes, and which are written once. */
import assert from "node:assert/strict";
import {
  assertKey,
  assertMutable,
  assertWrittenOnce,
  freezeKey,
  leaseKey,
  manifestKey,
} from "../../../scripts/store/layout";

describe("keys", () => {
  it("of the layout are legal", () => {
    assertWrittenOnce(manifestKey("daily", "backup_20261122_170212"));
    assertMutable(leaseKey);
    assertMutable(freezeKey);
  });

  for (const key of [
    "",
    "/etc/passwd",
    "a/../b",
    "..",
    "a//b",
    "a/",
    ".partial/x",
    "a/.b",
    "a\0b",
    "a b",
    "a\\b",
    "x".repeat(600),
  ])
    it(`refuses ${JSON.stringify(key.slice(0, 20))}`, () => {
      assert.throws(() => assertKey(key), /not a key/);
    });

  it("are either written once or swapped", () => {
    assert.throws(() => assertWrittenOnce(leaseKey), /mutable/);
    assert.throws(() => assertMutable("receipts/x.json"), /written once/);
    assert.throws(() => assertMutable("control/deep/x.json"), /written once/);
  });
});
