/** Which archive holds which rows: every row in one, shares about equal, small databases left to pg_dump. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type PlannedTable, excludedRows, planRows } from "../../../scripts/backup/planRows";
import { pageCondition } from "../../../scripts/database/pageRanges";

const mebibyte = 1024 * 1024;

function table(name: string, megabytes: number, more: Partial<PlannedTable> = {}): PlannedTable {
  const bytes = megabytes * mebibyte;
  return {
    ...{ schema: "public", name, bytes, pages: Math.ceil(bytes / 8192), heap: true, loadedByRoot: false },
    ...{ dataColumns: ["id"], ...more },
  };
}

/** `big[0,100) big[100,) other`. */
function shown(tables: readonly PlannedTable[], options: Parameters<typeof planRows>[1]): string {
  return planRows(tables, options)
    .copied.map(({ table, range }) => `${table.name}${range === null ? "" : `[${range.from},${range.to ?? ""})`}`)
    .join(" ");
}

const two = { jobs: 2, serverMajor: 17 };

describe("the plan of a backup's rows", () => {
  it("leaves a small database to pg_dump", () => {
    const plan = planRows([table("a", 10), table("b", 3)], two);
    assert.deepEqual(plan.copied, []);
    assert.equal(plan.dumpedBytes, 13 * mebibyte);
  });

  it("cuts the table that is larger than its fair share, and leaves the rest to pg_dump", () => {
    assert.equal(
      shown([table("small", 2), table("big", 64)], two),
      "big[0,2048) big[2048,4096) big[4096,6144) big[6144,)",
    );
  });

  it("gives middling tables an archive each, until what is left is a fair share", () => {
    const tables = ["a", "b", "c", "d", "e"].map((name) => table(name, 15));
    const plan = planRows(tables, two);
    assert.equal(shown(tables, two), "a b c d");
    assert.equal(plan.dumpedBytes, 15 * mebibyte);
  });

  it("cuts no table of a server that would read it whole for every range", () => {
    assert.equal(shown([table("big", 100)], { ...two, serverMajor: 13 }), "big");
    assert.equal(shown([table("columnar", 100, { heap: false })], two), "columnar");
  });

  it("leaves to pg_dump what COPY cannot bring back", () => {
    const tables = [table("bare", 100, { dataColumns: [] }), table("leaf", 100, { loadedByRoot: true })];
    assert.equal(shown(tables, two), "");
  });

  it("cuts no further than there are pages, where the bytes are stored beside the table", () => {
    assert.equal(shown([table("documents", 100, { pages: 2 })], two), "documents[0,1) documents[1,)");
  });

  it("gives pg_dump no more names than a program can be started with", () => {
    const tables = Array.from({ length: 20_000 }, (_, n) => table(`a_table_with_a_rather_long_name_${n}`, 20));
    const names = new Set(planRows(tables, { jobs: 8, serverMajor: 17 }).copied.map(({ table }) => table));
    const bytes = [...names].reduce((sum, table) => sum + excludedRows(table).length, 0);
    assert.ok(bytes > 400_000 && bytes <= 524_288, `${bytes} bytes`);
  });

  it("quotes what pg_dump would read as a pattern", () => {
    assert.equal(excludedRows({ schema: "S*", name: 'a "b"' }), '--exclude-table-data="S*"."a ""b"""');
  });

  it("covers every page of every copied table once, and counts every byte", () => {
    const tables = fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 12 });
    fc.assert(
      fc.property(tables, fc.integer({ min: 1, max: 8 }), (sizes, jobs) => {
        const all = sizes.map((megabytes, n) => table(`t${n}`, megabytes));
        const plan = planRows(all, { jobs, serverMajor: 17 });
        const copied = plan.copied.reduce((sum, piece) => sum + piece.bytes, 0);
        assert.ok(Math.abs(copied + plan.dumpedBytes - plan.totalBytes) < 1);
        for (const one of new Set(plan.copied.map(({ table }) => table))) {
          const ranges = plan.copied.filter(({ table }) => table === one).map(({ range }) => range);
          if (ranges.length === 1) assert.equal(ranges[0], null);
          else {
            assert.equal(ranges[0]!.from, 0);
            assert.deepEqual(
              ranges.slice(0, -1).map((range) => range!.to),
              ranges.slice(1).map((range) => range!.from),
            );
            assert.equal(ranges.at(-1)!.to, null);
          }
        }
      }),
    );
  });
});

describe("the condition of a range of pages", () => {
  it("is open at the table's end, and absent for all of it", () => {
    assert.equal(pageCondition(null), "");
    assert.equal(pageCondition({ from: 3, to: 7 }), " WHERE ctid >= '(3,0)' AND ctid < '(7,0)'");
    assert.equal(pageCondition({ from: 7, to: null }), " WHERE ctid >= '(7,0)'");
  });
});
