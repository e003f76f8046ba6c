/** A rehearsal touches nothing of the user's: what their environment says about databases, stores and platforms is forgotten first. */

const kept = new Set(["PULUMI_HOME", "DBPROTECT_CACHE", "PG_BIN"]);

const foreign =
  /^(DATABASE_URL|SCRATCH_DATABASE_URL|BACKUP_|AWS_|SUPABASE_|VITE_SUPABASE_|RAILWAY_|VERCEL_|DBPROTECT_|PULUMI_|PG[A-Z]|APP_URL$|FRONTEND_URL$|RELEASE_VERSION$|JWT_SECRET$)/;

/** Removes such variables from this process, and so from all that it starts. */
export function forgetSurroundings(env: NodeJS.ProcessEnv = process.env): void {
  for (const name of Object.keys(env)) if (foreign.test(name) && !kept.has(name)) delete env[name];
}
