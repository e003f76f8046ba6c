/** Functions that only the live database knows, as the judge reads them there. */
import assert from "node:assert/strict";
import { Client } from "pg";
import { judgeMigrations, liveCatalog } from "../../../scripts/migrations/judge";
import { freshDatabase } from "../../servers/postgres";

const schema = `
  CREATE SCHEMA app;
  CREATE TABLE clients (id int PRIMARY KEY CONSTRAINT has_id CHECK (id IS NOT NULL),
    stage text CONSTRAINT is_stage CHECK (stage IS NOT NULL AND stage <> ''),
    email text CONSTRAINT has_email CHECK (email IS NOT NULL));
  CREATE TABLE events (id int) PARTITION BY LIST (id);
  CREATE VIEW mine WITH (security_invoker = true) AS SELECT * FROM clients;
  CREATE FUNCTION purge(keep int DEFAULT 1) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN DELETE FROM clients WHERE stage = 'lost' AND id > keep; TRUNCATE events; RETURN 1; END $$;
  CREATE FUNCTION outer_purge() RETURNS int LANGUAGE sql AS 'SELECT purge()';
  CREATE FUNCTION ask(text) RETURNS text LANGUAGE sql STABLE AS 'SELECT current_setting($1, true)';
  CREATE FUNCTION again(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN again($1); END';
  CREATE FUNCTION any_text(text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE $1; END';
  CREATE FUNCTION app.same(int, int) RETURNS bool LANGUAGE sql AS 'DELETE FROM public.clients RETURNING true';
  CREATE OPERATOR app.=== (FUNCTION = app.same, LEFTARG = int, RIGHTARG = int);
  CREATE PROCEDURE tidy() LANGUAGE sql BEGIN ATOMIC UPDATE clients SET stage = 'x'; END;
  CREATE AGGREGATE most(int) (SFUNC = int4larger, STYPE = int);`;

const cases: readonly [title: string, sql: string, ...refused: string[]][] = [
  [
    "what it deletes",
    "SELECT 1;\nSELECT purge();",
    "delete:2:8 deletes rows of clients, in the body of the live function public.purge()",
    "truncate:2:8 removes every row of events, in the body of the live function public.purge()",
  ],
  ["what it calls in turn", "SELECT outer_purge();", "delete:1:8 deletes rows of clients", "truncate:1:8 removes"],
  [
    "at each place that calls it",
    "SELECT purge(); SELECT purge(2);",
    "delete:1:8 deletes",
    "truncate:1:8 removes",
    "delete:1:24 deletes",
    "truncate:1:24 removes",
  ],
  ["from a DO block", "DO $$ BEGIN\n PERFORM public.purge(); END $$;", "delete:2:10 deletes", "truncate:2:10 removes"],
  ["a procedure", "CALL tidy();", "update:1:6 overwrites values in every row of clients"],
  ["an operator", "SELECT 1 OPERATOR(app.===) 2;", "delete:1:10 deletes every row of public.clients"],
  ["dynamic SQL", "SELECT any_text('DELETE FROM clients');", "dynamic-sql:1:8 the function public.any_text puts"],
  ["an aggregate of one's own", "SELECT most(id) FROM clients;", "unanalysable-function:1:8 runs public.most()"],
  ["one that is not there", "SELECT gone();", "unknown-function:1:8 runs gone()"],
  [
    "an overload that the set does not replace",
    "CREATE FUNCTION purge(text) RETURNS int LANGUAGE sql AS 'SELECT 1';\nSELECT purge(1);",
    "delete:2:8 deletes",
    "truncate:2:8 removes",
  ],
  ["one that reads", "SELECT ask('x'), again(1); INSERT INTO clients SELECT 1 WHERE ask('y') = '';"],
  [
    "one that the set replaces",
    "CREATE OR REPLACE FUNCTION purge(keep integer) RETURNS int LANGUAGE sql AS 'SELECT 1';\nSELECT purge(1);",
  ],
  ["NOT NULL where a constraint says so", "ALTER TABLE clients ALTER COLUMN email SET NOT NULL;"],
  [
    "the constraint that NOT NULL makes needless",
    "ALTER TABLE clients ALTER COLUMN email SET NOT NULL;\nALTER TABLE clients DROP CONSTRAINT has_email;\nALTER TABLE clients DROP CONSTRAINT has_id;",
  ],
  [
    "a constraint that says more than NOT NULL, and one that nothing else says",
    "ALTER TABLE clients DROP CONSTRAINT has_email;\nALTER TABLE clients DROP CONSTRAINT is_stage;",
    "drop-constraint:1:21 drops",
    "drop-constraint:2:21 drops",
  ],
  ["an index of a partitioned table alone", "CREATE INDEX i ON ONLY events (id);"],
  [
    "a view that loses its reader's rights",
    "CREATE OR REPLACE VIEW mine AS SELECT * FROM clients;",
    "view-runs-as-owner:1:1 replaces",
  ],
];

describe("the judge with the live catalog", function () {
  this.timeout(60_000);
  let client: Client;

  before(async () => {
    client = new Client({ connectionString: await freshDatabase("live_functions") });
    await client.connect();
    await client.query(schema);
  });
  after(() => client.end());

  for (const [title, sql, ...refused] of cases) {
    it(title, async () => {
      const { findings } = await judgeMigrations([{ file: "1.sql", sql }], await liveCatalog(client));
      const found = findings
        .filter(({ severity }) => severity === "refuse")
        .map(({ rule, line, column, reason }) => `${rule}:${line}:${column} ${reason}`);
      assert.equal(found.length, refused.length, found.join("\n"));
      refused.forEach((start, place) => assert.ok(found[place]?.startsWith(start), found[place]));
    });
  }
});
