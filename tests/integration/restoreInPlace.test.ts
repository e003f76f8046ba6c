/** Restoring in place: one transaction, of what the role owns; as a role that may neither rename nor create a database. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Client } from "pg";
import { createBackup } from "../../scripts/backup/createBackup";
import { type Manifest, readManifest, resolveBackup } from "../../scripts/backup/manifest";
import { parseTarget } from "../../scripts/database/target";
import { recogniseDump } from "../../scripts/restore/foreign/recognise";
import { inspectDump, restoreDumpInPlace } from "../../scripts/restore/foreign/restoreDump";
import { restoreInPlace } from "../../scripts/restore/restoreInPlace";
import { openStore } from "../../scripts/store/openStore";
import { freshStore } from "../servers/crm";
import { freshDatabase } from "../servers/postgres";
import { temporaryFolder } from "../servers/stores";
import { type SupabaseProject, startSupabaseProject } from "../servers/supabase";

async function connected<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function rowsOf(url: string, sql: string): Promise<unknown[]> {
  return connected(url, async (client) => (await client.query(sql)).rows);
}

async function run(url: string, sql: string): Promise<void> {
  await connected(url, (client) => client.query(sql));
}

async function backUp(url: string): Promise<{ store: ReturnType<typeof openStore>; manifest: Manifest }> {
  const store = openStore(freshStore());
  await createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "test", pieceBytes: 1 << 20 });
  return { store, manifest: await readManifest(store, await resolveBackup(store, "latest")) };
}

/** Everything that is hard to put back: names, procedures that commit, large objects, sequences, rights, types. */
const objects = `
  CREATE SCHEMA sales;
  CREATE TYPE sales.stage AS ENUM ('lead', 'won'); CREATE DOMAIN sales.name AS text CHECK (VALUE <> '');
  CREATE TYPE sales.span AS RANGE (subtype = int);
  CREATE TABLE sales."Ünsorted ""rows""" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body sales.name, stage sales.stage, s sales.span);
  INSERT INTO sales."Ünsorted ""rows""" (body) VALUES ('BEGIN;'), (E'a\\nCOMMIT;\\n\\\\.\\n'), ('COMMIT;');
  CREATE TABLE large (id int PRIMARY KEY, body text);
  INSERT INTO large SELECT n, repeat('x', 1000) FROM generate_series(1, 8000) n;
  CREATE TABLE parted (at date, v int) PARTITION BY RANGE (at);
  CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
  INSERT INTO parted VALUES ('2026-05-05', 1);
  CREATE PROCEDURE tidy() LANGUAGE plpgsql AS $$
BEGIN
COMMIT;
END $$;
  CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql RETURN $1 * 2;
  CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
  CREATE TRIGGER stamp BEFORE INSERT ON large FOR EACH ROW EXECUTE FUNCTION stamp();
  CREATE MATERIALIZED VIEW sums AS SELECT twice(id) AS n FROM large WHERE id < 10;
  CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int); CREATE STATISTICS both_of_large ON id, body FROM large;
  CREATE PUBLICATION everything FOR TABLE large;
  ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO pg_monitor;
  CREATE TABLE readable (id int); REVOKE SELECT ON large FROM pg_monitor; GRANT INSERT ON large TO pg_monitor;
  SELECT lo_from_bytea(4711, 'contract'), lo_from_bytea(4712, decode(repeat('ab', 100000), 'hex'));`;

/** As pg_cron keeps them: rows of a table of the extension's, which says that pg_dump is to write them. */
const cronJobs = (database: string): string => `
  CREATE SCHEMA cron; CREATE TABLE cron.job (jobid bigint PRIMARY KEY, schedule text);
  INSERT INTO cron.job VALUES (1, '* * * * *'), (2, '0 2 * * *');
  GRANT USAGE ON SCHEMA cron TO owner_${database}; GRANT SELECT, INSERT ON cron.job TO owner_${database};
  ALTER EXTENSION hstore ADD TABLE cron.job; SET allow_system_table_mods = on;
  UPDATE pg_extension SET extconfig = ARRAY['cron.job'::regclass::oid], extcondition = ARRAY['WHERE jobid > 0'] WHERE extname = 'hstore'`;

