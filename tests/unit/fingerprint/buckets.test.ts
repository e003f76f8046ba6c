/** Sums of ranges, and of more buckets than a table gets, come to what one pass with the right number would have read. */
import assert from "node:assert/strict";
import { foldBuckets } from "../../../scripts/fingerprint/buckets";

describe("folding buckets", () => {
  it("adds up those whose last bits are the same", () => {
    assert.deepEqual(foldBuckets([[5, 2, "10", "-7"], [1, 1, "-4", "9223372036854775807"], [4, 3, "1", "1"]], 4), [
      [0, 3, "1", "1"],
      [1, 3, "6", "9223372036854775800"],
    ]); // prettier-ignore
  });

  it("keeps nothing apart in a table of one bucket, and makes none of nothing", () => {
    assert.deepEqual(foldBuckets([[7, 1, "1", "1"], [2, 1, "2", "2"]], 1), [[0, 2, "3", "3"]]); // prettier-ignore
    assert.deepEqual(foldBuckets([], 1), []);
  });
});
