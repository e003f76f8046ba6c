/** How an upload is cut into parts: within S3's limits, in little memory. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Part, type PartPolicy, mostBytes, partPolicy, partsOf, smallestPart } from "../../../scripts/store/parts";

const largestPart = 5 * 1024 ** 3;

describe("parts of a multipart upload", () => {
  it("hold the largest object that S3 allows, each within S3's limits", () => {
    const policy = partPolicy("AWS S3");
    for (let number = 1; number <= policy.mostParts; number++) {
      const bytes = policy.sizeOf(number);
      assert.ok(bytes >= smallestPart && bytes <= largestPart, `part ${number}: ${bytes}`);
    }
    assert.ok(mostBytes(policy) >= 5 * 1024 ** 4);
  });

  it("cost 6 MiB each up to an object of nearly 6 GiB", () => {
    const { sizeOf } = partPolicy("AWS S3");
    assert.deepEqual(
      [1, 1000, 1001].map(sizeOf),
      [6, 6, 12].map((mebibytes) => mebibytes * 1024 ** 2),
    );
  });

  it("grow faster where fewer are allowed", () => {
    const policy = partPolicy("AWS S3", { mostParts: 1_000 });
    assert.equal(policy.sizeOf(101), 12 * 1024 ** 2);
    assert.ok(mostBytes(policy) >= 550 * 1024 ** 3, `${mostBytes(policy)} bytes`);
  });

  it("are of one size for Cloudflare R2, and for nobody else unless told", () => {
    const last = (host: string, limits = {}): number => partPolicy(host, limits).sizeOf(10_000);
    for (const host of ["0123abcd.r2.cloudflarestorage.com", "0123abcd.eu.r2.cloudflarestorage.com:443"])
      assert.equal(last(host), 32 * 1024 ** 2);
    for (const host of ["AWS S3", "s3.us-west-004.backblazeb2.com", "r2.cloudflarestorage.com.example.org"])
      assert.ok(last(host) > 32 * 1024 ** 2);
    assert.equal(last("s3.example.com", { shape: "fixed", bytes: smallestPart }), smallestPart);
  });

  it("joined are the stream, whatever its chunks; all but the last are full; all memory comes back", async () => {
    const policy: PartPolicy = { mostParts: 100, sizeOf: (number) => (number < 3 ? 7 : 14) };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 12 }),
        fc.boolean(),
        async (chunks, breaks) => {
          let lent = 0;
          const memoryFor = (bytes: number) => {
            lent += 1;
            return Promise.resolve({ buffer: Buffer.alloc(bytes), giveBack: () => (lent -= 1) });
          };
          const parts: Part[] = [];
          const cut = async (): Promise<void> => {
            for await (const part of partsOf(streamOf(chunks, breaks), policy.sizeOf, memoryFor)) {
              parts.push({ ...part, bytes: Buffer.from(part.bytes) });
              part.giveBack();
            }
          };
          if (breaks) await assert.rejects(cut(), /broken/);
          else await cut();
          assert.equal(lent, 0);
          for (const part of parts) if (!part.last) assert.equal(part.bytes.length, policy.sizeOf(part.number));
          if (breaks) return;
          assert.deepEqual(Buffer.concat(parts.map(({ bytes }) => bytes)), Buffer.concat(chunks));
          assert.deepEqual(
            parts.map(({ number, last }) => [number, last]),
            parts.map((_, place) => [place + 1, place === parts.length - 1]),
          );
          if (parts.length > 1) assert.notEqual(parts.at(-1)?.bytes.length, 0);
        },
      ),
    );
  });
});

async function* streamOf(chunks: readonly Uint8Array[], breaks: boolean): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield Promise.resolve(Buffer.from(chunk));
  if (breaks) throw new Error("broken");
}
