/** The order in which rows are put back: parents first, and together what needs each other. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parentsFirst } from "../../../scripts/repair/foreignKeyOrder";

describe("foreign keys' order", () => {
  const sorted = (parents: Record<string, string>): string[] =>
    parentsFirst(Object.keys(parents), (table) => [...(parents[table] ?? "")]).map((group) =>
      group.toSorted().join(""),
    );

  it("has parents before children, and tables that need each other in one group", () => {
    assert.deepEqual(sorted({ c: "b", b: "a", a: "" }), ["a", "b", "c"]);
    assert.deepEqual(sorted({ a: "a" }), ["a"]);
    assert.deepEqual(sorted({ d: "c", c: "b", b: "ac", a: "" }), ["a", "bc", "d"]);
    assert.deepEqual(sorted({}), []);
  });

  it("holds for any graph", () => {
    const graphs = fc.integer({ min: 1, max: 12 }).chain((size) => {
      const table = fc.nat(size - 1);
      return fc.array(fc.uniqueArray(table), { minLength: size, maxLength: size });
    });
    fc.assert(
      fc.property(graphs, (parents) => {
        const groups = parentsFirst([...parents.keys()], (table) => parents[table]!);
        const groupOf = (table: number): number => groups.findIndex((group) => group.includes(table));
        assert.deepEqual(
          groups.flat().toSorted((a, b) => a - b),
          [...parents.keys()],
        );
        for (const [table, own] of parents.entries())
          for (const parent of own) assert.ok(groupOf(parent) <= groupOf(table));
        for (const group of groups)
          for (const table of group)
            assert.deepEqual(
              group.filter((other) => reaches(parents, table, other)),
              group,
            );
      }),
    );
  });

  function reaches(parents: readonly (readonly number[])[], from: number, to: number): boolean {
    const seen = new Set([from]);
    for (const table of seen) for (const parent of parents[table]!) seen.add(parent);
    return seen.has(to);
  }
});
