/** What a release adds to the source under load is carried over to the live replica; what is no addition is refused. */
import assert from "node:assert/strict";
import type { Refusal } from "../../scripts/contract/failure";
import { withPair } from "../../scripts/replica/pair";
import { readDrift } from "../../scripts/replica/drift";
import { setUpReplica } from "../../scripts/replica/setUp";
import { planSync, syncReplica } from "../../scripts/replica/sync";
import { verifyReplica } from "../../scripts/replica/verify";
import { runCli } from "../servers/cli";
import { ask } from "../servers/postgres";
import { type TestPair, type Writers, freshPair, replicatedSchema, startWriters } from "../servers/replicaPair";

describe("definitions carried over to the live replica", function () {
  this.timeout(120_000);
  let test: TestPair;

  before(async () => {
    test = await freshPair(`${replicatedSchema}
      CREATE VIEW won AS SELECT id, name FROM clients WHERE stage = 'won'; COMMENT ON VIEW won IS 'of then'`);
    await setUpReplica(test.pair);
  });

  const ending: Writers[] = [];
  afterEach(async () => void (await Promise.all(ending.splice(0).map((writers) => writers.stop()))));

  it("columns, tables, indexes, constraints, labels, a view, rights, sequences: under 4 writers, equal to the last row", async () => {
    const role = `reader_${new URL(test.sourceUrl).pathname.slice(1)}`;
    const writers = startWriters(test.sourceUrl, 4);
    ending.push(writers);
    await ask(
      test.sourceUrl,
      `ALTER TYPE stage ADD VALUE 'lost' AFTER 'lead';
       CREATE SCHEMA billing; CREATE DOMAIN billing.amount AS numeric(12, 2) CHECK (VALUE >= 0);
       CREATE SEQUENCE billing.ticket START 70;
       -- The value that the rows got when the column came is known to the source alone, also where the default went since.
       ALTER TABLE clients ADD COLUMN seen_at timestamptz DEFAULT now(), ADD COLUMN source text DEFAULT 'im''port',
         ADD COLUMN credit billing.amount, ADD COLUMN ticket bigint, ADD COLUMN twice numeric GENERATED ALWAYS AS (balance * 2) STORED;
       ALTER TABLE clients ALTER COLUMN source DROP DEFAULT, ALTER COLUMN ticket SET DEFAULT nextval('billing.ticket');
       ALTER TABLE measured ADD COLUMN unit text NOT NULL DEFAULT 'mm';
       -- Filled by the release and then demanded: the rows must arrive before the replica may demand it.
       UPDATE clients SET credit = 1; ALTER TABLE clients ALTER COLUMN credit SET DEFAULT 0;
       CREATE TABLE billing.invoices (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client_id bigint NOT NULL REFERENCES clients ON DELETE CASCADE,
         total billing.amount NOT NULL, note text DEFAULT 'none');
       CREATE INDEX ON billing.invoices (client_id);
       INSERT INTO billing.invoices (client_id, total) SELECT id, id FROM clients WHERE id <= 500;
       ALTER TABLE coded ADD CONSTRAINT short CHECK (length(code) < 40), ADD COLUMN invoice_id bigint REFERENCES billing.invoices;
       CREATE UNIQUE INDEX coded_note ON coded (code, note); COMMENT ON INDEX coded_note IS 'by note';
       CREATE INDEX measured_place ON measured (place);
       CREATE TABLE readings (at date NOT NULL, PRIMARY KEY (at)) PARTITION BY RANGE (at);
       CREATE TABLE readings_1 PARTITION OF readings DEFAULT;
       CREATE OR REPLACE VIEW won AS SELECT id, name, source FROM clients WHERE stage = 'won';
       CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.balance := NEW.balance + 2; RETURN NEW; END';
       CREATE ROLE ${role}; GRANT SELECT ON clients, billing.invoices TO ${role}; GRANT USAGE ON SCHEMA billing, public TO ${role};
       COMMENT ON VIEW won IS 'of now'`,
    );
    const planned = await planSync(test.pair);
    assert.deepEqual(planned.refused, []);
    assert.deepEqual(planned.published.toSorted(), ["billing.invoices", "public.readings_1"]);
    const result = await syncReplica(test.pair);
    assert.ok(result.sequences.includes("billing.ticket"), result.sequences.join());
    assert.deepEqual(result.compared.toSorted(), ["public.clients", "public.coded", "public.measured"].toSorted());
    await ask(test.sourceUrl, "INSERT INTO billing.invoices (client_id, total) VALUES (7, 7)");
    const done = writers.committed();
    await writers.stop();
    assert.ok(done > 20, `${done} transactions`);
    assert.equal((await verifyReplica(test.pair)).verdict, "equal");
    assert.deepEqual(await withPair(test.pair, readDrift), []);
    const rows =
      "SELECT count(*), sum(hashtextextended(c::text, 0)) FROM clients c WHERE seen_at IS NOT NULL AND source IS NOT NULL";
    assert.deepEqual(await ask(test.replicaUrl, rows), await ask(test.sourceUrl, rows));
    assert.deepEqual(await ask(test.replicaUrl, "SELECT obj_description('coded_note'::regclass) AS told"), [
      { told: "by note" },
    ]);
    const again = await syncReplica(test.pair);
    assert.deepEqual([again.made, again.published], [[], []]);
    assert.equal((await verifyReplica(test.pair, { exact: true })).verdict, "equal");
  });

  it("what was filled and then demanded arrives first; the command says what it does, and does it", async () => {
    await ask(
      test.sourceUrl,
      `ALTER TABLE clients ADD COLUMN region text; UPDATE clients SET region = 'r' || id % 3;
       ALTER TABLE clients ALTER COLUMN region SET NOT NULL; CREATE UNIQUE INDEX clients_region ON clients (region, id)`,
    );
    const look = await runCli(["replication:sync", "--dry-run"], test.env);
    assert.equal(look.code, 0, look.stderr);
    assert.match(look.stdout, /ADD COLUMN region text\n[^]*ALTER COLUMN region SET NOT NULL/);
    assert.equal(
      (await ask(test.replicaUrl, "SELECT FROM information_schema.columns WHERE column_name = 'region'")).length,
      0,
    );
    const run = await runCli(["replication:sync", "--yes"], test.env);
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stdout, /every row of public\.clients compared, all equal/);
  });

  it("what is no addition is refused with its reason, and nothing is changed", async () => {
    const before = await ask(test.replicaUrl, "SELECT count(*) FROM pg_attribute");
    await ask(
      test.sourceUrl,
      `ALTER TABLE messages RENAME COLUMN body TO content; ALTER TABLE coded ADD COLUMN token uuid DEFAULT gen_random_uuid();
       ALTER TABLE clients ADD COLUMN place bigserial; ALTER TABLE messages ALTER COLUMN number TYPE bigint;
       DROP INDEX clients_name; CREATE INDEX clients_name ON clients (name); ALTER TABLE clients ADD COLUMN harmless int;
       CREATE TABLE keyless (a int)`,
    );
    await assert.rejects(syncReplica(test.pair), (error: Refusal) => /no primary key/.test(error.details.join()));
    await ask(test.sourceUrl, "DROP TABLE keyless");
    await assert.rejects(syncReplica(test.pair), (error: Refusal) => {
      assert.match(error.message, /^5 change\(s\) .* nothing was changed on the replica$/);
      const told = error.details.join("\n");
      for (const pattern of [
        /column public\.messages\.content: the replica has public\.messages\.body, .* renamed or dropped/,
        /column public\.coded\.token: each row got a value of its own on the source \(gen_random_uuid\(\)\)/,
        /column public\.clients\.place: each row got a value of its own on the source \(nextval/,
        /column public\.messages\.number: is bigint on the source, integer on the replica/,
        /index public\.clients_name: has another definition, .* drop it on the replica and run this again/,
      ])
        assert.match(told, pattern);
      return true;
    });
    assert.deepEqual(await ask(test.replicaUrl, "SELECT count(*) FROM pg_attribute"), before);
  });
});
