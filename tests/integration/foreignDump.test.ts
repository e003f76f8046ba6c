/** Dumps that are no backups of ours: every format of pg_dump comes back, and what is not whole, or no dump, changes nothing. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { Client } from "pg";
import { type ExitCode, Failure } from "../../scripts/contract/failure";
import { fetchDump } from "../../scripts/restore/foreign/fetchDump";
import { recogniseDump } from "../../scripts/restore/foreign/recognise";
import {
  type RestoredDump,
  inspectDump,
  nameFor,
  restoreDump,
  restoreDumpInPlace,
} from "../../scripts/restore/foreign/restoreDump";
import { listSuspects } from "../../scripts/backup/manifest";
import { withConnection } from "../../scripts/database/connect";
import { readIdentity } from "../../scripts/database/identity";
import { type RestoredDumpLive, restoreDumpLive } from "../../scripts/incident/restoreLive";
import { type RestoreMode, listRestores } from "../../scripts/record/restoreEvents";
import { openStore } from "../../scripts/store/openStore";
import { compareCopy } from "../../scripts/restore/compareCopy";
import { computeFingerprint } from "../../scripts/fingerprint/compute";
import type { Fingerprint } from "../../scripts/fingerprint/fingerprint";
import { findPostgres } from "../../scripts/database/postgresPrograms";
import { openSnapshot } from "../../scripts/database/snapshot";
import { type DatabaseTarget, parseTarget, withDatabase } from "../../scripts/database/target";
import { type CliRun, runCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { ask, freshDatabase } from "../servers/postgres";
import { freshPrefix, temporaryFolder, testBucket, useTestBucket } from "../servers/stores";
import { S3Store } from "../../scripts/store/s3Store";

describe("a dump that is no backup of ours", function () {
  this.timeout(90_000);
  let url: string;
  let client: Client;
  let live: string;
  let folder: string;
  let original: Fingerprint;
  const { binDir } = findPostgres({ use: "client" });
  const dump = (args: readonly string[], program = "pg_dump"): Buffer =>
    execFileSync(join(binDir, program), [...args, program === "pg_dump" ? url : `--dbname=${url}`], {
      stdio: "pipe",
      maxBuffer: 1e9,
    });
  const at = (name: string): string => join(folder, name);

  before(async () => {
    ({ url, client } = await freshCrm());
    live = new URL(url).pathname.slice(1);
    folder = temporaryFolder();
    await client.query(`
      CREATE TABLE parted (id int, part int) PARTITION BY LIST (part);
      CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
      CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
      INSERT INTO parted SELECT n, 1 + n % 2 FROM generate_series(1, 100) n;
      CREATE FUNCTION one() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END;
      CREATE TABLE hard ("a;b" text, "Größe" numeric);
      INSERT INTO hard VALUES (E'\\\\.\\n;''"$$', 'NaN'), (NULL, 'Infinity'), ('', 1e-20);
      SELECT lo_from_bytea(4711, 'a large object');
      ALTER TABLE tasks ADD CONSTRAINT later CHECK (id > 0) NOT VALID`);
    const snapshot = await openSnapshot(parseTarget(url, "test"));
    original = await computeFingerprint(snapshot, { jobs: 1 });
    await snapshot.close();
    writeFileSync(at("plain.sql"), dump([]));
    writeFileSync(at("no-suffix"), readFileSync(at("plain.sql")));
    writeFileSync(at("plain.sql.gz"), gzipSync(readFileSync(at("plain.sql"))));
    writeFileSync(at("plain.sql.zst"), zstdCompressSync(readFileSync(at("plain.sql"))));
    writeFileSync(at("inserts.sql"), dump(["--rows-per-insert=7", "--quote-all-identifiers"]));
    writeFileSync(at("through-root.sql"), dump(["--load-via-partition-root"]));
    writeFileSync(at("cleaned.sql"), dump(["--clean", "--if-exists"]));
    writeFileSync(at("custom.dump"), dump(["-Fc"]));
    writeFileSync(at("custom.dump.gz"), gzipSync(dump(["-Fc", "-Z0"])));
    writeFileSync(at("tar.tar"), dump(["-Ft"]));
    dump(["-Fd", "-f", at("directory")]);
  });
  after(closeCrmClients);

  const restore = (file: string, ...more: string[]): Promise<CliRun> =>
    runCli(["db:restore", file, "--yes", ...more], { DATABASE_URL: url });

  async function restoreHere(path: string): Promise<RestoredDump> {
    const target = parseTarget(url, "test");
    const recognised = await recogniseDump(path);
    const summary = await inspectDump(recognised, target);
    return restoreDump({ dump: recognised, summary, live: target, database: nameFor(live, basename(path)) });
  }

  async function others(): Promise<string[]> {
    const { rows } = await client.query("SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1", [
      `${live}_`,
    ]);
    return rows.map(({ datname }) => datname);
  }

  async function isEqual(database: string): Promise<void> {
    const target = withDatabase(parseTarget(url, "test"), database);
    assert.deepEqual(await compareCopy(original, target), []);
    await client.query(`DROP DATABASE ${client.escapeIdentifier(database)}`);
  }

  for (const file of [
    ...["plain.sql", "no-suffix", "plain.sql.gz", "plain.sql.zst", "inserts.sql", "through-root.sql", "cleaned.sql"],
    ...["custom.dump", "custom.dump.gz", "tar.tar", "directory"],
  ]) {
    it(`comes back from ${file}, equal to its source`, async () => {
      const result = await restoreHere(at(file));
      const rows = original.tables.reduce((sum, table) => sum + table.rows, 0);
      assert.equal(result.rows, rows);
      assert.deepEqual(result.unvalidated, ["public.tasks.later"]);
      assert.deepEqual(await others(), [result.database]);
      await isEqual(result.database);
    });
  }

  it("says what was proven, and no more", async () => {
    const run = await restore(at("custom.dump"));
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stdout, /constraints that are NOT VALID in the file: public\.tasks\.later/);
    assert.match(
      run.stdout,
      /rows of \d+ tables, as many in each as in the file; \d+ constraints hold; nothing in such a file/,
    );
    const again = await restore(at("custom.dump"));
    assert.equal(again.code, 1);
    assert.match(again.stderr, /exists already/);
    await isEqual(nameFor(live, "custom.dump"));
  });

  it("comes back by file:// and from a bucket, a folder too", async () => {
    await useTestBucket();
    const prefix = freshPrefix();
    const store = new S3Store({ bucket: testBucket, prefix });
    for (const file of readdirSync(at("directory")))
      await store.create(`old/directory/${file}`, readFileSync(join(at("directory"), file)));
    await store.create("old/plain.sql.zst", readFileSync(at("plain.sql.zst")));
    const bucket = `s3://${testBucket}/${prefix}/old`;
    const env = { DATABASE_URL: url, ...awsVariables() };
    for (const address of [`${bucket}/directory`, pathToFileURL(at("tar.tar")).href]) {
      const run = await runCli(["db:restore", address, "--yes", "--database", `${live}_fetched`], env);
      assert.equal(run.code, 0, run.stderr);
      await isEqual(`${live}_fetched`);
    }
    const near = await fetchDump(`${bucket}/plain.sql.zst`);
    assert.deepEqual(readFileSync(near.path), readFileSync(at("plain.sql.zst")));
    assert.equal(statSync(near.path).mode & 0o077, 0);
    await near.close();
    assert.equal(existsSync(near.path), false);
    await assert.rejects(fetchDump(`${bucket}/gone.sql`), { exitCode: 2, message: /no such object/ });
  });

  it("asks first, and names the roles that it will create", async () => {
    const role = `foreign_${live}`;
    const sql = readFileSync(at("plain.sql"), "utf8").replace(/OWNER TO \w+/g, `OWNER TO ${role}`);
    writeFileSync(at("owned.sql"), sql);
    const asked = await runCli(["db:restore", at("owned.sql")], { DATABASE_URL: url });
    assert.equal(asked.code, 2);
    assert.match(asked.stderr, new RegExp(`creates the roles that its server lacks, without login: ${role}`));
    assert.equal((await client.query("SELECT FROM pg_roles WHERE rolname = $1", [role])).rowCount, 0);
    const run = await restore(at("owned.sql"), "--database", `${live}_owned`);
    assert.equal(run.code, 0, run.stderr);
    await client.query(`DROP DATABASE ${live}_owned; `);
    await client.query(`DROP ROLE ${role}`);
  });

  const refused = async (path: string, code: ExitCode, message: RegExp): Promise<void> => {
    await assert.rejects(restoreHere(path), (error: unknown) => {
      assert.ok(error instanceof Failure, String(error));
      assert.match(`${error.message} ${error.hint ?? ""}`, message);
      assert.equal(error.exitCode, code, error.message);
      return true;
    });
    assert.deepEqual(await others(), [], "something was left");
  };

  const text = (): string => readFileSync(at("plain.sql"), "utf8");
  const made = (name: string, content: string | Buffer): string => {
    writeFileSync(at(name), content);
    return at(name);
  };
  /** Without its last bytes, and with one bit changed in the middle. */
  const cut = (name: string, bytes: number): string => {
    const content = readFileSync(at(name));
    return made(`cut-${name}`, content.subarray(0, content.length - bytes));
  };
  const flipped = (name: string): string => {
    const content = Buffer.from(readFileSync(at(name)));
    content[Math.floor(content.length / 2)]! ^= 0x10;
    return made(`flipped-${name}`, content);
  };

  it("is refused as a schema without rows, naming the tables", async () => {
    await refused(made("schema.sql", dump(["--schema-only"])), 1, /schema without data.*public\.clients/);
    await refused(made("schema.dump", dump(["-Fc", "--schema-only"])), 1, /schema without data.*public\.clients/);
    const supabase = dump(["--schema-only"])
      .toString()
      .replace(/^(--|\\).*\n/gm, "");
    await refused(made("supabase.sql", `${supabase}RESET ALL;\n`), 1, /schema without data.*supabase db dump/s);
  });

  it("is refused as rows without definitions", async () => {
    await refused(made("data.sql", dump(["--data-only"])), 1, /defines no table/);
  });

  it("is refused when unfinished or damaged: exit 4", async () => {
    await refused(cut("plain.sql", 200), 4, /unfinished/);
    await refused(cut("plain.sql", text().length / 2), 4, /unfinished/);
    await refused(cut("plain.sql.gz", 10), 4, /damaged/);
    await refused(cut("plain.sql.zst", 10), 4, /damaged/);
    await refused(cut("custom.dump", 100), 4, /pg_restore failed/);
    await refused(cut("tar.tar", 20_000), 4, /cut short/);
    await refused(cut("tar.tar", 600), 4, /cut short/);
    writeFileSync(at("tar.tar.gz"), gzipSync(readFileSync(at("tar.tar"))));
    await refused(cut("tar.tar.gz", 100), 4, /damaged/);
    await refused(flipped("plain.sql.gz"), 4, /damaged/);
    await refused(flipped("custom.dump"), 4, /pg_restore failed/);
    cpSync(at("directory"), at("holes"), { recursive: true });
    rmSync(
      join(
        at("holes"),
        readdirSync(at("holes")).find((name) => name.endsWith(".dat.gz"))!,
      ),
    );
    await refused(at("holes"), 4, /pg_restore failed/);
    cpSync(at("directory"), at("torn"), { recursive: true });
    truncateSync(join(at("torn"), "toc.dat"), 1_000);
    await refused(at("torn"), 4, /pg_restore failed/);
  });

  it("is refused as no dump: exit 2", async () => {
    await refused(made("notes.sql", "CREATE TABLE a (b int);\n"), 2, /does not begin as pg_dump begins/);
    await refused(made("empty.sql", ""), 2, /nothing in it/);
    await refused(made("noise.dump", Buffer.from([1, 2, 3, 0, 5])), 2, /binary data of another kind/);
    await refused(made("twice.sql.gz", gzipSync(readFileSync(at("plain.sql.gz")))), 2, /compressed twice/);
    await refused(join(at("directory"), "toc.dat"), 2, /name the folder/);
    mkdirSync(at("nothing"));
    await refused(at("nothing"), 2, /a folder without toc\.dat/);
    await refused(at("absent.sql"), 2, /no such file/);
  });

  it("is refused when it is of a whole server, or of several databases", async () => {
    await refused(made("all.sql", dump(["--globals-only"], "pg_dumpall")), 1, /of pg_dumpall/);
    await refused(made("created.sql", dump(["--create"])), 1, /changes databases/);
    await refused(
      made("connects.sql", text().replace("SET statement_timeout", "\\connect x\nSET statement_timeout")),
      1,
      /\\connect/,
    );
  });

  it("changes nothing when the server refuses a statement, or a row of the file does not arrive", async () => {
    const late = "\n--\n-- PostgreSQL database dump complete\n";
    await refused(
      made("late.sql", text().replace(late, `\nALTER TABLE public.absent ADD a int;\n${late}`)),
      1,
      /absent/,
    );
    const lost = "\nDELETE FROM public.tasks WHERE id = 1;\n";
    await refused(
      made("lost.sql", text().replace(late, lost + late)),
      1,
      /public\.tasks has 5999 rows, the file holds 6000/,
    );
  });

  describe("over a live database", () => {
    let over: DatabaseTarget;
    let overUrl: string;
    let storeUrl: string;

    beforeEach(async () => {
      overUrl = await freshDatabase("over");
      over = parseTarget(overUrl, "test");
      storeUrl = freshStore();
      await ask(
        overUrl,
        `CREATE TABLE tasks (other text); INSERT INTO tasks VALUES ('of now'); CREATE SCHEMA billing;
         CREATE TABLE billing.later (id int PRIMARY KEY); INSERT INTO billing.later VALUES (1); CREATE PUBLICATION of_now FOR TABLE tasks;
         COMMENT ON SCHEMA public IS 'ours'; GRANT CREATE ON SCHEMA public TO pg_monitor;
         SELECT lo_from_bytea(4711, 'of now'), lo_from_bytea(4712, 'of now')`,
      );
    });

    const stateOf = (database: DatabaseTarget): Promise<unknown[]> =>
      withConnection(database, async (session) => {
        const { rows } = await session.query(
          `SELECT (SELECT json_agg(t) FROM public.tasks t) AS tasks, (SELECT count(*)::int FROM billing.later) AS later,
                  (SELECT json_agg(convert_from(lo_get(oid), 'UTF8') ORDER BY oid) FROM pg_largeobject_metadata) AS objects`,
        );
        return rows;
      });
    const ofNow = [{ tasks: [{ other: "of now" }], later: 1, objects: ["of now", "of now"] }];

    async function restoreOver(path: string, mode: RestoreMode): Promise<RestoredDumpLive> {
      const dump = await recogniseDump(path);
      const summary = await inspectDump(dump, over);
      const identity = await withConnection(over, (session) => readIdentity(session, over));
      const store = openStore(storeUrl);
      return restoreDumpLive({ store, live: over, identity, mode, runId: mode, dump, summary, file: basename(path) });
    }

    it("needs a word of its own, and a store for the safety backup", async () => {
      const env = { DATABASE_URL: url, BACKUP_STORE: "" };
      for (const mode of ["--swap", "--in-place"]) {
        const bare = await runCli(["db:restore", at("plain.sql"), "--yes", mode], env);
        assert.equal(bare.code, 2, bare.stderr);
        assert.match(bare.stderr, /nothing proves its values; expected --unproven/);
      }
      const storeless = await runCli(["db:restore", at("plain.sql"), "--yes", "--swap", "--unproven"], env);
      assert.equal(storeless.code, 2, storeless.stderr);
      assert.match(storeless.stderr, /BACKUP_STORE/);
      assert.deepEqual(await others(), []);
    });

    for (const [mode, file] of [
      ["in-place", "custom.dump"],
      ["in-place", "plain.sql.zst"],
      ["in-place", "directory"],
      ["swap", "tar.tar"],
    ] as const)
      it(`${mode}: ${file} is all there is afterwards, and what was live is in a backup`, async () => {
        const restored = await restoreOver(at(file), mode);
        assert.deepEqual(await compareCopy(original, over), []);
        assert.equal(
          restored.rows,
          original.tables.reduce((sum, table) => sum + table.rows, 0),
        );
        const told = restored.notes.filter((note) => /is gone: the file does not have it$/.test(note)).join();
        for (const name of ["schema billing", "publication of_now"]) assert.ok(told.includes(name), told);
        const store = openStore(storeUrl);
        assert.ok((await listSuspects(store)).has(restored.safetyBackup ?? ""));
        const events = await listRestores(store);
        assert.deepEqual(
          events.map(({ backup, file: restoredFile, safetyBackup }) => [backup, restoredFile, safetyBackup]),
          [[null, basename(file), restored.safetyBackup]],
        );
        assert.equal(restored.aside === null, mode === "in-place");
        if (restored.aside !== null) assert.deepEqual(await stateOf(withDatabase(over, restored.aside)), ofNow);
      });

    it("asks with everything that is at stake", async () => {
      const env = { DATABASE_URL: overUrl, BACKUP_STORE: storeUrl };
      const run = await runCli(["db:restore", at("custom.dump"), "--in-place", "--unproven"], env);
      assert.equal(run.code, 2);
      for (const words of [
        /takes a backup of what is live now, restores .*custom\.dump/,
        new RegExp(`in place of what is in .*${over.database}`),
        /nothing proves that its values/,
        /not in the file, so gone from the live database: billing\.later/,
      ])
        assert.match(run.stderr, words);
      assert.deepEqual(await stateOf(over), ofNow);
      const unfit = await runCli(["db:emergency-verify"], env);
      assert.equal(unfit.code, 2);
    });

    it("changes nothing when the server refuses the last statement, a row does not arrive, or the file is cut short", async () => {
      const end = "\n--\n-- PostgreSQL database dump complete\n";
      const files = [
        made("late-over.sql", text().replace(end, `\nALTER TABLE public.absent ADD a int;\n${end}`)),
        made("lost-over.sql", text().replace(end, `\nDELETE FROM public.tasks WHERE id = 1;\n${end}`)),
      ];
      for (const mode of ["in-place", "swap"] as const)
        for (const path of files) {
          await assert.rejects(restoreOver(path, mode), /absent|has 5999 rows, the file holds 6000/);
          assert.deepEqual(await stateOf(over), ofNow);
          storeUrl = freshStore();
        }
      const dump = await recogniseDump(at("plain.sql"));
      const summary = await inspectDump(dump, over);
      // It changes between the question and the restore.
      const torn = { ...dump, path: cut("plain.sql", 200) };
      await assert.rejects(restoreDumpInPlace({ dump: torn, summary, live: over }), { exitCode: 4 });
      assert.deepEqual(await stateOf(over), ofNow);
    });

    it("takes a file of one schema, although that schema is always there", async () => {
      writeFileSync(at("public.dump"), dump(["-Fc", "--schema=public"]));
      const restored = await restoreOver(at("public.dump"), "in-place");
      assert.equal(
        restored.rows,
        original.tables.reduce((sum, table) => sum + table.rows, 0),
      );
      await restoreHere(at("public.dump"));
      await client.query(`DROP DATABASE ${nameFor(live, "public.dump")}`);
    });
  });
});

function awsVariables(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      name.startsWith("AWS_") && value !== undefined ? [[name, value]] : [],
    ),
  );
}
