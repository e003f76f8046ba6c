/** A table's policy: its own, else that of what it is a partition of; and a name that no table has. */
import assert from "node:assert/strict";
import { tablePolicySchema } from "../../../scripts/settings";
import { demandKnownTables, policyOf } from "../../../scripts/verification/tablePolicies";

const table = (name: string, ...ancestors: string[]) => ({ schema: "public", name, ancestors });
const any = tablePolicySchema.parse({ deletes: "any" });
const none = tablePolicySchema.parse({});

describe("the policy of a table", () => {
  it("is its own, else the nearest of those it is a partition of, else the default", () => {
    const policies = { "public.events": any, "public.events_2026": none };
    assert.equal(policyOf(table("events_2025_01", "public.events_2025", "public.events"), policies), any);
    assert.equal(policyOf(table("events_2026_01", "public.events_2026", "public.events"), policies), none);
    assert.deepEqual(policyOf(table("tasks"), policies), none);
    assert.deepEqual(policyOf(table("constructor"), {}), none);
  });

  it("may be of any table, of a partitioned one, and of one that is expected", () => {
    const tables = [table("tasks"), table("events_1", "public.events")];
    demandKnownTables({ "public.tasks": any, "public.events": any, "public.new": any }, tables, ["public.new"]);
  });

  it("is refused for a name that no table has, with the nearest", () => {
    const tables = [table("clients"), table("tasks"), table("events_1", "public.events")];
    const refusal = (name: string, expected: string): [() => void, RegExp] => [
      () => demandKnownTables({ [name]: any }, tables),
      new RegExp(`tables: found ${name}, and the database has no such table: expected ${expected}$`),
    ];
    assert.throws(...refusal("public.cleints", "public.clients"));
    assert.throws(...refusal("public.event", "public.events"));
    assert.throws(...refusal("crm.tasks", "public.tasks"));
    assert.throws(() => demandKnownTables({ "public.x": any }, []), /expected the name of a table, <schema>.<table>/);
  });
});
