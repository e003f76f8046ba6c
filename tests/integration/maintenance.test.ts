/** The write fence on a Supabase project: what it takes is given back exactly, whatever dies in between. */
import assert from "node:assert/strict";
import { Client } from "pg";
import { readMaintenance, takeMaintenanceTurn } from "../../scripts/control/maintenance";
import { openStore } from "../../scripts/store/openStore";
import { type CliRun, runCli, startCli } from "../servers/cli";
import { freshStore } from "../servers/crm";
import { type SupabaseProject, startSupabaseProject } from "../servers/supabase";

/** Grants that are hard to put back: by several grantors, to PUBLIC, of columns, through a group, passed on. */
const schema = `
  CREATE TABLE leads (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, note text);
  INSERT INTO leads (name) VALUES ('Ada'), ('Grace');
  CREATE TABLE "Odd ""Name""" (id int); CREATE VIEW named AS SELECT id, name FROM leads;
  CREATE TABLE kept (id int); REVOKE ALL ON kept FROM anon, authenticated, service_role;
  CREATE SEQUENCE numbers; GRANT USAGE ON SEQUENCE numbers TO authenticated; GRANT ALL ON SEQUENCE numbers TO service_role;
  REVOKE ALL ON leads FROM anon; GRANT INSERT ON leads TO service_role WITH GRANT OPTION;
  GRANT INSERT (name), UPDATE (note), SELECT (name) ON leads TO writers; GRANT DELETE ON "Odd ""Name""" TO PUBLIC;
  CREATE FUNCTION add_lead(text) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO public.leads (name) VALUES ($1)';`;

