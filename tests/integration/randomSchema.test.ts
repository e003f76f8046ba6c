/** Whatever schema a seed makes: backed up, verified, restored, and the same rows are there, by a comparison of the tests' own. */
import assert from "node:assert/strict";
import { createBackup } from "../../scripts/backup/createBackup";
import { withConnection } from "../../scripts/database/connect";
import { type DatabaseTarget, parseTarget, withDatabase } from "../../scripts/database/target";
import { restoreBeside } from "../../scripts/restore/restoreBeside";
import { openStore } from "../../scripts/store/openStore";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { isCampaign, randomNumbers, seeds } from "../servers/campaign";
import { freshStore } from "../servers/crm";
import { freshDatabase, sharedCluster } from "../servers/postgres";
import { randomSchema } from "../servers/randomSchema";

/** Of the largest value: PostgreSQL's own limit is 1 GB, and COPY's text of it twice as long. */
const largestMegabytes = isCampaign ? 100 : 20;

describe("a random schema", function () {
  this.timeout(180_000);
  const scratch = process.env["SCRATCH_DATABASE_URL"];

  before(async () => void (process.env["SCRATCH_DATABASE_URL"] = (await sharedCluster()).url));
  after(() => {
    if (scratch === undefined) delete process.env["SCRATCH_DATABASE_URL"];
    else process.env["SCRATCH_DATABASE_URL"] = scratch;
  });

  /** Every row of every table as text, hashed, without a word of the code that is tried. Columns by name: see inheritance. */
  async function contentOf(target: DatabaseTarget): Promise<Map<string, string>> {
    return withConnection(target, async (client) => {
      const { rows: tables } = await client.query<{ name: string; columns: string; statement: string }>(
        `SELECT c.oid::regclass::text AS name,
                (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname COLLATE "C") FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
           FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
          ORDER BY 1`,
      );
      const found = new Map<string, string>();
      for (const { name, columns } of tables) {
        const { rows } = await client.query<{ sum: string }>(
          `SELECT count(*) || ' ' || COALESCE(md5(string_agg(h, '' ORDER BY h)), '') AS sum
             FROM (SELECT md5(ROW(${columns})::text) AS h FROM ONLY ${name}) hashes`,
        );
        found.set(name, rows[0]!.sum);
      }
      return found;
    });
  }

  async function comesBack(target: DatabaseTarget, pieceBytes: number): Promise<void> {
    const store = openStore(freshStore());
    const run = { store, runId: `random${target.database}`, jobs: 2 };
    const { reference, manifest } = await createBackup({ ...run, target, tier: "manual", pieceBytes });
    // A restore compares as the verification does: with values that large once is enough.
    if (!target.database.startsWith("large")) {
      const { result } = await verifyBackup({ ...run, backup: reference, depth: 4 });
      assert.equal(result.verdict, "verified");
    }
    const { database } = await restoreBeside({ store, manifest, live: target, database: `${target.database}_back` });
    const was = await contentOf(target);
    assert.ok(was.size > 0 && [...was.values()].some((sum) => !sum.startsWith("0 ")), "no rows: this proves nothing");
    assert.deepEqual(await contentOf(withDatabase(target, database)), was);
  }

  for (const seed of seeds(40)) {
    it(`comes back as it was: seed ${seed}`, async () => {
      const target = parseTarget(await freshDatabase("random"), "test");
      await withConnection(target, async (client) => {
        for (const statement of randomSchema(seed).statements) await client.query(statement);
      });
      await comesBack(target, randomNumbers(seed)() < 0.5 ? 8192 : 1024 ** 3);
    });
  }

  for (const [type, pieceBytes, writer] of [
    ["text", 64 * 1024, "COPY"],
    ["bytea", 1024 ** 3, "pg_dump"],
  ] as const) {
    it(`comes back with ${type} of ${largestMegabytes} MB, in a row that ${writer} writes`, async () => {
      const target = parseTarget(await freshDatabase("large"), "test");
      const lines = "string_agg(md5(n::text), E'\\n')";
      await withConnection(target, async (client) => {
        await client.query(`CREATE TABLE public.large (id int, content ${type})`);
        await client.query(
          `INSERT INTO public.large SELECT 1, ${type === "text" ? lines : `convert_to(${lines}, 'UTF8')`} FROM generate_series(1, $1::int * 31775) n`,
          [largestMegabytes],
        );
      });
      await comesBack(target, pieceBytes);
    });
  }
});
