/** A line of progress says how far it is, how fast, and how long it will still take. */
import assert from "node:assert/strict";
import { describeProgress } from "../../../scripts/backup/progress";

describe("a line of progress", () => {
  it("has bytes, rate and what is left", () => {
    assert.equal(describeProgress(300e6, 900e6, 2), "300 MB of about 900 MB, 150 MB/s, about 4 s left");
  });

  it("promises nothing before the first byte, and nothing negative after the last expected one", () => {
    assert.equal(describeProgress(0, 900e6, 2), "0 MB of about 900 MB, 0 MB/s");
    assert.equal(describeProgress(910e6, 900e6, 10), "910 MB of about 910 MB, 91 MB/s, about 0 s left");
  });
});
