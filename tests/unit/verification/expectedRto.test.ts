/** The expected RTO: the median of what was measured, scaled to the size of the database. */
import assert from "node:assert/strict";
import { describeRto, expectRto, overTarget } from "../../../scripts/verification/expectedRto";

describe("the expected RTO", () => {
  const samples = [
    { seconds: 10, databaseBytes: 1e9 },
    { seconds: 30, databaseBytes: 1e9 },
    { seconds: 100, databaseBytes: 2e9 },
  ];

  it("is unknown where nothing was restored", () => {
    assert.equal(expectRto([], 1e9), undefined);
    assert.equal(expectRto([{ seconds: 1, databaseBytes: 0 }], 1e9), undefined);
  });

  it("is the median, each restore scaled by its bytes", () => {
    assert.deepEqual(expectRto(samples, 1e9), { seconds: 30, restores: 3 });
    assert.deepEqual(expectRto(samples, 4e9), { seconds: 120, restores: 3 });
    assert.deepEqual(expectRto(samples.slice(0, 2), 1e9), { seconds: 20, restores: 2 });
  });

  it("says what it is told from, and when it is over the target", () => {
    assert.equal(
      describeRto({ seconds: 41.2, restores: 3 }, 911e6),
      "about 42 s, the median of 3 restores of this store, scaled to 911 MB",
    );
    assert.equal(overTarget({ seconds: 300, restores: 1 }, 5), undefined);
    assert.match(overTarget({ seconds: 301, restores: 1 }, 5) ?? "", /about 6 min, is over the target of 5 min/);
  });
});
