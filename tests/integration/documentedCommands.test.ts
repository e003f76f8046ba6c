/** The pages that a newcomer follows do what they say: every command is run, and prints what stands below it. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startSupabaseFake } from "../../scripts/rehearsal/platforms/supabaseFake";
import { closeCrmClients, deploymentVariables, freshCrm } from "../servers/crm";
import { runBlocks } from "../servers/documentedCommands";
import { ask, sharedCluster } from "../servers/postgres";
import { startSupabaseProject } from "../servers/supabase";

describe("documented commands", function () {
  this.timeout(600_000);
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-documented-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  after(closeCrmClients);

  /** What a reader has: the programs of PostgreSQL, and a folder of the page's own. */
  async function reader(page: string): Promise<Record<string, string>> {
    const { binDir } = await sharedCluster();
    const cache = process.env["DBPROTECT_CACHE"];
    const play = join(folder, page);
    mkdirSync(play);
    return {
      ...{ PATH: binDir, HOME: folder, PLAY: play, LANG: "C.UTF-8", DBPROTECT_REPORTS: join(play, "reports") },
      ...(cache === undefined ? {} : { DBPROTECT_CACHE: cache }),
    };
  }

  /** The reader's database, with the role that docs/backup-role.sql makes as far as it has a password. */
  async function withRole(page: string): Promise<Record<string, string>> {
    const { url } = await freshCrm(100);
    await ask(
      url,
      "DO $$ BEGIN CREATE ROLE dbprotect_backup LOGIN BYPASSRLS; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    );
    await ask(url, "ALTER ROLE dbprotect_backup PASSWORD 'of-the-test'");
    const asRole = new URL(url);
    [asRole.username, asRole.password] = ["dbprotect_backup", "of-the-test"];
    return { ...(await reader(page)), ADMIN_DATABASE_URL: url, DATABASE_URL: asRole.href };
  }

  it("docs/tutorial.md goes from zero to a guarded release", async () => {
    const { url } = await sharedCluster();
    await runBlocks("docs/tutorial.md", { ...(await reader("tutorial")), SERVER: url.replace(/\/[^/]*$/, "") });
  });

  it("docs/how-to/self-hosted.md: a role that only reads is enough for backups, drills and the gate", async () => {
    await runBlocks("docs/how-to/self-hosted.md", await withRole("self-hosted"));
  });

  it("docs/how-to/supabase.md: against a server with Supabase's roles and schemas, and its API's stand-in", async () => {
    const [project, api] = await Promise.all([startSupabaseProject({ filled: true }), startSupabaseFake()]);
    try {
      const own = `https://${api.environment["SUPABASE_PROJECT_REF"]}.supabase.co`;
      const variables = { ...deploymentVariables, SUPABASE_URL: own, VITE_SUPABASE_URL: own };
      const env = { ...(await reader("supabase")), ...variables, ...api.environment };
      await runBlocks("docs/how-to/supabase.md", { ...env, DATABASE_URL: project.url });
    } finally {
      await Promise.all([project.cluster.stop(), api.close()]);
    }
  });

  it("docs/how-to/rds.md: the role, a backup, a restore beside", async () => {
    const env = await withRole("rds");
    await runBlocks("docs/how-to/rds.md", {
      ...{ ...env, DATABASE_URL: env["ADMIN_DATABASE_URL"] ?? "" },
      BACKUP_STORE: `file://${env["PLAY"]}/backups`,
    });
  });

  it("docs/how-to/existing-stack.md: a first look changes nothing", async () => {
    const { url } = await freshCrm(100);
    await runBlocks("docs/how-to/existing-stack.md", { ...(await reader("existing-stack")), DATABASE_URL: url });
  });

  it("docs/how-to/github-actions.md: the judge annotates", async () => {
    await runBlocks("docs/how-to/github-actions.md", await reader("github-actions"));
  });
});
