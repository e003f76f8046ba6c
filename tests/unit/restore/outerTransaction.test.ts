/** Scripts of pg_restore lose their own BEGIN and COMMIT, and nothing else, however their bytes arrive. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { PassThrough } from "node:stream";
import { Damage } from "../../../scripts/contract/failure";
import { WithoutOuterTransaction } from "../../../scripts/restore/outerTransaction";

const head =
  "--\n-- PostgreSQL database dump\n--\n\n\\restrict k3y\n\n-- Dumped by pg_dump version 17.10\n\nBEGIN;\n\nSET row_security = off;\n";
const body = `COPY t (body) FROM stdin;\nBEGIN;\nCOMMIT;\n${"x".repeat(9000)}\nCOMMIT;\n\\.\n\nCREATE PROCEDURE p() AS $$\nCOMMIT;\n$$;\n`;
const tail = "\n\nCOMMIT;\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict k3y\n\n";

async function strip(script: string, chunk: number): Promise<string> {
  const chunks = Array.from({ length: Math.ceil(script.length / chunk) }, (_, place) =>
    Buffer.from(script.slice(place * chunk, (place + 1) * chunk)),
  );
  const sink = new PassThrough();
  const [written] = await Promise.all([
    text(sink).catch(() => ""),
    pipeline(Readable.from(chunks), new WithoutOuterTransaction(), sink),
  ]);
  return written;
}

describe("the outer transaction of a script", () => {
  const expected = head.replace("BEGIN;\n", "") + body + tail.replace("COMMIT;\n", "");

  for (const chunk of [1, 7, 4096, 100_000]) {
    it(`is taken off in chunks of ${chunk}, and lines like it are left to rows and procedures`, async () => {
      assert.equal(await strip(head + body + tail, chunk), expected);
    });
  }

  it("is found in a script that holds nothing else", async () => {
    assert.equal(await strip(head + tail, 64), head.replace("BEGIN;\n", "") + tail.replace("COMMIT;\n", ""));
  });

  it("is damage where the script was cut short, wherever that was", async () => {
    const script = head + body + tail;
    for (const length of [
      0,
      20,
      head.length,
      head.length + 4000,
      script.indexOf(tail) + 5,
      script.indexOf("dump complete"),
    ])
      await assert.rejects(strip(script.slice(0, length), 512), Damage, `cut to ${length}`);
  });
});
