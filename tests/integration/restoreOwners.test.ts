/**
 * Owners after a restore in place: schemas, and roles that were dropped and made again, by the restore or by hand, as an
 * owner of a database who is no superuser. On servers before and after 16, which changed who may give a membership.
 */
import assert from "node:assert/strict";
import { createBackup } from "../../scripts/backup/createBackup";
import { type Manifest, readManifest, resolveBackup } from "../../scripts/backup/manifest";
import { UsageError } from "../../scripts/contract/failure";
import { parseTarget } from "../../scripts/database/target";
import { type RestoredInPlace, restoreInPlace } from "../../scripts/restore/restoreInPlace";
import { type Cluster, startCluster, urlOf } from "../../scripts/scratch/cluster";
import { openStore } from "../../scripts/store/openStore";
import { skip } from "../skip";
import { freshStore } from "../servers/crm";
import { ask, sharedCluster, withSession } from "../servers/postgres";

/** What belongs to a role that may not create in `public`, but was given what lies there. */
const objects = (role: string): string => `
  GRANT CREATE ON SCHEMA public TO ${role};
  CREATE SCHEMA sales AUTHORIZATION ${role}; CREATE SCHEMA kept;
  SET ROLE ${role};
  CREATE TABLE sales.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text);
  INSERT INTO sales.orders (body) SELECT 'order ' || n FROM generate_series(1, 100) n;
  CREATE TABLE public.notes (id int PRIMARY KEY, "order" int REFERENCES sales.orders);
  INSERT INTO public.notes SELECT n, n FROM generate_series(1, 10) n;
  CREATE FUNCTION public.twice(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 2;
  CREATE TYPE public.mood AS ENUM ('glad', 'sad'); CREATE SEQUENCE public.numbers;
  CREATE VIEW sales.bodies AS SELECT body FROM sales.orders;
  CREATE MATERIALIZED VIEW public.sums AS SELECT public.twice(count(*)::int) AS n FROM sales.orders;
  SELECT lo_from_bytea(0, 'contract of ${role}');
  ALTER DEFAULT PRIVILEGES FOR ROLE ${role} GRANT SELECT ON TABLES TO pg_monitor;
  RESET ROLE;
  CREATE TABLE kept.mine (id int); INSERT INTO kept.mine VALUES (1);
  REVOKE CREATE ON SCHEMA public FROM ${role}`;

