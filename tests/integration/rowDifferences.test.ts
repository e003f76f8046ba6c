/** Rows that differ are found by sums of finer and finer buckets; however they lie, they are the same rows. */
import assert from "node:assert/strict";
import type { Client } from "pg";
import { connect } from "../../scripts/database/connect";
import { parseTarget } from "../../scripts/database/target";
import { differingBuckets } from "../../scripts/fingerprint/compare";
import { hashTable } from "../../scripts/fingerprint/compute";
import { type TableFingerprint, bucketCountFor } from "../../scripts/fingerprint/fingerprint";
import type { HashedTable } from "../../scripts/fingerprint/hashing";
import { narrowBuckets } from "../../scripts/fingerprint/narrowBuckets";
import { type RowDifferences, findRowDifferences } from "../../scripts/fingerprint/rowDifferences";
import { freshDatabase } from "../servers/postgres";

const rows = 60_000;

describe("differing rows of a large table", function () {
  this.timeout(60_000);
  let original: Client;
  let live: Client;

  before(async () => {
    original = await connect(parseTarget(await freshDatabase("rows_before"), "x"));
    live = await connect(parseTarget(await freshDatabase("rows_after"), "x"));
    for (const client of [original, live]) {
      await client.query(`
        CREATE TABLE public.notes (id int PRIMARY KEY, body text);
        INSERT INTO public.notes SELECT n, 'note ' || n FROM generate_series(1, ${rows}) n`);
    }
  });
  after(() => Promise.all([original.end(), live.end()]));
  beforeEach(() => live.query("BEGIN"));
  afterEach(() => live.query("ROLLBACK"));

  async function suspicious(key: readonly string[]): Promise<{ table: TableFingerprint; buckets: number[] }> {
    const bucketCount = bucketCountFor(rows, key.length > 0);
    const hashed: HashedTable = {
      ...{ schema: "public", name: "notes", columns: ["id", "body"], key, bucketCount, rowText: "joined" },
    };
    const table = await hashTable(original, hashed);
    return { table, buckets: differingBuckets(table, await hashTable(live, hashed)) };
  }

  async function find(key: readonly string[]): Promise<RowDifferences & { missingKeys: string[] }> {
    const { table, buckets } = await suspicious(key);
    const missingKeys: string[] = [];
    const onMissing = (text: string): void => void missingKeys.push(text);
    await original.query("BEGIN");
    try {
      return { ...(await findRowDifferences(original, live, table, buckets, { onMissing })), missingKeys };
    } finally {
      await original.query("ROLLBACK");
    }
  }

  const scattered = `
    UPDATE public.notes SET body = body || '!' WHERE id % 100 = 1;
    DELETE FROM public.notes WHERE id % 10000 = 2;
    INSERT INTO public.notes SELECT n, 'new' FROM generate_series(${rows + 1}, ${rows + 300}) n`;

  it("are found where a few differ in nearly every bucket, and few others are read", async () => {
    await live.query(scattered);
    const { table, buckets } = await suspicious(["id"]);
    assert.ok(buckets.length > table.bucketCount * 0.9, "nearly every bucket differs");
    const narrowed = await narrowBuckets(original, live, table, buckets);
    const share = narrowed.buckets.length / narrowed.table.bucketCount;
    assert.ok(share > 0.01 && share < 0.25, `${share} of the rows are read`);
    const { missingKeys, ...found } = await find(["id"]);
    assert.deepEqual(found, { missing: 6, changed: 600, unwritten: 0, added: 300 });
    const lost = [2, 10_002, 20_002, 30_002, 40_002, 50_002].map((id) => `{"id" : "${id}"}`);
    assert.deepEqual(missingKeys.sort(), lost.sort());
  });

  it("are found in a table without a key", async () => {
    await live.query(scattered);
    const { missingKeys, ...found } = await find([]);
    assert.deepEqual(found, { missing: 606, changed: 0, unwritten: 0, added: 900 });
    assert.equal(missingKeys.length, 606);
  });

  it("are found where all differ", async () => {
    await live.query("UPDATE public.notes SET body = 'same'");
    assert.equal((await find(["id"])).changed, rows);
  });

  it("are found in buckets that one side has not", async () => {
    await live.query("DELETE FROM public.notes WHERE id > 100");
    assert.equal((await find(["id"])).missing, rows - 100);
  });
});
