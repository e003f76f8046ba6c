/** Scripts are cut into statements as psql cuts them, wherever the stream cuts its chunks, and judged by what they are. */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { loadModule } from "libpg-query";
import { Damage, Refusal } from "../../../scripts/contract/failure";
import { DumpScript } from "../../../scripts/restore/foreign/dumpScript";
import { randomNumbers } from "../../servers/campaign";

const header = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc123\n\nSET statement_timeout = 0;\n";
const footer = "\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc123\n\n";

/** Everything in which a semicolon, a quote or a `\.` is not what it looks like. */
const hard = `CREATE TABLE public."Quoted ""x"";" (a text DEFAULT 'it''s; \\' /* no -- comment; */, b int);
CREATE TABLE public.plain (id integer, note text DEFAULT E'it\\'s; ''here''; \\\\'); -- ; '
/* outer; /* inner; ' */ still " ; */
CREATE FUNCTION public.f() RETURNS text LANGUAGE plpgsql AS $body$ BEGIN COMMIT; RETURN $$;'$$; END; $body$;
CREATE FUNCTION public.g(n int) RETURNS int LANGUAGE sql
    BEGIN ATOMIC
 SELECT CASE WHEN (n > 1) THEN 1 ELSE 2 END AS "case";
 SELECT 3;
END;
CREATE RULE r AS ON INSERT TO public.plain DO ALSO (NOTIFY a; NOTIFY b);
COPY public."Quoted ""x"";" (a, b) FROM stdin;
one; 'two\t1
\\.x\t2
-- PostgreSQL database dump complete\t3
\\\\.\t\\N
\\.

COPY public.plain (id, note) FROM stdin;
\\.
INSERT INTO public.plain (id, note) VALUES (1, '(a), (b)'), (2, E'\\'('), ((3), NULL);
INSERT INTO public.plain VALUES (4, ';');
ALTER TABLE public.plain OWNER TO "some Owner";
GRANT SELECT ON TABLE public.plain TO reader;
BEGIN;
SELECT pg_catalog.lowrite(0, '\\x00');
COMMIT;
CREATE POLICY p ON public.plain TO member USING (true);
`;

async function read(script: string, cut: () => number): Promise<{ dump: DumpScript; out: string }> {
  const bytes = Buffer.from(script);
  const chunks: Buffer[] = [];
  for (let place = 0; place < bytes.length;) {
    const next = place + Math.max(1, cut());
    chunks.push(bytes.subarray(place, next));
    place = next;
  }
  const dump = Readable.from(chunks, { objectMode: false }).pipe(new DumpScript());
  const out: Buffer[] = [];
  for await (const chunk of dump) out.push(chunk as Buffer);
  return { dump, out: Buffer.concat(out).toString() };
}

const whole = (): number => 1e9;
const summaryOf = async (script: string): Promise<ReturnType<DumpScript["summary"]>> =>
  (await read(script, whole)).dump.summary("it");

describe("the script of a dump", () => {
  before(() => loadModule());

  for (const seed of [0, 1, 2, 3, 4, 5, 6, 7]) {
    it(`is the same wherever its chunks are cut: seed ${seed}`, async () => {
      const random = randomNumbers(seed);
      const cut = seed === 0 ? () => 1 : () => Math.floor(random() * (seed % 2 === 0 ? 300 : 3000));
      const { dump, out } = await read(header + hard.repeat(3) + footer, cut);
      const { tables, roles } = dump.summary("it");
      assert.deepEqual(tables, [
        { schema: "public", name: 'Quoted "x";', defined: true, rows: 12 },
        { schema: "public", name: "plain", defined: true, rows: 12 },
      ]);
      assert.deepEqual(roles, ["member", "reader", "some Owner"]);
      const expected = (header + hard.repeat(3) + footer)
        .replace(/\\(un)?restrict abc123/g, "")
        .replace(/^(BEGIN|COMMIT);$/gm, "");
      assert.equal(out, expected);
    });
  }

  const table = "CREATE TABLE t (a int);\n";
  const rows = "COPY t (a) FROM stdin;\n1\n\\.\n";

  it("finds names without a schema where search_path points", async () => {
    const { tables } = await summaryOf(`${header}SET search_path = shop, pg_catalog;\n${table}${rows}${footer}`);
    assert.deepEqual(tables, [{ schema: "shop", name: "t", defined: true, rows: 1 }]);
  });

  it("counts no rows of statements that may skip some", async () => {
    const { tables } = await summaryOf(`${header}${table}INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING;\n${footer}`);
    assert.equal(tables[0]?.rows, null);
  });

  for (const [what, script, error, message] of [
    ["without its end", header + table + rows, Damage, /unfinished/],
    ["that ends in its rows", `${header}${table}COPY t (a) FROM stdin;\n1\n`, Damage, /unfinished/],
    ["that ends in a text", `${header}${table}${rows}SELECT '${footer}`, Damage, /unfinished/],
    ["whose end is a row", `${header}${table}COPY t (a) FROM stdin;${footer}`, Damage, /unfinished/],
    ["that goes on after its end", `${header}${table}${rows}${footer}CREATE TABLE u (a int);\n`, Damage, /unfinished/],
    [
      "without rows",
      header + table + footer,
      Refusal,
      /schema without data: no row for any of its 1 tables \(public\.t\)/,
    ],
    [
      "of a schema, without comments",
      `SET statement_timeout = 0;\n${table}RESET ALL;\n`,
      Refusal,
      /schema without data/,
    ],
    [
      "with empty tables only",
      `${header}${table}COPY t (a) FROM stdin;\n\\.\n${footer}`,
      Refusal,
      /schema without data/,
    ],
    ["of rows only", header + rows + footer, Refusal, /defines no table/],
    ["with \\connect", `${header}\\connect crm\n${table}${rows}${footer}`, Refusal, /psql's command \\connect/],
    ["with a shell command", `${header}${table}\\! true\n${rows}${footer}`, Refusal, /psql's command \\!/],
    ["with a command inside a statement", `${header}SELECT 1 \\gexec\n${footer}`, Refusal, /psql's command \\gexec/],
    ["with a role", `${header}CREATE ROLE x PASSWORD 'hidden';\n${table}${rows}${footer}`, Refusal, /changes roles/],
    ["with a membership", `${header}GRANT a TO b;\n${table}${rows}${footer}`, Refusal, /changes roles/],
    ["with a database", `${header}CREATE DATABASE x;\n${table}${rows}${footer}`, Refusal, /changes databases/],
    ["with ALTER SYSTEM", `${header}ALTER SYSTEM SET a = 1;\n${table}${rows}${footer}`, Refusal, /changes databases/],
    ["with ROLLBACK", `${header}${table}${rows}ROLLBACK;\n${footer}`, Refusal, /ROLLBACK/],
    ["with COPY from a program", `${header}${table}COPY t FROM PROGRAM 'x';\n${footer}`, Refusal, /elsewhere/],
    ["with escapes in all texts", `${header}SET standard_conforming_strings = off;\n${footer}`, Refusal, /set.* off/],
    ["in an encoding like SJIS", `${header}SET client_encoding = 'SJIS';\n${table}${rows}${footer}`, Refusal, /SJIS/],
  ] as const) {
    it(`is refused ${what}`, async () => {
      await assert.rejects(
        summaryOf(script),
        (thrown: unknown) => thrown instanceof error && message.test(thrown.message) && !/hidden/.test(thrown.message),
      );
    });
  }

  it("takes what a tool appended that says nothing", async () => {
    assert.equal((await summaryOf(`${header}${table}${rows}${footer}RESET ALL;\n`)).tables.length, 1);
  });
});
