/** Level 1 of a server of one's own, asked of real servers: without archiving, with it, and while it fails. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "pg";
import { withConnection } from "../../scripts/database/connect";
import { type DatabaseTarget, parseTarget } from "../../scripts/database/target";
import { type PostureCheck, checkPosture } from "../../scripts/posture/checkPosture";
import { type Cluster, startCluster } from "../../scripts/scratch/cluster";
import { platformSettingsSchema } from "../../scripts/settings";
import { sharedCluster } from "../servers/postgres";

describe("Level 1 of a server of one's own", function () {
  this.timeout(60_000);
  let archiving: Cluster;
  let folder: string;
  let fault: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "dbprotect-archive-"));
    chmodSync(folder, 0o777);
    fault = join(folder, "fault");
    archiving = await startCluster({
      listen: "loopback",
      lifetime: { kind: "parent" },
      purpose: "test",
      settings: {
        archive_mode: "on",
        wal_level: "replica",
        max_wal_senders: "4",
        archive_command: `test ! -e ${fault} && cp %p ${folder}/%f`,
      },
    });
  });
  after(async () => {
    await archiving.stop();
    rmSync(folder, { recursive: true });
  });

  const targetOf = (cluster: Cluster): DatabaseTarget => parseTarget(cluster.url, "DATABASE_URL");

  const check = (cluster: Cluster, over: object = {}): Promise<PostureCheck> =>
    checkPosture({
      settings: platformSettingsSchema.parse({ level: 3, ...over }),
      target: () => targetOf(cluster),
      env: {},
    });

  const said = ({ findings }: PostureCheck): Record<string, string> =>
    Object.fromEntries(findings.map(({ requirement, outcome, found }) => [requirement, `${outcome}: ${found}`]));

  /** Switches the log, so that there is something to archive, and looks until the archiver has said how that went. */
  async function archive(client: Client, column: "archived_count" | "failed_count"): Promise<void> {
    const read = async (): Promise<number> =>
      Number((await client.query<{ n: string }>(`SELECT ${column} AS n FROM pg_stat_archiver`)).rows[0]?.n);
    const earlier = await read();
    await client.query("CREATE TABLE IF NOT EXISTS public.written (n int)");
    await client.query("INSERT INTO public.written VALUES (1)");
    await client.query("SELECT pg_switch_wal()");
    while ((await read()) <= earlier) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  it("halts at Levels 1 and 3 where nothing is archived, and says so at Level 2", async () => {
    const cluster = await sharedCluster();
    const strict = await check(cluster);
    assert.deepEqual([strict.verdict, strict.platform], ["halt", "postgres"]);
    assert.deepEqual(said(strict), {
      backup: "unmet: archive_mode is off: nothing is archived; expected logs archived within the last 26 h",
      pitr: said(strict)["pitr"],
      replicas: "unmet: no replica is connected; expected 1 streaming",
      services: "met: the server takes writes",
    });
    assert.match(said(strict)["pitr"] ?? "", /^unmet: archive_mode off, wal_level \w+, but archiving does not succeed/);
    assert.equal((await check(cluster, { level: 1 })).verdict, "halt");
    assert.equal((await check(cluster, { level: 2 })).verdict, "pass");
  });

  it("passes while logs are archived, and halts from the first failure until one is archived again", async () => {
    await withConnection(targetOf(archiving), async (client) => {
      await archive(client, "archived_count");
      const well = await check(archiving);
      assert.equal(well.verdict, "pass");
      assert.match(said(well)["backup"] ?? "", /^met: newest log archived 0\.0 h ago$/);
      assert.match(said(well)["pitr"] ?? "", /^met: archive_mode on, wal_level replica$/);
      assert.match(said(await check(archiving, { backupHours: 1e-9 }))["backup"] ?? "", /^unmet: newest log/);

      writeFileSync(fault, "");
      await archive(client, "failed_count");
      const failing = await check(archiving);
      assert.equal(failing.verdict, "halt");
      assert.match(
        said(failing)["backup"] ?? "",
        /^unmet: newest log archived .*; archiving fails since \(\d+ failures\)/,
      );
      assert.ok(existsSync(fault));
    });
  });
});