const damage = `
  DELETE FROM large WHERE id % 2 = 0; DROP PROCEDURE tidy; ALTER TYPE sales.stage ADD VALUE 'lost';
  DROP TABLE sales."Ünsorted ""rows"""; CREATE TABLE added (id int); CREATE SCHEMA extra; CREATE TABLE extra.t (id int);
  CREATE VIEW extra.v AS SELECT id FROM public.large; ALTER TABLE parted ADD COLUMN more text;
  ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT UPDATE ON TABLES TO pg_monitor;
  SELECT lo_unlink(4711), lo_put(4712, 0, 'changed'), lo_from_bytea(4713, 'added');`;

describe("restoring in place", function () {
  this.timeout(120_000);

  describe("as an owner who may neither rename nor create a database", () => {
    let adminUrl: string;
    let url: string;
    let backup: Awaited<ReturnType<typeof backUp>>;

    before(async () => {
      adminUrl = await freshDatabase("inplace");
      const database = new URL(adminUrl).pathname.slice(1);
      await run(
        adminUrl,
        `CREATE ROLE owner_${database} LOGIN PASSWORD 'x' BYPASSRLS; ALTER DATABASE ${database} OWNER TO owner_${database};
         CREATE EXTENSION pgcrypto; CREATE EXTENSION hstore`,
      );
      await run(adminUrl, cronJobs(database));
      const owner = new URL(adminUrl);
      owner.username = `owner_${database}`;
      owner.password = "x";
      url = owner.href;
      await run(url, objects);
      backup = await backUp(url);
      await run(url, damage);
      await run(adminUrl, "INSERT INTO cron.job VALUES (3, '@reboot')");
    });

    const restore = (): ReturnType<typeof restoreInPlace> =>
      restoreInPlace({ ...backup, live: parseTarget(url, "test") });

    const state = (): Promise<unknown[]> =>
      rowsOf(
        url,
        `SELECT (SELECT count(*)::int FROM large) AS large, to_regclass('added')::text AS added, to_regproc('tidy')::text AS tidy,
                (SELECT array_agg(oid::int ORDER BY oid) FROM pg_largeobject_metadata) AS objects,
                (SELECT convert_from(lo_get(oid, 0, 7), 'LATIN1') FROM pg_largeobject_metadata WHERE oid = 4712) AS object`,
      );
    const damaged = [{ large: 4000, added: "added", tidy: null, objects: [4712, 4713], object: "changed" }];

    it("a late error leaves everything as it was, large objects included", async () => {
      // The last archive of all: indexes and constraints. Its statement is refused by whoever owns this event trigger.
      await run(
        adminUrl,
        `CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
           IF current_user LIKE 'owner%' THEN RAISE 'no publication today'; END IF; END $$;
         CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE PUBLICATION') EXECUTE FUNCTION refuse()`,
      );
      await assert.rejects(restore(), /no publication today/);
      await run(adminUrl, "DROP EVENT TRIGGER refuse; DROP FUNCTION refuse");
      assert.deepEqual(await state(), damaged);
    });

    it("brings back what the backup holds, and nothing else", async () => {
      const restored = await restore();
      assert.equal(
        restored.rows,
        backup.manifest.tables.reduce((sum, { rows }) => sum + rows, 0),
      );
      assert.deepEqual(restored.tolerated, []);
      // Jobs of a scheduler that is the platform's: none is there twice, and what differs is named.
      assert.deepEqual(restored.notes, [
        "the platform's, left as it was: extension-rows cron.job has another definition",
      ]);
      assert.equal((await rowsOf(adminUrl, "SELECT FROM cron.job")).length, 3);
      assert.deepEqual(await state(), [
        { large: 8000, added: null, tidy: "tidy", objects: [4711, 4712], object: "\u00ab".repeat(7) },
      ]);
      assert.deepEqual(
        await rowsOf(url, `SELECT body FROM sales."Ünsorted ""rows""" ORDER BY id`),
        ["BEGIN;", "a\nCOMMIT;\n\\.\n", "COMMIT;"].map((body) => ({ body })),
      );
      assert.deepEqual(await rowsOf(url, `SELECT nspname FROM pg_namespace WHERE nspname = 'extra'`), []);
      assert.ok(backup.manifest.archives.some(({ format }) => format === "copy"));
    });

    it("can be done again on top of itself", async () => {
      await restore();
    });

    it("waits for no other run that does the same: the second one changes nothing", async () => {
      let second: Promise<void> | undefined;
      await restoreInPlace({
        ...backup,
        live: parseTarget(url, "test"),
        beforeCommit: () =>
          (second = assert.rejects(restore(), { exitCode: 3, message: /another run restores in place/ })),
      });
      assert.ok(second);
    });

    it("names the owner that was dropped since the backup where it may not create it: nothing is changed", async () => {
      const database = new URL(adminUrl).pathname.slice(1);
      const [owner, gone] = [`owner_${database}`, `gone_${database}`];
      await run(adminUrl, `CREATE ROLE ${gone}; GRANT ${gone} TO ${owner}`);
      await run(
        adminUrl,
        `CREATE SCHEMA left_alone AUTHORIZATION ${gone};
         CREATE TABLE left_alone.theirs (id int); INSERT INTO left_alone.theirs VALUES (1); ALTER TABLE left_alone.theirs OWNER TO ${gone}`,
      );
      const before = await backUp(url);
      await run(
        adminUrl,
        `ALTER TABLE left_alone.theirs OWNER TO ${owner}; ALTER SCHEMA left_alone OWNER TO ${owner}; DROP ROLE ${gone}`,
      );
      await run(url, "INSERT INTO left_alone.theirs VALUES (2)");
      const again = (): ReturnType<typeof restore> => restoreInPlace({ ...before, live: parseTarget(url, "test") });

      await assert.rejects(again(), {
        exitCode: 1,
        message: new RegExp(`no longer has, and role ${owner} may not create them: ${gone}: nothing was changed`),
        hint: new RegExp(`CREATE ROLE "?${gone}"? NOLOGIN; GRANT "?${gone}"? TO "?${owner}"?;`),
      });
      assert.equal((await rowsOf(url, "SELECT FROM left_alone.theirs")).length, 2);
    });
  });

  describe("on a Supabase project, as its postgres, who is no superuser", () => {
    let project: SupabaseProject;
    let backup: Awaited<ReturnType<typeof backUp>>;

    before(async () => {
      project = await startSupabaseProject({ filled: true });
      backup = await backUp(project.url);
    });
    after(() => (project as SupabaseProject | undefined)?.cluster.stop());

    const restore = (): ReturnType<typeof restoreInPlace> =>
      restoreInPlace({ ...backup, live: parseTarget(project.url, "test") });

    const counts = (): Promise<unknown[]> =>
      rowsOf(
        project.url,
        `SELECT (SELECT count(*)::int FROM auth.users) AS users, (SELECT count(*)::int FROM public.profiles) AS profiles,
                (SELECT count(*)::int FROM storage.objects) AS objects, (SELECT last_value::int FROM auth.refresh_tokens_id_seq) AS tokens,
                (SELECT count(*)::int FROM pg_trigger WHERE tgname = 'on_auth_user_created') AS triggers,
                (SELECT count(*)::int FROM pg_policies WHERE policyname = 'own files') AS policies`,
      );
    const whole = { users: 25, profiles: 25, objects: 25, tokens: 25, triggers: 1, policies: 1 };

    it("brings back users, files and tables of one's own, with what is tied to them, and lets the platform be", async () => {
      await run(
        project.adminUrl,
        `ALTER TABLE auth.users ADD COLUMN phone text; INSERT INTO vault.secrets VALUES (gen_random_uuid(), 'later');
         SELECT setval('auth.refresh_tokens_id_seq', 90)`,
      );
      await run(project.url, "DELETE FROM storage.objects; DELETE FROM auth.users; DROP TABLE public.profiles CASCADE");
      const { rows, tolerated, notes } = await restore();
      assert.equal(rows, 127);
      assert.deepEqual(tolerated, []);
      assert.deepEqual(notes, ["the platform's, left as it was: column auth.users.phone is not in the original"]);
      // A sequence of the platform's never falls back: its owner gave out 90 meanwhile.
      assert.deepEqual(await counts(), [{ ...whole, tokens: 90 }]);
      assert.deepEqual(await rowsOf(project.adminUrl, "SELECT count(*)::int AS secrets FROM vault.secrets"), [
        { secrets: 2 },
      ]);
      assert.deepEqual(
        await rowsOf(
          project.url,
          "SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = 'auth.users'::regclass",
        ),
        [{ owner: "supabase_auth_admin" }],
      );
      assert.deepEqual(
        await rowsOf(project.url, "SELECT has_table_privilege('anon', 'public.profiles', 'INSERT') AS granted"),
        [{ granted: true }],
      );
    });

    it("takes a file of one's own schema, and refuses it where something of the platform's would go along", async () => {
      const file = join(temporaryFolder(), "public.dump");
      execFileSync(join(project.cluster.binDir, "pg_dump"), ["-Fc", "--schema=public", `--file=${file}`, project.url]);
      const replace = async (): ReturnType<typeof restoreDumpInPlace> => {
        const [dump, live] = [await recogniseDump(file), parseTarget(project.url, "test")];
        return restoreDumpInPlace({ dump, live, summary: await inspectDump(dump, live) });
      };
      await run(project.url, "UPDATE public.profiles SET name = 'changed'");
      await assert.rejects(replace(), /trigger auth\.users\.on_auth_user_created depends on .* not in the file/);
      assert.equal((await rowsOf(project.url, "SELECT FROM public.profiles WHERE name = 'changed'")).length, 25);
      await run(project.adminUrl, "DROP TRIGGER on_auth_user_created ON auth.users");
      await replace();
      assert.equal((await rowsOf(project.url, "SELECT FROM public.profiles WHERE name = 'changed'")).length, 0);
      assert.deepEqual(
        await rowsOf(project.url, "SELECT has_table_privilege('anon', 'public.profiles', 'INSERT') AS granted"),
        [{ granted: true }],
      );
      // The backup has the trigger, and what else the file had not.
      await restore();
      assert.deepEqual(await counts(), [{ ...whole, tokens: 90 }]);
    });

    it("says which policies and event triggers the role may not make again, and goes on", async () => {
      await run(project.adminUrl, `DROP POLICY "own files" ON storage.objects; DROP EVENT TRIGGER pgrst_ddl_watch`);
      const { tolerated } = await restore();
      assert.deepEqual(
        tolerated.map(({ what, sqlstate }) => `${what}: ${sqlstate}`),
        [
          "POLICY storage objects own files supabase_storage_admin: 42501",
          "EVENT TRIGGER - pgrst_ddl_watch supabase_admin: 42501",
        ],
      );
      assert.deepEqual(await counts(), [{ ...whole, tokens: 90, policies: 0 }]);
    });

    it("changes nothing where the platform's own depends on what it would replace", async () => {
      await run(project.url, "DELETE FROM public.profiles WHERE name = 'User 7'");
      await run(
        project.adminUrl,
        `CREATE POLICY "members" ON realtime.messages USING (EXISTS (SELECT FROM public.profiles WHERE name = topic))`,
      );
      await assert.rejects(restore(), /policy realtime\.messages\.members depends on what would be replaced/);
      assert.deepEqual(await rowsOf(project.url, "SELECT count(*)::int AS profiles FROM public.profiles"), [
        { profiles: 24 },
      ]);
    });
  });
});
