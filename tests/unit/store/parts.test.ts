import assert from "node:assert/strict";
import fc from "fast-check";
import { mostParts, partBytes, partsOf } from "../../../scripts/store/parts";

describe("parts of a multipart upload", () => {
  it("hold the largest object that S3 allows, each within S3's limits", () => {
    let total = 0;
    for (let number = 1; number <= mostParts; number++) {
      const bytes = partBytes(number);
      assert.ok(bytes >= 5 * 1024 ** 2 && bytes <= 5 * 1024 ** 3, `part ${number}: ${bytes}`);
      total += bytes;
    }
    assert.ok(total >= 5 * 1024 ** 4, `${total} bytes`);
  });

  it("cost 8 MiB each up to an object of nearly 8 GiB", () => {
    assert.equal(partBytes(1), 8 * 1024 ** 2);
    assert.equal(partBytes(1000), 8 * 1024 ** 2);
    assert.equal(partBytes(1001), 16 * 1024 ** 2);
  });

  it("joined are the stream, whatever its chunks; all but the last are full", async () => {
    const sizes = (number: number): number => (number < 3 ? 7 : 14);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 12 }), async (chunks) => {
        const parts = [];
        for await (const part of partsOf(streamOf(chunks), sizes)) parts.push(part);
        assert.deepEqual(Buffer.concat(parts.map(({ bytes }) => bytes)), Buffer.concat(chunks));
        assert.deepEqual(
          parts.map(({ number, last }) => [number, last]),
          parts.map((_, place) => [place + 1, place === parts.length - 1]),
        );
        for (const part of parts) if (!part.last) assert.equal(part.bytes.length, sizes(part.number));
        if (parts.length > 1) assert.notEqual(parts.at(-1)?.bytes.length, 0);
      }),
    );
  });
});

async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield Promise.resolve(Buffer.from(chunk));
}
