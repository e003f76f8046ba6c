/** A real PostgreSQL cluster dressed up as a Supabase project: supabase_admin is the superuser, postgres is none. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { type Cluster, startCluster, urlOf } from "../../scripts/scratch/cluster";

export interface SupabaseProject {
  readonly cluster: Cluster;
  /** As `postgres`: what a project's owner has. */
  readonly url: string;
  /** As `supabase_admin`: what only the platform has, or who runs Supabase himself. */
  readonly adminUrl: string;
}

/** @param options.filled with tables, users and files of its own; default: as the platform makes it. */
export async function startSupabaseProject(options: { filled?: boolean } = {}): Promise<SupabaseProject> {
  const cluster = await startCluster({
    listen: "loopback",
    lifetime: { kind: "parent" },
    purpose: "test",
    initdbArgs: ["--username", "supabase_admin"],
    settings: { max_connections: "60", wal_level: "logical" },
  });
  const admin = new URL(urlOf(cluster.place, "postgres"));
  admin.username = "supabase_admin";
  const owner = new URL(admin);
  owner.username = "postgres";
  try {
    run(cluster, admin, "-f", join(__dirname, "supabase.sql"));
    run(cluster, admin, "-c", `ALTER ROLE postgres PASSWORD '${admin.password}'`);
    if (options.filled === true) {
      run(cluster, owner, "-f", join(__dirname, "supabaseProject.sql"));
      run(
        cluster,
        admin,
        "-c",
        `CREATE POLICY "own files" ON storage.objects TO authenticated USING (owner = auth.uid())`,
      );
      run(cluster, admin, "-c", `CREATE POLICY "own room" ON realtime.messages TO authenticated USING (true)`);
    }
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return { cluster, url: owner.href, adminUrl: admin.href };
}

function run(cluster: Cluster, url: URL, ...what: readonly string[]): void {
  execFileSync(join(cluster.binDir, "psql"), ["-X", "-q", "-v", "ON_ERROR_STOP=1", ...what, url.href], {
    stdio: "pipe",
  });
}
