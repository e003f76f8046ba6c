/** One override for one statement: what of the trial's findings the override of a judged statement covers, and what not. */
import assert from "node:assert/strict";
import { coveringOverride, namesInformation } from "../../scripts/gate/overrides";

const override = (what: string) => ({ what, reason: "agreed in CHG-1234", person: "Ada", expires: "2099-01-01" });
const judged = [
  {
    file: "1.sql",
    sha256: "",
    findings: [
      { rule: "delete", reason: "deletes rows of public.clients" },
      { rule: "drop-column", reason: "drops tasks.title with its values" },
      { rule: "backfill", reason: "fills columns of events that this set adds" },
    ],
  },
];
const covers = (id: string, what: string): boolean => coveringOverride(id, judged, [override(what)]) !== undefined;

describe("an override of a judged statement", () => {
  it("covers what the trial found in the very table that the judge named", () => {
    assert.ok(covers("public.clients", "migrations:1.sql:delete"));
    assert.ok(covers("public.clients.updated_at", "migrations:1.sql:delete"));
    assert.ok(covers("public.tasks", "migrations:1.sql:drop-column"));
    assert.ok(covers("public.events.updated_at", "migrations:1.sql:backfill"));
    assert.ok(covers("public.clients", "migrations"));
  });

  it("covers no table beyond it, no other statement, no file that fails", () => {
    assert.ok(!covers("public.tasks", "migrations:1.sql:delete")); // reached by a cascade
    assert.ok(!covers("public.client", "migrations:1.sql:delete"));
    assert.ok(!covers("app.clients", "migrations:1.sql:delete"));
    assert.ok(!covers("public.clients", "migrations:1.sql:drop-column"));
    assert.ok(!covers("public.clients", "migrations:2.sql:delete"));
    assert.ok(!covers("1.sql:fails", "migrations:1.sql:delete"));
  });

  it("of what is only told waits for the trial to need it", () => {
    assert.ok(namesInformation(override("migrations:1.sql:backfill"), judged));
    assert.ok(!namesInformation(override("migrations:1.sql:delete"), judged));
    assert.ok(!namesInformation(override("migrations:1.sql:gone"), judged));
  });
});
