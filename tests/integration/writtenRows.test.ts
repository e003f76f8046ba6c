/** Rows told apart by whether they were written: whatever was done to a table, the same is found as row by row. */
import assert from "node:assert/strict";
import type { Client } from "pg";
import { connect } from "../../scripts/database/connect";
import { openSnapshot } from "../../scripts/database/snapshot";
import { parseTarget } from "../../scripts/database/target";
import { differingBuckets } from "../../scripts/fingerprint/compare";
import { type ReadTable, hashTable, readTables } from "../../scripts/fingerprint/compute";
import type { TableFingerprint } from "../../scripts/fingerprint/fingerprint";
import type { HashedTable } from "../../scripts/fingerprint/hashing";
import { type RowDifferences, type RowListener, findRowDifferences } from "../../scripts/fingerprint/rowDifferences";
import { findWrittenDifferences, mostWrittenRows } from "../../scripts/fingerprint/writtenRows";
import { randomNumbers, seeds } from "../servers/campaign";
import { freshDatabase } from "../servers/postgres";

const notes: HashedTable = {
  ...{ schema: "public", name: "notes", columns: ["body", "day", "id"], key: ["id", "day"] },
  ...{ bucketCount: 16, rowText: "joined" },
};

/** Each takes some of the rows, `%s` of them. */
const writes = [
  "UPDATE public.notes SET body = body || '!' WHERE %s",
  "UPDATE public.notes SET body = body WHERE %s",
  "UPDATE public.notes SET body = NULL WHERE %s",
  "UPDATE public.notes SET day = day + 400 WHERE %s",
  "DELETE FROM public.notes WHERE %s",
  "WITH gone AS (DELETE FROM public.notes WHERE %s RETURNING id, day) INSERT INTO public.notes SELECT id, day, 'back' FROM gone ON CONFLICT DO NOTHING",
  "INSERT INTO public.notes SELECT id + 100000, day, 'new' FROM public.notes WHERE %s ON CONFLICT DO NOTHING",
  "UPDATE public.notes SET id = -id WHERE %s",
  "SAVEPOINT s; DELETE FROM public.notes WHERE %s; ROLLBACK TO s",
  "SAVEPOINT s; UPDATE public.notes SET body = 'of a subtransaction' WHERE %s; RELEASE s",
];

describe("rows that were written since a snapshot", function () {
  this.timeout(120_000);
  let original: Client;
  let live: Client;
  let url: string;
  let table: TableFingerprint;
  let since: string;

  before(async () => {
    url = await freshDatabase("written_rows_now");
    original = await connect(parseTarget(await freshDatabase("written_rows_before"), "x"));
    live = await connect(parseTarget(url, "x"));
  });
  after(() => Promise.all([original.end(), live.end()]));
  beforeEach(async () => {
    for (const client of [original, live]) {
      await client.query(`
        DROP TABLE IF EXISTS public.notes;
        CREATE TABLE public.notes (id int, day date, body text, PRIMARY KEY (id, day));
        INSERT INTO public.notes SELECT n / 2, date '2026-01-01' + n % 365, 'note ' || n FROM generate_series(1, 3000) n`);
    }
    table = await hashTable(original, notes);
    since = (await live.query<{ at: string }>("SELECT pg_current_snapshot()::text AS at")).rows[0]!.at;
  });

  interface Found extends RowDifferences {
    readonly told: readonly string[];
  }

  async function heard(find: (listener: RowListener) => Promise<RowDifferences>): Promise<Found> {
    const told: string[] = [];
    const found = await find({
      onMissing: (key, place) => void told.push(`missing ${key} at ${place}`),
      onChanged: (place) => void told.push(`changed at ${place}`),
      onUnwritten: (key) => void told.push(`unwritten ${key}`),
    });
    return { ...found, told: told.sort() };
  }

  async function find(): Promise<{ apart: Found; byRow: Found; read: ReadTable }> {
    const snapshot = await openSnapshot(parseTarget(url, "x"));
    try {
      const at = snapshot.tables.find(({ name }) => name === "notes")!;
      const [read] = await readTables(snapshot, [{ at, as: notes, since }], { jobs: 2 });
      const { now, apart } = read!;
      assert.deepEqual(now, await hashTable(snapshot.leader, notes), "read apart, it is the same table");
      return {
        read: read!,
        apart: await heard((listener) =>
          findWrittenDifferences(original, snapshot.leader, table, apart!, listener, since),
        ),
        byRow: await heard((listener) =>
          findRowDifferences(original, snapshot.leader, table, differingBuckets(table, now), listener, since),
        ),
      };
    } finally {
      await snapshot.close();
    }
  }

  for (const seed of seeds(120)) {
    it(`are found as row by row, seed ${seed}`, async () => {
      const random = randomNumbers(seed);
      const choose = (most: number): number => Math.floor(random() * most);
      await live.query("BEGIN");
      for (let steps = 1 + choose(5); steps > 0; steps--) {
        const part = 2 ** (2 + choose(8));
        await live.query(writes[choose(writes.length)]!.replace("%s", `(id + ${choose(part)}) % ${part} = 0`));
      }
      await live.query("COMMIT");
      const { apart, byRow } = await find();
      assert.deepEqual(apart, byRow);
    });
  }

  it("do not hide a row that is gone, nor one whose content nobody wrote", async () => {
    await live.query(`
      UPDATE public.notes SET body = 'written' WHERE id % 3 = 0;
      DELETE FROM public.notes WHERE id = 7 AND body = 'note 14'`);
    // Written by a transaction that the snapshot knew: what a fallen bit looks like.
    const known = (await live.query<{ at: string }>("SELECT pg_current_snapshot()::text AS at")).rows[0]!.at;
    await original.query("UPDATE public.notes SET body = 'other' WHERE id = 8");
    table = await hashTable(original, notes);
    const lost = await find();
    assert.deepEqual(lost.apart, lost.byRow);
    assert.deepEqual([lost.apart.missing, lost.apart.unwritten], [1, 2]);
    assert.ok(lost.apart.changed > 900);
    since = known;
    const none = await find();
    assert.deepEqual([none.read.apart?.written, none.apart], [[], none.byRow]);
  });

  it("are not held when there are too many: then nothing is told apart", async () => {
    await live.query(
      `INSERT INTO public.notes SELECT n, '2030-01-01', '' FROM generate_series(1, ${mostWrittenRows}) n`,
    );
    const snapshot = await openSnapshot(parseTarget(url, "x"));
    try {
      const at = snapshot.tables.find(({ name }) => name === "notes")!;
      const [held] = await readTables(snapshot, [{ at, as: notes, since }], { jobs: 2 });
      assert.equal(held?.apart?.written.length, mostWrittenRows);
      const twice = [
        { at, as: notes, since },
        { at, as: notes, since },
      ];
      const [first, second] = await readTables(snapshot, twice, { jobs: 2 });
      const known = [first, second].filter((read) => read?.now !== undefined);
      assert.ok(known.length <= 1, "both together are more than are held");
      for (const read of [first, second]) assert.equal(read?.now === undefined, read?.apart === undefined);
    } finally {
      await snapshot.close();
    }
  });
});
