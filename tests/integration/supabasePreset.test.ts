/**
 * The Supabase preset, on clusters that are dressed up as projects: backed up by a role that is no superuser and
 * cannot read all that the platform keeps, restored on a plain server and beside another project.
 */
import assert from "node:assert/strict";
import { Client } from "pg";
import { createBackup } from "../../scripts/backup/createBackup";
import { type Manifest, readManifest, resolveBackup } from "../../scripts/backup/manifest";
import { readScope, supabaseManaged } from "../../scripts/database/supabasePreset";
import { parseTarget } from "../../scripts/database/target";
import { restoreBeside } from "../../scripts/restore/restoreBeside";
import { openStore } from "../../scripts/store/openStore";
import { type CliRun, runCli } from "../servers/cli";
import { freshStore } from "../servers/crm";
import { withSession } from "../servers/postgres";
import { type SupabaseProject, startSupabaseProject } from "../servers/supabase";

describe("the Supabase preset", function () {
  this.timeout(120_000);
  let project: SupabaseProject;
  let run: CliRun;
  let manifest: Manifest;
  const storeUrl = freshStore();
  const store = openStore(storeUrl);

  before(async () => {
    project = await startSupabaseProject({ filled: true });
    run = await runCli(["db:backup", "--json"], { DATABASE_URL: project.url, BACKUP_STORE: storeUrl });
    assert.equal(run.code, 0, run.stderr);
    manifest = await readManifest(store, await resolveBackup(store, "latest"));
  });

  after(() => (project as SupabaseProject | undefined)?.cluster.stop());

  it("is a verified backup, taken by a role that is no superuser and restored on a plain server", () => {
    const { verification } = JSON.parse(run.stdout) as { verification: { verdict: string; depth: number } };
    assert.deepEqual([verification.verdict, verification.depth], ["verified", 4]);
  });

  it("holds users, metadata of files and the ledger of migrations, and nothing of the platform's", () => {
    assert.deepEqual(
      manifest.tables.map(({ schema, name, rows }) => `${schema}.${name}: ${rows}`),
      [
        "auth.identities: 25",
        "auth.refresh_tokens: 25",
        "auth.users: 25",
        "public.profiles: 25",
        "storage.buckets: 1",
        "storage.objects: 25",
        "supabase_migrations.schema_migrations: 1",
      ],
    );
    assert.deepEqual(
      manifest.extensions.map(({ name }) => name),
      ["pgcrypto", "plpgsql"],
    );
  });

  it("names what it leaves out, also a policy of one's own on a table of the platform's", () => {
    const left = manifest.notRestored.map(({ what }) => what);
    for (const what of [
      ...["schema realtime", "schema vault", "schema graphql", "schema graphql_public", "schema pgbouncer"],
      ...["table auth.schema_migrations", "table storage.migrations", "extension pg_stat_statements"],
      `policy "own room" on realtime.messages`,
      "event trigger pgrst_ddl_watch",
    ]) {
      assert.ok(left.includes(what), `${what} is not in ${left.join(", ")}`);
      assert.ok(run.stderr.includes(`not in a restore: ${what}: `), run.stderr);
    }
    assert.ok(!left.some((what) => what.includes("own files")), "a policy on storage.objects comes back");
  });

  it("can be restored beside another project, by who runs Supabase himself", async () => {
    const other = await startSupabaseProject();
    try {
      const live = parseTarget(other.adminUrl, "test");
      const restored = await restoreBeside({ store, manifest, live, database: "restored" });
      assert.equal(restored.rows, 127);
      const copy = new Client({ connectionString: other.adminUrl.replace(/postgres$/, "restored") });
      await copy.connect();
      const { rows } = await copy.query(
        `SELECT (SELECT count(*)::int FROM auth.users) AS users, pg_get_userbyid(relowner) AS owner
           FROM pg_class WHERE oid = 'auth.users'::regclass`,
      );
      await copy.end();
      assert.deepEqual(rows, [{ users: 25, owner: "supabase_auth_admin" }]);
    } finally {
      await other.cluster.stop();
    }
  });

  it("keeps an extension that every project has where something depends on it", async () => {
    await withOwner(project, async (client) => {
      const names = async (): Promise<string[]> =>
        (await readScope(client, {})).leftOut.filter(({ kind }) => kind === "extension").map(({ name }) => name);
      assert.deepEqual(await names(), ["pg_stat_statements"]);
      await client.query("CREATE VIEW public.slow AS SELECT query FROM extensions.pg_stat_statements");
      assert.deepEqual(await names(), []);
      await client.query("DROP VIEW public.slow");
    });
  });

  it("DBPROTECT_PRESET decides otherwise: without the preset the role cannot read everything", async () => {
    const env = { DATABASE_URL: project.url, BACKUP_STORE: freshStore(), DBPROTECT_PRESET: "none" };
    const all = await runCli(["db:backup"], env);
    assert.equal(all.code, 1, all.stderr);
    assert.match(all.stderr, /cannot read every row of \d+ table\(s\): auth\.schema_migrations/);
    const wrong = await runCli(["db:backup"], { ...env, DBPROTECT_PRESET: "firebase" });
    assert.equal(wrong.code, 2, wrong.stderr);
    assert.match(wrong.stderr, /DBPROTECT_PRESET: found firebase: expected one of supabase, none/);
  });

  it("refuses a user table that the role cannot read: only the platform's may be missing", async () => {
    await withAdmin(project, (admin) =>
      admin.query(
        "CREATE TABLE public.hidden (id int); REVOKE ALL ON public.hidden FROM postgres, anon, authenticated, service_role",
      ),
    );
    const backup = createBackup({ target: parseTarget(project.url, "test"), store, tier: "manual", runId: "hidden" });
    await assert.rejects(backup, /cannot read every row of 1 table\(s\): public\.hidden/);
    await withAdmin(project, (admin) => admin.query("DROP TABLE public.hidden"));
  });

  it("gives a reason and a source for each", () => {
    const places = supabaseManaged.map(({ kind, name }) => `${kind} ${name}`);
    assert.equal(new Set(places).size, places.length);
    for (const { why, source } of supabaseManaged) assert.ok(why.length > 10 && /supabase/.test(source), why);
    for (const kept of ["schema auth", "schema storage", "schema supabase_migrations", "schema public"])
      assert.ok(!places.includes(kept), kept);
  });
});

function withOwner(project: SupabaseProject, work: (client: Client) => Promise<unknown>): Promise<unknown> {
  return withSession(project.url, work);
}

function withAdmin(project: SupabaseProject, work: (client: Client) => Promise<unknown>): Promise<unknown> {
  return withSession(project.adminUrl, work);
}
