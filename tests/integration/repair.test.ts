/**
 * Lost rows come back exactly as they were, and nothing else changes: over every kind of key and value, past triggers,
 * cycles of foreign keys and what the release did to the tables; killed at any moment it is all or nothing.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import type { BackupReference } from "../../scripts/backup/manifest";
import { createBackup } from "../../scripts/backup/createBackup";
import { readFreeze } from "../../scripts/control/freeze";
import { Refusal, Unavailable, UsageError } from "../../scripts/contract/failure";
import { databaseFailure } from "../../scripts/database/databaseFailure";
import { type DatabaseIdentity, readIdentity } from "../../scripts/database/identity";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import { type TrustedReceipt, readTrustedReceipt, writeReceipt } from "../../scripts/record/receipt";
import { listOpenReceipts, readEvents, recordEvent } from "../../scripts/record/releaseEvents";
import { type PreparedRepair, type RepairInput, prepareRepair } from "../../scripts/repair/repair";
import { parseColumns } from "../../scripts/repair/request";
import { type ScratchPlace, closeScratch, isScratchAlive } from "../../scripts/scratch/scratchServer";
import { type TablePolicy, operationSettingsSchema, tablePolicySchema } from "../../scripts/settings";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { verifyReceipt } from "../../scripts/verification/verifyReceipt";
import { receiptOf } from "../servers/receipts";
import { startCli } from "../servers/cli";
import { freshStore } from "../servers/crm";
import { freshDatabase, sharedCluster } from "../servers/postgres";

const role = "repair_owner";
const organisation = "'00000000-0000-4000-8000-000000000003'";

describe("db:repair", function () {
  this.timeout(60_000);
  const password = randomBytes(12).toString("hex");
  const opened: Client[] = [];
  const reports = mkdtempSync(join(tmpdir(), "dbprotect-repair-"));
  let adminUrl: string;
  let admin: Client;
  let original: Client;
  let theStore: Store;
  let storeUrl: string;
  let backup: BackupReference;
  let identity: DatabaseIdentity;
  let scratch: ScratchPlace;
  let cases = 0;

  function urlTo(database: string): string {
    const url = new URL(adminUrl);
    url.pathname = `/${database}`;
    url.username = role;
    url.password = password;
    return url.href;
  }

  async function open(url: string): Promise<Client> {
    const client = new Client({ connectionString: url });
    client.on("error", () => undefined);
    await client.connect();
    opened.push(client);
    return client;
  }

  before(async function () {
    this.timeout(90_000);
    process.env["DBPROTECT_REPORTS"] = reports;
    adminUrl = await freshDatabase("repair");
    admin = await open(adminUrl);
    await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`);
    await admin.query(`CREATE DATABASE repair_origin OWNER ${role}`);
    await admin.query(`CREATE DATABASE repair_kept OWNER ${role}`);
    const { binDir } = await sharedCluster();
    const schema = resolve(__dirname, "repairSchema.sql");
    for (const database of ["repair_origin", "repair_kept"])
      execFileSync(join(binDir, "psql"), ["-Xqv", "ON_ERROR_STOP=1", "-f", schema, urlTo(database)], { stdio: "pipe" });
    original = await open(urlTo("repair_kept"));
    storeUrl = freshStore();
    const store = (theStore = openStore(storeUrl));
    const live = parseTarget(urlTo("repair_origin"), "DATABASE_URL");
    ({ reference: backup } = await createBackup({ target: live, store, tier: "predeploy", runId: "repair" }));
    scratch = await restoredCopy();
    const owner = await open(urlTo("repair_origin"));
    identity = await readIdentity(owner, live);
    // CREATE DATABASE … TEMPLATE needs the template to itself.
    await owner.end();
  });
  after(async () => {
    delete process.env["DBPROTECT_REPORTS"];
    await closeScratch(scratch);
    await Promise.all(opened.map((client) => client.end().catch(() => undefined)));
  });

  async function restoredCopy(): Promise<ScratchPlace> {
    const keepScratchUntil = new Date(Date.now() + 600_000);
    const options = { store: theStore, backup, depth: 4, runId: "repair", keepScratchUntil } as const;
    return (await verifyBackup(options)).scratch!.place;
  }

  interface Damaged {
    readonly client: Client;
    readonly live: DatabaseTarget;
    readonly url: string;
    readonly store: Store;
    readonly receipt: TrustedReceipt;
    prepare(more?: Partial<RepairInput>): Promise<PreparedRepair>;
  }

  /** A database of its own with what a release did to it, and the receipt of the gate before. */
  async function damaged(
    release: string,
    options: { tables?: Record<string, Partial<TablePolicy>>; scratch?: ScratchPlace | null; store?: Store } = {},
  ): Promise<Damaged> {
    const number = ++cases;
    const database = `repair_case_${number}`;
    const { store = theStore } = options;
    await admin.query(`CREATE DATABASE ${database} TEMPLATE repair_origin OWNER ${role}`);
    const runId = `20260101T0000${String(number).padStart(2, "0")}Z-case`;
    const tables = Object.fromEntries(
      Object.entries(options.tables ?? {}).map(([name, policy]) => [name, tablePolicySchema.parse(policy)]),
    );
    const receiptSha256 = await writeReceipt(
      store,
      receiptOf({
        runId,
        database: { ...identity, database },
        backup: { tier: backup.tier, name: backup.name, depth: 4, restoreSeconds: 1, rpoSeconds: null },
        scratch: options.scratch === undefined ? scratch : options.scratch,
        settings: operationSettingsSchema.parse({ tables }),
        at: new Date().toISOString(),
      }),
    );
    await recordEvent(store, { runId, releaseVersion: "v1", stack: "crm/test", receiptSha256 }, "gate-passed", "");
    const url = urlTo(database);
    const client = await open(url);
    await client.query(release);
    const live = parseTarget(url, "DATABASE_URL");
    const receipt = await readTrustedReceipt(store, runId);
    const prepare = (more: Partial<RepairInput> = {}): Promise<PreparedRepair> =>
      prepareRepair({
        store,
        ...receipt,
        live,
        columns: {},
        signal: new AbortController().signal,
        onProgress: () => undefined,
        ...more,
      });
    return { client, live, url, store, receipt, prepare };
  }

  /** Every row of every table but `audit` as text, and where the sequences stand. */
  async function contentOf(client: Client): Promise<Record<string, string>> {
    const { rows: tables } = await client.query<{ name: string }>(
      `SELECT format('%I', relname) AS name FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND relname <> 'audit' ORDER BY relname`,
    );
    await client.query("SET extra_float_digits = 1; SET TimeZone = 'UTC'");
    const content: Record<string, string> = {};
    for (const { name } of tables) {
      const { rows } = await client.query<{ text: string }>(
        `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\x01' ORDER BY t::text COLLATE "C")), '') AS text FROM ONLY ${name} t`,
      );
      content[name] = rows[0]!.text;
    }
    const { rows } = await client.query<{ text: string }>(
      "SELECT string_agg(sequencename || ' ' || last_value, ',' ORDER BY sequencename) AS text FROM pg_sequences WHERE sequencename NOT LIKE 'audit%'",
    );
    return { ...content, sequences: rows[0]!.text };
  }

  /** What must not be touched besides: what triggers did, and which of them fire. */
  async function surroundings(client: Client): Promise<unknown> {
    const { rows } = await client.query(
      `SELECT (SELECT count(*) FROM audit) AS audited,
              (SELECT string_agg(tgrelid::regclass || tgname || tgenabled::text, ',' ORDER BY tgrelid, tgname) FROM pg_trigger WHERE NOT tgisinternal) AS triggers,
              (SELECT string_agg(rulename || ev_enabled::text, ',') FROM pg_rewrite WHERE rulename = 'noted') AS rules`,
    );
    return rows[0];
  }

  /** Prepares and applies, and demands that everything is as it was before the release. */
  async function assertRepaired(database: Damaged, more: Partial<RepairInput> = {}): Promise<PreparedRepair> {
    const before = await surroundings(database.client);
    const repair = await database.prepare(more);
    try {
      assert.deepEqual(repair.conflicts, []);
      const after = await repair.apply();
      assert.equal(after.verdict, "pass", JSON.stringify(after.tables.filter(({ failure }) => failure !== null)));
      assert.deepEqual(await contentOf(database.client), await contentOf(original));
      assert.deepEqual(await surroundings(database.client), before);
      return repair;
    } finally {
      await repair.close();
    }
  }

  const everything = `
    DELETE FROM organisations WHERE id = ${organisation}; DELETE FROM hens WHERE id < 6; DELETE FROM events WHERE id > 350;
    DELETE FROM remarks WHERE ctid IN ('(0,1)', '(0,2)', '(0,3)')`;

  it("puts back what cascades took, over every kind of key and value, with no trigger firing", async () => {
    const database = await damaged(everything);
    const repair = await assertRepaired(database);
    const order = repair.plan.groups.map((group) => group.map(({ table }) => table.name));
    const place = (name: string): number => order.findIndex((group) => group.includes(name));
    assert.ok(place("organisations") < place("people") && place("people") < place('No "tes"'), JSON.stringify(order));
    assert.ok(place("events_new") < place("event_tags") && place("people") < place("events_old"));
    assert.deepEqual(order[place("teams")]?.toSorted(), ["members", "teams"]);
    assert.deepEqual(order[place("hens")]?.toSorted(), ["eggs", "hens"]);
  });

  it("puts back rows whatever their keys are: NaN, infinity, -0, of a caseless type, computed, NULL", async () => {
    await assertRepaired(
      await damaged(
        "DELETE FROM readings WHERE who IN ('ADA3', 'ADA7'); DELETE FROM computed WHERE number % 2 = 0; DELETE FROM optional",
      ),
    );
  });

  it("gives back with --columns what the deletion of parents set in their children, which it names", async () => {
    const database = await damaged("DELETE FROM rooms WHERE id IN (3, 4)");
    await verifyReceipt({ store: database.store, ...database.receipt, live: database.live });
    const seen = await database.prepare();
    await seen.close();
    const lost = "20 row(s) referred to rows of public.rooms that are put back, and lost that with them";
    assert.deepEqual(seen.plan.unrecoverable, [
      `public.visits: ${lost} (foreign key visits_other_fkey): --columns public.visits:other`,
      `public.visits: ${lost} (foreign key visits_room_fkey): --columns public.visits:room`,
    ]);
    const repair = await assertRepaired(database, { columns: parseColumns(["public.visits:other,room"]) });
    assert.deepEqual(repair.plan.unrecoverable, []);
  });

  it("puts back no row that another partition has by now, also where a column was dropped", async () => {
    const tables = { "public.event_tags": { deletes: "any" as const } };
    const moved = `
      DELETE FROM events WHERE id = 10; DELETE FROM event_tags WHERE event = 100; ALTER TABLE events DISABLE TRIGGER USER;
      UPDATE events SET day = '2026-07-01' WHERE id = 100; ALTER TABLE events ENABLE TRIGGER USER`;
    for (const dropped of ["", "ALTER TABLE events DROP COLUMN person"]) {
      const database = await damaged(`${moved}; ${dropped}`, { tables });
      const repair = await database.prepare();
      assert.deepEqual(
        repair.plan.groups.flat().map(({ table, rows }) => [table.name, rows]),
        [["events_old", 1]],
        dropped,
      );
      await repair.apply();
      await repair.close();
      const { rows } = await database.client.query("SELECT id, count(*) FROM events GROUP BY 1 HAVING count(*) > 1");
      assert.deepEqual(rows, []);
    }
  });

  it("moves sequences on that a TRUNCATE set back, and never back", async () => {
    const database = await damaged("TRUNCATE events, event_tags RESTART IDENTITY; TRUNCATE remarks");
    await assertRepaired(database);
    const ahead = await damaged("DELETE FROM event_tags; SELECT setval('events_id_seq', 9000)");
    const repair = await ahead.prepare();
    assert.equal((await repair.apply()).verdict, "pass");
    await repair.close();
    const { rows } = await ahead.client.query("SELECT nextval('events_id_seq') AS next");
    assert.deepEqual(rows, [{ next: "9001" }]);
  });

  it("writes a file first that holds the rows, 0600, and does the same when psql runs it", async () => {
    const database = await damaged(`${everything}; ALTER SEQUENCE events_id_seq RESTART`);
    const repair = await database.prepare();
    await repair.close();
    const file = repair.file!;
    assert.equal(file, join(reports, `repair-${database.receipt.receipt.runId}.sql`));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.match(readFileSync(file, "utf8"), /This file holds rows/);
    const before = await surroundings(database.client);
    const { binDir } = await sharedCluster();
    const psql = (): Buffer =>
      execFileSync(join(binDir, "psql"), ["--no-psqlrc", "--quiet", `--file=${file}`, database.url], { stdio: "pipe" });
    psql();
    assert.deepEqual(await contentOf(database.client), await contentOf(original));
    assert.deepEqual(await surroundings(database.client), before);
    await assert.rejects(database.prepare({ file }), UsageError, "a file of somebody's is not replaced");
    assert.throws(psql, /is there again/, "run again it must change nothing");
    assert.deepEqual(await contentOf(database.client), await contentOf(original));
  });

  it("restores the copy from the backup where the scratch server is gone", async () => {
    await assertRepaired(await damaged("DELETE FROM hens WHERE id = 3", { scratch: null }));
  });

  it("has nothing to do where nothing is missing", async () => {
    const database = await damaged("INSERT INTO organisations VALUES (gen_random_uuid(), 'new')");
    const repair = await database.prepare();
    assert.deepEqual([repair.file, repair.findings], [null, []]);
    await repair.close();
  });

  it("touches no row that was written since, and takes defaults for added columns", async () => {
    const database = await damaged(`
      DELETE FROM "No ""tes""" WHERE part = 2; ALTER TABLE "No ""tes""" ADD COLUMN stars int NOT NULL DEFAULT 7;
      UPDATE "No ""tes""" SET body = 'edited' WHERE person % 5 = 0; INSERT INTO "No ""tes""" VALUES ('new', 1, 'new', 5, 1)`);
    const versions = `SELECT part, "the ""key""" AS key, xmin::text, body, stars FROM "No ""tes""" WHERE part = 1 ORDER BY 1, 2`;
    const { rows: before } = await database.client.query(versions);
    const repair = await database.prepare();
    assert.equal((await repair.apply()).verdict, "pass");
    await repair.close();
    assert.deepEqual((await database.client.query(versions)).rows, before);
    const { rows } = await database.client.query(
      `SELECT count(*)::int AS rows, min(stars) AS stars FROM "No ""tes""" WHERE part = 2`,
    );
    assert.deepEqual(rows, [{ rows: 1500, stars: 7 }]);
  });

  it("names what cannot be put back: dropped columns and tables, policies; and puts back the rest", async () => {
    const database = await damaged(`
      DELETE FROM "No ""tes""" WHERE part = 2; ALTER TABLE "No ""tes""" DROP COLUMN body; DROP TABLE event_tags;
      DROP POLICY nobody ON people`);
    const repair = await database.prepare();
    assert.deepEqual(repair.plan.unrecoverable, [
      'public.No "tes": column(s) body are gone: db:restore has them',
      "public.event_tags: the table is gone, with 400 row(s): db:restore has it",
      "row security policy public.people.nobody is gone",
    ]);
    assert.equal((await repair.apply()).verdict, "fail");
    await repair.close();
    const { rows } = await database.client.query(`SELECT count(*)::int AS rows FROM "No ""tes"""`);
    assert.deepEqual(rows, [{ rows: 3000 }]);
  });

  it("puts back rows of the tables that fail, and of those that are named", async () => {
    const allowed = {
      tables: { "public.members": { deletes: "any" as const }, "public.teams": { deletes: "any" as const } },
    };
    const database = await damaged("DELETE FROM teams WHERE id = 1; DELETE FROM hens WHERE id = 1", allowed);
    const repair = await database.prepare();
    assert.deepEqual(
      repair.plan.groups
        .flat()
        .map(({ table }) => table.name)
        .toSorted(),
      ["eggs", "hens"],
    );
    await repair.close();
    const named = await database.prepare({ tables: ["public.teams", "public.members"] });
    await named.apply();
    await named.close();
    const { rows } = await database.client.query(
      "SELECT (SELECT count(*) FROM teams)::int AS teams, (SELECT count(*) FROM hens)::int AS hens",
    );
    assert.deepEqual(rows, [{ teams: 30, hens: 19 }]);
    await assert.rejects(database.prepare({ tables: ["teams"] }), UsageError);
  });

  describe("when something stands in the way", () => {
    async function assertRefused(
      database: Damaged,
      expected: RegExp[],
      more: Partial<RepairInput> = {},
    ): Promise<void> {
      const before = await contentOf(database.client);
      const repair = await database.prepare(more);
      const lines = repair.conflicts.join("\n");
      for (const line of expected) assert.match(lines, line);
      await assert.rejects(repair.apply(), (error: Refusal) => error instanceof Refusal && error.details.length > 0);
      await repair.close();
      assert.deepEqual(await contentOf(database.client), before);
    }

    it("names keys that belong to other rows by now, of plain, partial and expression indexes", async () => {
      const database = await damaged(`
        DELETE FROM members WHERE id = 100; DELETE FROM people WHERE id IN (1490, 1491); ALTER TABLE people DISABLE TRIGGER USER;
        UPDATE people SET email = 'p1490@EXAMPLE.com' WHERE id = 5;
        UPDATE people SET profile = '{"nick": "n1491"}' WHERE id = 6;
        INSERT INTO members VALUES (100, 1, NULL)`);
      // The same row by its key is no longer missing.
      await assertRefused(database, [
        /^public\.people \{"id" : "1491"\}: its key in index people_nick is that of \{"id" : "6"\} by now$/m,
      ]);
      await database.client.query("UPDATE people SET email = 'p1491@EXAMPLE.com' WHERE id = 5");
      await assertRefused(database, [
        /\{"id" : "1491"\}: its key in index people_lower_email_key is that of \{"id" : "5"\}/,
      ]);
    });

    it("names rows that have the same key in other words by now, that are kept out, or that are as NULL as another", async () => {
      const database = await damaged(`
        DELETE FROM readings WHERE who = 'Ada4'; INSERT INTO readings VALUES ('0', '1.100', 'ADA4', 'again');
        DELETE FROM bookings WHERE id IN (3, 4); INSERT INTO bookings VALUES (33, '[35,36)');
        DELETE FROM optional WHERE a IS NULL; INSERT INTO optional VALUES (NULL, NULL, 'mine')`);
      await assertRefused(database, [
        /^public\.readings \{"at" : "-0", "worth" : "1\.10", "who" : "Ada4"\}: its key in index readings_pkey is that of \{"at" : "0", "worth" : "1\.100", "who" : "ADA4"\} by now$/m,
        /^public\.bookings \{"id" : "3"\}: bookings_during_excl keeps it out, because of \{"id" : "33"\} by now$/m,
        /^public\.optional a row: its key in index optional_a_b_key is that of another row by now$/m,
      ]);
    });

    it("names rows whose parent was deleted, which the stack allows", async () => {
      const tables = { "public.organisations": { deletes: "any" as const } };
      const database = await damaged(`DELETE FROM organisations WHERE id = ${organisation}`, { tables });
      await assertRefused(database, [
        /^public\.people \{"id" : "2"\}: its row of public\.organisations is gone \(foreign key people_organisation_fkey\)$/m,
        /^… and 105 more of these$/m,
      ]);
      const repair = await database.prepare();
      const failing = repair.plan.groups.flat().map(({ table }) => `public.${table.name}`);
      await repair.close();
      await assertRepaired(database, { tables: ["public.organisations", ...failing] });
    });

    it("finds what came between the plan and the transaction, and changes nothing", async () => {
      const database = await damaged("DELETE FROM hens WHERE id = 3; DELETE FROM event_tags WHERE event = 5");
      const repair = await database.prepare();
      await database.client.query("BEGIN; INSERT INTO hens VALUES (3, 3); INSERT INTO eggs VALUES (3, 3); COMMIT");
      await assert.rejects(repair.apply(), (error: Refusal) =>
        /public\.(hens|eggs) \{"id" : "3"\} is there again/.test(error.details.join()),
      );
      await repair.close();
      const next = await database.prepare();
      assert.deepEqual(
        next.plan.groups.flat().map(({ table }) => table.name),
        ["event_tags"],
      );
      assert.equal((await next.apply()).verdict, "pass");
      await next.close();
    });

    it("refuses a column that nothing can fill, and a role without the owner's rights", async () => {
      const database = await damaged(
        "DELETE FROM hens WHERE id = 3; TRUNCATE remarks; ALTER TABLE remarks ADD COLUMN must int NOT NULL",
      );
      await assert.rejects(database.prepare(), (error: Refusal) =>
        error.details
          .join()
          .includes("public.remarks: column must, which the release added, takes no NULL and has no default"),
      );
      await database.client.query(
        `GRANT CREATE ON SCHEMA public TO ${role}; ALTER TABLE remarks ALTER must SET DEFAULT 1`,
      );
      const other = await open(
        new URL(database.url.replace(/\/\/.*@/, `//${new URL(adminUrl).username}:${new URL(adminUrl).password}@`)).href,
      );
      await other.query("ALTER TABLE remarks OWNER TO CURRENT_USER; GRANT ALL ON remarks TO repair_owner");
      await assert.rejects(database.prepare(), (error: Refusal) =>
        /public\.remarks belongs to postgres/.test(error.details.join()),
      );
    });

    it("refuses where row security hides rows from the owner as well, and names the table", async () => {
      const database = await damaged("DELETE FROM people WHERE id < 3; ALTER TABLE people FORCE ROW LEVEL SECURITY");
      const before = await contentOf(original);
      await assert.rejects(database.prepare(), (error) => {
        const failure = databaseFailure(error);
        assert.ok(failure instanceof Refusal);
        assert.match(failure.message, /rows would be hidden: .*policy for table "people"/);
        assert.match(failure.hint ?? "", /NO FORCE ROW LEVEL SECURITY/);
        return true;
      });
      await database.client.query("ALTER TABLE people NO FORCE ROW LEVEL SECURITY");
      await assertRepaired(database);
      assert.deepEqual(await contentOf(original), before);
    });

    it("lets one repair run at a time", async () => {
      const database = await damaged("DELETE FROM hens WHERE id = 3");
      const first = await database.prepare();
      await assert.rejects(database.prepare(), Unavailable);
      await first.close();
      await assertRepaired(database);
    });
  });

  describe("--columns", () => {
    const verified = async ({ live, store, receipt }: Damaged): Promise<void> => {
      await verifyReceipt({ store, ...receipt, live });
    };

    it("gives changed rows their former values, but not those that were written after the verification", async () => {
      const database = await damaged(`
        ALTER TABLE people DISABLE TRIGGER USER; UPDATE people SET email = NULL, plain = NULL, tags = '{}' WHERE id > 700;
        DELETE FROM people WHERE id = 1500; ALTER TABLE people ENABLE TRIGGER USER; ALTER TABLE people DISABLE TRIGGER d_off;
        ALTER TABLE people ENABLE ALWAYS TRIGGER "c ""always"""`);
      await verified(database);
      await database.client.query(
        "ALTER TABLE people DISABLE TRIGGER b_shout; UPDATE people SET email = 'late' || id, size = 9 WHERE id IN (1000, 1001); ALTER TABLE people ENABLE TRIGGER b_shout",
      );
      const before = await surroundings(database.client);
      const repair = await database.prepare({ columns: parseColumns(["public.people:email,plain"]) });
      const [columns] = repair.plan.columns;
      assert.deepEqual(
        [columns?.rows, columns?.leftAlone, columns?.leftAloneKeys.toSorted()],
        [797, 2, ['{"id" : "1000"}', '{"id" : "1001"}']],
      );
      assert.equal((await repair.apply()).verdict, "pass");
      await repair.close();
      const { rows } = await database.client.query("SELECT id, email, plain::text, tags::text FROM people ORDER BY id");
      const { rows: were } = await original.query("SELECT id, email, plain::text, tags::text FROM people ORDER BY id");
      const expected = were.map((row) =>
        row.id <= 700 || row.id === 1500
          ? row
          : [1000, 1001].includes(row.id)
            ? { ...row, email: `late${row.id}`, plain: null, tags: "{}" }
            : { ...row, tags: "{}" },
      );
      assert.deepEqual(rows, expected);
      assert.deepEqual(await surroundings(database.client), before);
    });

    it("leaves alone what a transaction wrote that was running at the verification, its subtransactions too", async () => {
      const database = await damaged("UPDATE organisations SET name = 'x' || name", { scratch: null });
      const other = await open(database.url);
      // The snapshot names the running transaction and not the one inside it, which is numbered now and writes later.
      await other.query("BEGIN; SELECT pg_current_xact_id(); SAVEPOINT inner_one");
      await other.query(`UPDATE organisations SET name = name || ' late' WHERE id = ${organisation}`);
      await database.client.query("SELECT pg_current_xact_id()");
      await verified(database);
      await other.query("COMMIT");
      const repair = await database.prepare({ columns: parseColumns(["public.organisations:name"]) });
      try {
        assert.deepEqual([repair.plan.columns[0]?.rows, repair.plan.columns[0]?.leftAlone], [11, 1]);
        await repair.apply();
      } finally {
        await repair.close();
      }
      const { rows } = await database.client.query("SELECT name FROM organisations WHERE name LIKE '% late'");
      assert.equal(rows.length, 1);
    });

    it("changes nothing where a row was written between the plan and the transaction", async () => {
      const database = await damaged("UPDATE organisations SET name = 'x' || name", { scratch: null });
      await verified(database);
      const repair = await database.prepare({ columns: parseColumns(["public.organisations:name"]) });
      assert.equal(repair.plan.columns[0]?.rows, 12);
      await database.client.query(`UPDATE organisations SET name = 'mine' WHERE id = ${organisation}`);
      await assert.rejects(repair.apply(), /planned 12 row\(s\), updated 11/);
      await repair.close();
      const { rows } = await database.client.query(
        "SELECT count(*)::int AS rows FROM organisations WHERE name LIKE 'x%'",
      );
      assert.deepEqual(rows, [{ rows: 11 }]);
    });

    it("refuses columns that cannot be meant, and a release that nobody verified", async () => {
      const database = await damaged("DELETE FROM remarks");
      const prepare = (text: string): Promise<PreparedRepair> => database.prepare({ columns: parseColumns([text]) });
      await assert.rejects(prepare("public.people:email"), /no verification of receipt/);
      await verified(database);
      for (const [text, why] of [
        ["public.people:lower_email", /the database computes it/],
        ["public.people:id", /the database computes it/],
        ["public.teams:id", /it is of the table's key/],
        ["public.people:phone", /the backup has no such column/],
        ["public.remarks:remark", /the table has no key/],
        ["public.nothing:at", /the backup holds no table public\.nothing/],
      ] as const)
        await assert.rejects(
          prepare(text),
          (error: Error) => error instanceof UsageError && why.test(error.message),
          text,
        );
      for (const text of ["people", "people:email", "public.people:"])
        assert.throws(() => parseColumns([text]), UsageError);
    });
  });

  describe("as a command", () => {
    const run = (database: Damaged, words: string[]) =>
      startCli(words, { DATABASE_URL: database.url, BACKUP_STORE: database.store.url, DBPROTECT_REPORTS: reports });
    const words = (database: Damaged, ...more: string[]): string[] => [
      "db:repair",
      "--receipt",
      database.receipt.receipt.runId,
      ...more,
    ];

    it("repairs what froze releases, so that the freeze is lifted without accepting a loss", async () => {
      // A store of its own, for a freeze that another case set would have to be lifted too; and a copy, for that spends it.
      const own = await restoredCopy();
      const url = freshStore();
      cpSync(new URL(`${storeUrl}/backups`), new URL(`${url}/backups`), { recursive: true });
      const database = await damaged(everything, { store: openStore(url), scratch: own });
      const { store } = database;
      const { runId } = database.receipt.receipt;
      assert.equal(
        (await verifyReceipt({ store, ...database.receipt, live: database.live })).comparison.verdict,
        "fail",
      );
      const frozen = await run(database, ["deploy:unfreeze", "--person", "Ada", "--reason", "too early", "--yes"])
        .ended;
      assert.equal(frozen.code, 1, frozen.stderr);
      const shown = await run(database, ["db:repair", "--json"]).ended;
      assert.equal(shown.code, 0, shown.stderr);
      assert.equal((JSON.parse(shown.stdout) as { executed: boolean }).executed, false);
      assert.notDeepEqual(await contentOf(database.client), await contentOf(original));
      const repaired = await run(database, ["db:repair", "--yes"]).ended;
      assert.equal(repaired.code, 0, repaired.stderr);
      assert.match(repaired.stdout, /public\.people +125 +all[^]*PASS: .* none deleted/);
      assert.deepEqual(
        (await readEvents(store, runId)).map(({ event }) => event),
        ["gate-passed", "verification-failed", "repaired"],
      );
      assert.deepEqual(await contentOf(database.client), await contentOf(original));
      const lifted = await run(database, ["deploy:unfreeze", "--person", "Ada", "--reason", "rows are back", "--yes"])
        .ended;
      assert.equal(lifted.code, 0, lifted.stderr);
      assert.deepEqual([await readFreeze(store), await listOpenReceipts(store)], [undefined, []]);
      assert.equal(await isScratchAlive(own), false);
    });

    const moments = [
      ["while it compares", /comparing with/],
      ["when the rows are staged", /read from the copy/],
      ["when the file is written", /what will be written is in/],
      ["in the transaction", /locked against writing/],
      ["when rows are in", /put back/],
      ["at the end", /committing/],
      ["when it is done", /comparing again/],
    ] as const;
    for (const [moment, line] of moments)
      it(`killed ${moment}, it is all or nothing, and the next run finishes`, async () => {
        const database = await damaged(everything);
        const lost = await contentOf(database.client);
        const first = run(database, words(database, "--yes"));
        while (!line.test(first.stderr()) && first.process.exitCode === null) await sleep(2);
        first.process.kill("SIGKILL");
        assert.equal((await first.ended).code, null, first.stderr());
        await alone(database.client);
        const found = await contentOf(database.client);
        const whole = await contentOf(original);
        if (found["people"] === whole["people"]) assert.deepEqual(found, whole);
        else assert.deepEqual(found, lost);
        const next = await run(database, words(database, "--yes")).ended;
        assert.equal(next.code, 0, next.stderr);
        assert.deepEqual(await contentOf(database.client), whole);
      });

    for (const [signal, code] of [
      ["SIGKILL", null],
      ["SIGINT", 130],
    ] as const)
      it(`ended by ${signal} while it waits for a row in the middle of writing, it changes nothing`, async () => {
        const database = await damaged("DELETE FROM people WHERE id > 1400");
        const lost = await contentOf(database.client);
        await database.client.query(`BEGIN; SELECT FROM organisations FOR UPDATE`);
        const first = run(database, words(database, "--yes"));
        while (!/public\.people: 100 rows put back/.test(first.stderr()) && first.process.exitCode === null)
          await sleep(10);
        await sleep(100);
        first.process.kill(signal);
        const ended = await first.ended;
        assert.equal(ended.code, code, ended.stderr);
        await database.client.query("ROLLBACK");
        await alone(database.client);
        assert.deepEqual(await contentOf(database.client), lost);
        assert.equal((await run(database, words(database, "--yes")).ended).code, 0);
        assert.deepEqual(await contentOf(database.client), await contentOf(original));
      });

    /** Nothing of a run that was killed may stay connected. */
    async function alone(client: Client): Promise<void> {
      for (let tries = 0; tries < 200; tries++) {
        const { rows } = await client.query<{ left: number }>(
          "SELECT count(*)::int AS left FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dbprotect'",
        );
        if (rows[0]!.left === 0) return;
        await sleep(25);
      }
      assert.fail("a session of ours is still there");
    }
  });
});