async function run(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

describe("deploy:maintenance", function () {
  this.timeout(120_000);
  let project: SupabaseProject;
  let env: Record<string, string>;
  let untouched: unknown;

  before(async () => {
    project = await startSupabaseProject();
    await run(
      project.adminUrl,
      `CREATE ROLE writers; GRANT writers TO service_role; CREATE ROLE bob LOGIN; GRANT bob TO postgres;
       GRANT pg_signal_backend TO postgres; ALTER ROLE authenticator PASSWORD 'x';
       GRANT INSERT ON storage.objects TO authenticated`,
    );
    await run(project.url, schema);
    await run(project.url, "SET ROLE service_role; GRANT INSERT ON leads TO anon, bob");
    env = { DATABASE_URL: project.url, BACKUP_STORE: freshStore() };
    untouched = await acls();
  });
  after(() => project.cluster.stop());

  const cli = (...words: string[]): Promise<CliRun> => runCli(["deploy:maintenance", ...words], env);
  const record = () => readMaintenance(openStore(env["BACKUP_STORE"]));

  async function passes(...words: string[]): Promise<any> {
    const ended = await cli(...words, "--json");
    assert.equal(ended.code, 0, ended.stderr + ended.stdout);
    return JSON.parse(ended.stdout);
  }

  /** Every access control list of relations and columns, as sets: a grant that is given back may stand elsewhere in it. */
  const acls = (): Promise<unknown> =>
    run(
      project.adminUrl,
      `SELECT oid::regclass::text AS name, ARRAY(SELECT unnest(relacl)::text ORDER BY 1) AS acl, relacl IS NULL AS none
         FROM pg_class WHERE relnamespace::regnamespace::text IN ('public', 'storage', 'auth')
       UNION ALL SELECT attrelid::regclass || '.' || attname, ARRAY(SELECT unnest(attacl)::text ORDER BY 1), attacl IS NULL
         FROM pg_attribute WHERE attrelid > 16000 ORDER BY 1`,
    );

  async function refuses(role: string, statement: string): Promise<void> {
    await assert.rejects(
      run(project.url, `SET ROLE ${role}; ${statement}`),
      { code: "42501" },
      `${role}: ${statement}`,
    );
  }

  it("says first what it will do and what it cannot hold, and changes nothing without an answer", async () => {
    const asked = await cli("on");
    assert.equal(asked.code, 2, asked.stderr);
    assert.match(asked.stderr, /keeps anon, authenticated, service_role from writing to 127\.0\.0\.1:\d+\/postgres/);
    assert.match(asked.stderr, /these lose rights too, until then: .*bob.*/);
    assert.match(asked.stderr, /may not take away the rights on storage\.objects/);
    assert.match(asked.stderr, /owner's rights: .*add_lead\(text\)/);
    assert.match(asked.stderr, /can log in and write: .*postgres \(DATABASE_URL\), supabase_admin \(superuser\)/);
    assert.deepEqual(await acls(), untouched);
    assert.equal(await record(), undefined);
  });

  it("takes the rights to write, ends the sessions, and each role's write is refused; reading goes on", async () => {
    const owner = new URL(project.url);
    const session = new Client({
      ...{ host: owner.hostname, port: Number(owner.port), database: "postgres", user: "authenticator", password: "x" },
    });
    session.on("error", () => undefined);
    await session.connect();
    await session.query("SET ROLE authenticated; BEGIN; INSERT INTO leads (name) VALUES ('uncommitted')");

    const raised = await passes("on", "--yes");
    assert.equal(raised.sessionsEnded, 1);
    assert.ok(raised.refused >= 6, JSON.stringify(raised));
    await assert.rejects(session.query("COMMIT"));

    for (const role of ["anon", "authenticated", "service_role"]) {
      await refuses(role, "INSERT INTO leads (name) VALUES ('x')");
      await refuses(role, "DELETE FROM named");
      await refuses(role, `DELETE FROM "Odd ""Name"""`);
    }
    await refuses("service_role", "UPDATE leads SET note = 'x'");
    await refuses("service_role", "TRUNCATE leads");
    await refuses("authenticated", "SELECT nextval('numbers')");
    await refuses("bob", "INSERT INTO leads (name) VALUES ('x')");
    await run(project.url, "SET ROLE service_role; SELECT count(*) FROM leads");
    assert.match((await cli("status")).stdout, /it holds: \d+ write\(s\) tried, all refused/);
  });

  it("again it changes nothing that is on record, and takes what was granted meanwhile", async () => {
    const grants = (await record())?.grants;
    await passes("on", "--yes");
    assert.deepEqual((await record())?.grants, grants);
    await run(project.url, "CREATE TABLE young (id int)");
    const status = await cli("status");
    assert.equal(status.code, 1, status.stdout);
    assert.match(status.stdout, /finding: anon may write to public\.young/);
    await passes("on", "--yes");
    await refuses("anon", "INSERT INTO young VALUES (1)");
    await run(project.url, "DROP TABLE young");
  });

  it("gives back exactly what it took, and names what is gone", async () => {
    const lifted = await passes("off", "--yes");
    assert.deepEqual(lifted.notes, ["public.young is gone: its rights are not given back"]);
    assert.deepEqual(await acls(), untouched);
    assert.equal((await record())?.state, "off");
    assert.equal((await passes("off", "--yes")).given, 0);
  });

  for (const [words, after] of [
    ["on", /taking away/],
    ["on", /taken away/],
    ["on", /ended; proving/],
    ["off", /giving back/],
    ["off", /equal to what was taken/],
  ] as const) {
    it(`killed at ${after.source} of ${words}, run again it finishes, and everything comes back`, async () => {
      if (words === "off") await passes("on", "--yes");
      const child = startCli(["deploy:maintenance", words, "--yes"], env);
      child.process.stderr?.on("data", () => {
        if (after.test(child.stderr())) child.process.kill("SIGKILL");
      });
      await child.ended;
      await passes(words, "--yes");
      if (words === "on") {
        await refuses("authenticated", "DELETE FROM leads");
        await passes("off", "--yes");
      }
      assert.deepEqual(await acls(), untouched);
    });
  }

  it("one run at a time changes it", async () => {
    const turn = await takeMaintenanceTurn(openStore(env["BACKUP_STORE"]), "other", (current) => current!);
    const busy = await cli("on", "--yes");
    assert.equal(busy.code, 3, busy.stderr);
    assert.match(busy.stderr, /another run changes the write fence: other \(process/);
    await turn.end();
    assert.deepEqual(await acls(), untouched);
  });

  it("roles that nothing keeps from writing are refused, each with its reason", async () => {
    await run(project.adminUrl, "ALTER TABLE kept OWNER TO bob");
    const settings = { rollback: { fencedRoles: ["supabase_admin", "postgres", "bob", "authenticator"] } };
    const refused = await runCli(["deploy:maintenance", "on", "--yes"], {
      ...env,
      DBPROTECT_SETTINGS: JSON.stringify(settings),
    });
    assert.equal(refused.code, 1, refused.stderr);
    assert.match(refused.stderr, /supabase_admin is a superuser/);
    assert.match(refused.stderr, /postgres is, or can become, postgres, the role of DATABASE_URL/);
    assert.match(refused.stderr, /bob owns public\.kept/);
    assert.match(refused.stderr, /authenticator: postgres may not take on this role/);
  });
});