describe("owners, restored in place by who is no superuser", function () {
  this.timeout(60_000);

  for (const major of [17, 15])
    describe(`on PostgreSQL ${major}`, () => {
      let cluster: Cluster;
      let cases = 0;

      before(async function () {
        try {
          cluster =
            major === 17
              ? await sharedCluster()
              : await startCluster({ major, listen: "loopback", lifetime: { kind: "parent" }, purpose: "test" });
        } catch (error) {
          if (error instanceof UsageError) return skip(this, `PostgreSQL ${major} is not on this machine`);
          throw error;
        }
      });
      after(async () => {
        if (major !== 17) await (cluster as Cluster | undefined)?.stop();
      });

      const grant = (role: string, owner: string): string =>
        `GRANT "${role}" TO "${owner}"${major < 16 ? "" : " WITH INHERIT TRUE, SET TRUE"};`;

      const admin = (sql: string): Promise<unknown> => withSession(cluster.url, (client) => client.query(sql));

      interface Case {
        readonly url: string;
        /** Who restores, and who owned what was dropped. */
        readonly owner: string;
        readonly role: string;
        readonly asAdmin: (sql: string) => Promise<unknown>;
        readonly restore: () => Promise<RestoredInPlace>;
      }

      /** A database whose owner backed it up, and from which then a role went that owned half of it. */
      async function withoutRole(attribute: "CREATEROLE" | "NOCREATEROLE"): Promise<Case> {
        const [owner, role, database] = ["owner", "role", "owners"].map((word) => `${word}_${major}_${++cases}`);
        await admin(`CREATE ROLE ${owner} LOGIN PASSWORD 'x' CREATEROLE`);
        await admin(`CREATE DATABASE ${database} OWNER ${owner}`);
        const adminUrl = urlOf(cluster.place, database!);
        const address = new URL(adminUrl);
        [address.username, address.password] = [owner!, "x"];
        const url = address.href;
        const asAdmin = (sql: string): Promise<unknown> => withSession(adminUrl, (client) => client.query(sql));
        await withSession(url, async (client) => {
          await client.query(`CREATE ROLE ${role}; GRANT ${role} TO ${owner}`);
          await client.query(objects(role!));
        });
        const store = openStore(freshStore());
        await createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "owners" });
        const manifest: Manifest = await readManifest(store, await resolveBackup(store, "latest"));
        await asAdmin(
          `REASSIGN OWNED BY ${role} TO ${owner}; DROP OWNED BY ${role}; DROP ROLE ${role}; ALTER ROLE ${owner} ${attribute}`,
        );
        await withSession(url, (client) =>
          client.query("DELETE FROM notes; DELETE FROM sales.orders WHERE id > 50; DROP FUNCTION twice CASCADE"),
        );
        const live = parseTarget(url, "test");
        return {
          ...{ url, owner: owner!, role: role!, asAdmin },
          restore: () => restoreInPlace({ store, manifest, live }),
        };
      }

      async function assertOwned({ url, role }: Case): Promise<void> {
        const rows = await ask<{ what: string }>(
          url,
          `SELECT relname || ' ' || pg_get_userbyid(relowner) AS what FROM pg_class
            WHERE relname IN ('orders', 'notes', 'bodies', 'sums', 'numbers')
           UNION ALL SELECT nspname || ' ' || pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'sales'
           UNION ALL SELECT proname || ' ' || pg_get_userbyid(proowner) FROM pg_proc WHERE proname = 'twice'
           UNION ALL SELECT 'object ' || pg_get_userbyid(lomowner) FROM pg_largeobject_metadata
           UNION ALL SELECT 'creates ' || has_schema_privilege('${role}', 'public', 'CREATE') ORDER BY 1`,
        );
        assert.deepEqual(
          rows.map(({ what }) => what),
          [
            `bodies ${role}`,
            "creates false",
            `notes ${role}`,
            `numbers ${role}`,
            `object ${role}`,
            `orders ${role}`,
            `sales ${role}`,
            `sums ${role}`,
            `twice ${role}`,
          ],
        );
        assert.deepEqual(await ask(url, "SELECT count(*)::int AS orders FROM sales.orders"), [{ orders: 100 }]);
      }

      async function assertUnchanged({ url }: Case): Promise<void> {
        assert.deepEqual(await ask(url, "SELECT count(*)::int AS orders FROM sales.orders"), [{ orders: 50 }]);
      }

      it("becomes a member of a role that was made again by hand, where it may, and says so", async () => {
        const database = await withoutRole("CREATEROLE");
        const { role, owner, url } = database;
        await withSession(url, (client) => client.query(`CREATE ROLE ${role}`));
        const { notes } = await database.restore();
        assert.deepEqual(notes, [`role ${owner} is a member of ${role} now, which owns objects of the backup`]);
        await assertOwned(database);
        assert.deepEqual((await database.restore()).notes, []);
      });

      it("names the command for a role that was made again by somebody else: nothing is changed before it was run", async () => {
        const database = await withoutRole(major < 16 ? "NOCREATEROLE" : "CREATEROLE");
        const { role, owner, asAdmin } = database;
        await asAdmin(`CREATE ROLE ${role}`);
        const hint = grant(role, owner);
        await assert.rejects(database.restore(), {
          exitCode: 1,
          message: `objects of the backup belong to roles that role ${owner} is no member of, nor may make itself one: ${role}: nothing was changed`,
          hint: `as a role that may: ${hint}`,
        });
        await assertUnchanged(database);
        await asAdmin(hint);
        await database.restore();
        await assertOwned(database);
      });

      // The same on every server.
      if (major === 17) ownersEverywhere();

      function ownersEverywhere(): void {
        it("gives all of it to the role again, which it makes itself where it may", async () => {
          const database = await withoutRole("CREATEROLE");
          await database.restore();
          await assertOwned(database);
          await database.restore();
          await assertOwned(database);
        });

        it("takes no object from a role that has some again, and names the command that lets it", async () => {
          const database = await withoutRole("CREATEROLE");
          const { role, owner, asAdmin, url } = database;
          await withSession(url, (client) => client.query(`CREATE ROLE ${role}`));
          await asAdmin(`ALTER TABLE sales.orders OWNER TO ${role}`);
          await assert.rejects(database.restore(), {
            exitCode: 1,
            message:
              /^rows of tables that belong to others are .*permission denied to set parameter.*; nothing was changed: sales\.orders$/,
            hint: `what belongs to ${role} was left as it is; to replace that too, as a role that may: ${grant(role, owner)}`,
          });
          await assert.rejects(
            ask(url, "SELECT FROM sales.orders"),
            /permission denied/,
            "it became a member although nothing was restored",
          );
          await asAdmin(grant(role, owner));
          await assertUnchanged(database);
          await database.restore();
          await assertOwned(database);
        });

        it("names that command, too, where a statement misses what belongs to such a role", async () => {
          const database = await withoutRole("CREATEROLE");
          const { role, owner, asAdmin, url } = database;
          await withSession(url, (client) => client.query(`CREATE ROLE ${role}`));
          await asAdmin(`ALTER SEQUENCE numbers OWNER TO ${role}`);
          await assert.rejects(database.restore(), {
            exitCode: 1,
            message: /relation "public\.notes" does not exist/,
            hint: `what belongs to ${role} was left as it is; to replace that too, as a role that may: ${grant(role, owner)}`,
          });
          await assertUnchanged(database);
        });
      }
    });
});
