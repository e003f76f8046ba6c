/** A disk that fills up while a backup is restored: exit 3, what was live is there and serves, and nothing keeps the space. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import type { Client } from "pg";
import { serverUser } from "../../bin/setup/serverUser.js";
import { createBackup } from "../../scripts/backup/createBackup";
import type { Failure } from "../../scripts/contract/failure";
import { parseTarget } from "../../scripts/database/target";
import { restoreBeside } from "../../scripts/restore/restoreBeside";
import { restoreInPlace } from "../../scripts/restore/restoreInPlace";
import { openStore } from "../../scripts/store/openStore";
import { skip } from "../skip";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { sharedCluster, withSession } from "../servers/postgres";
import { temporaryFolder } from "../servers/stores";

describe("a restore onto a disk that fills up", function () {
  this.timeout(120_000);
  const role = `filler_${process.pid}`;
  const tablespace = `small_${process.pid}`;
  let folder: string;
  let mounted = false;
  let client: Client;
  let url: string;
  let live: string;

  const asAdmin = async (...statements: string[]): Promise<void> =>
    withSession((await sharedCluster()).url, async (admin) => {
      for (const statement of statements) await admin.query(statement);
    });

  before(async function () {
    folder = temporaryFolder();
    const user = serverUser();
    const owner = user === undefined ? "" : `,uid=${user.uid},gid=${user.gid}`;
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=3m,mode=700${owner}`, "tmpfs", folder], { stdio: "pipe" });
      mounted = true;
    } catch {
      return skip(this, "only root may mount a small file system, and not in every container");
    }
    await asAdmin(
      `CREATE TABLESPACE ${tablespace} LOCATION '${folder}'`,
      `CREATE ROLE ${role} SUPERUSER LOGIN PASSWORD 'x'`,
    );
  });
  after(async () => {
    await closeCrmClients();
    if (!mounted) return;
    // What a transaction that was undone left is removed with the next checkpoint.
    await asAdmin("CHECKPOINT", `DROP TABLESPACE ${tablespace}`).catch(() => undefined);
    execFileSync("umount", ["-l", folder]);
  });

  beforeEach(async () => {
    const crm = await freshCrm(20_000);
    client = crm.client;
    const address = new URL(crm.url);
    [address.username, address.password] = [role, "x"];
    url = address.href;
    live = address.pathname.slice(1);
    await client.query("SELECT lo_from_bytea(4711, 'contract')");
  });
  afterEach(() => asAdmin(`ALTER ROLE ${role} RESET default_tablespace`));

  async function backUp(pieceBytes: number) {
    const store = openStore(freshStore());
    const target = parseTarget(url, "test");
    const { manifest } = await createBackup({ target, store, tier: "manual", runId: "full", pieceBytes });
    assert.equal(
      manifest.archives.some(({ format }) => format === "copy"),
      pieceBytes < 1 << 20,
    );
    // The archives come without tablespaces: what a restore makes lies where the role's setting says.
    await asAdmin(`ALTER ROLE ${role} SET default_tablespace = '${tablespace}'`);
    return { store, manifest, live: target };
  }

  const isFull = (error: unknown): boolean => {
    const { exitCode, message } = error as Failure;
    return exitCode === 3 && /No space left on device/.test(message);
  };

  async function state(): Promise<unknown> {
    const { rows } = await client.query(
      "SELECT (SELECT count(*)::int FROM tasks) AS tasks, convert_from(lo_get(4711), 'UTF8') AS object",
    );
    await client.query("CREATE TABLE served (id int); DROP TABLE served");
    return rows[0];
  }

  for (const [what, pieceBytes] of [
    ["pg_restore", 1 << 30],
    ["COPY", 1 << 18],
  ] as const)
    it(`beside the live database, by ${what}: the new one is gone again, and with room it is restored`, async () => {
      const input = { ...(await backUp(pieceBytes)), database: `${live}_new` };
      await assert.rejects(restoreBeside(input), isFull);
      const { rows } = await client.query(
        "SELECT (SELECT count(*)::int FROM pg_database WHERE starts_with(datname, $1)) AS databases, pg_tablespace_size($2)::int AS bytes",
        [`${live}_`, tablespace],
      );
      assert.equal(rows[0].databases, 0);
      assert.ok(rows[0].bytes < 100_000, `${rows[0].bytes} bytes are kept`);
      assert.deepEqual(await state(), { tasks: 60_000, object: "contract" });
      await asAdmin(`ALTER ROLE ${role} RESET default_tablespace`);
      assert.equal((await restoreBeside(input)).database, `${live}_new`);
    });

  it("in place: all of it is as it was, large objects included, and with room it is restored", async () => {
    const input = await backUp(1 << 18);
    await client.query("DELETE FROM tasks WHERE id % 2 = 0; SELECT lo_put(4711, 0, 'CHANGED!')");
    await assert.rejects(restoreInPlace(input), isFull);
    assert.deepEqual(await state(), { tasks: 30_000, object: "CHANGED!" });
    await asAdmin(`ALTER ROLE ${role} RESET default_tablespace`);
    await restoreInPlace(input);
    assert.deepEqual(await state(), { tasks: 60_000, object: "contract" });
  });
});
