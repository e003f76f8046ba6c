/** A session of psql that is fed from elsewhere: nothing is committed but by `commit`. */
import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Client } from "pg";
import { startProgram } from "../../scripts/database/program";
import { PsqlSession } from "../../scripts/database/psqlSession";
import { findPostgres } from "../../scripts/database/postgresPrograms";
import { parseTarget } from "../../scripts/database/target";
import { freshDatabase } from "../servers/postgres";

describe("a session of psql", () => {
  let url: string;
  const { binDir, major } = findPostgres({ use: "client" });
  const begin = (): Promise<PsqlSession> =>
    PsqlSession.begin({ target: parseTarget(url, "test"), binDir, serverMajor: major });

  before(async () => {
    url = await freshDatabase("psql");
    await tablesAre([]);
  });

  async function tablesAre(expected: readonly string[]): Promise<void> {
    const client = new Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
    await client.end();
    assert.deepEqual(
      rows.map(({ tablename }) => tablename),
      expected,
    );
  }

  it("answers queries that see what was sent, whatever text they hold", async () => {
    const session = await begin();
    await session.send("CREATE TABLE public.a (id int, body text);\n");
    await session.sendAll(Readable.from([Buffer.from("1\tBEGIN;\n2\tx\\ny\n")]), {
      before: "COPY public.a FROM STDIN;\n",
      after: "\\.\n",
    });
    const { rows } = await session.query("SELECT id, body, id > $1::int AS more FROM public.a ORDER BY id", ["1"]);
    assert.deepEqual(rows, [
      { id: 1, body: "BEGIN;", more: false },
      { id: 2, body: "x\ny", more: true },
    ]);
    const names = ['quo"te', "back\\slash", "a,b"];
    assert.deepEqual(
      (await session.query("SELECT unnest($1::text[]) AS name", [names])).rows,
      names.map((name) => ({ name })),
    );
    await session.close();
    await tablesAre([]);
  });

  it("undoes what was only tried", async () => {
    const session = await begin();
    const refused = await session.attempt("CREATE TABLE public.tried (id int); SELECT 1 / 0;");
    assert.deepEqual(refused, { sqlstate: "22012", message: "division by zero" });
    assert.equal(await session.attempt("CREATE TABLE public.made (id int);"), undefined);
    await session.commit();
    await tablesAre(["made"]);
  });

  it("says what the server refused, and commits nothing", async () => {
    const session = await begin();
    await session.send(
      "CREATE TABLE public.b (id int);\nCREATE TABLE public.made (id int);\nCREATE TABLE public.c (id int);\n",
    );
    await assert.rejects(session.commit(), /relation "made" already exists/);
    await session.close();
    await tablesAre(["made"]);
  });

  it("that has ended lets nobody who feeds it wait", async () => {
    const session = await begin();
    await session.send("SELECT 1 / 0;\n");
    await assert.rejects(session.query("SELECT 1 AS one"), /division by zero/);
    const rows = new PassThrough();
    const feeding = pipeline(Readable.from(Array.from({ length: 64 }, () => Buffer.alloc(1 << 16))), rows);
    const [fed, sent] = await Promise.allSettled([feeding, session.sendAll(rows)]);
    assert.equal(fed.status, "rejected");
    assert.match(String(sent.status === "rejected" ? sent.reason : sent.status), /division by zero/);
    await session.close();
  });

  it("is not psql --single-transaction, which commits when whoever feeds it is gone", async () => {
    const program = startProgram({
      ...{ binDir, program: "psql", target: parseTarget(url, "test") },
      args: ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-"],
    });
    program.stdout.resume();
    program.stdin.end("CREATE TABLE public.half (id int);\n");
    await program.succeeded;
    await tablesAre(["half", "made"]);
  });
});
