/** zstd's level follows the store's pace, and only while it pays. */
import assert from "node:assert/strict";
import { CompressionLevel } from "../../../scripts/backup/compressionLevel";

function levels(archives: readonly (readonly [waited: number, bytes: number])[]): number[] {
  const compression = new CompressionLevel();
  return archives.map(([waited, bytes]) => {
    compression.observe({ level: compression.level, bytes, uncompressedBytes: 1000, waited });
    return compression.level;
  });
}

describe("the level of compression", () => {
  it("is 1 where the store keeps up", () => {
    assert.deepEqual(levels([[0, 200], [0.05, 200], [0.3, 200]]), [1, 1, 1]); // prettier-ignore
  });

  it("rises while the store is the slower side, and falls when it no longer is", () => {
    assert.deepEqual(levels([[0.9, 200], [0.8, 180], [0.8, 170], [0.3, 170], [0.01, 170]]), [3, 6, 6, 6, 3]); // prettier-ignore
  });

  it("stays at 1 once a higher one made no less of the rows", () => {
    assert.deepEqual(levels([[0.9, 200], [0.9, 210], [0.9, 200]]), [3, 1, 1]); // prettier-ignore
  });

  it("learns nothing from an archive without content", () => {
    const compression = new CompressionLevel();
    compression.observe({ level: 1, bytes: 9, uncompressedBytes: 0, waited: 1 });
    assert.equal(compression.level, 1);
  });
});
