/** The strategy's "Quick Reference Links" and emergency contacts: where to look when something is not ours to mend. */

export interface QuickLink {
  readonly name: string;
  readonly url: string;
}

/** The strategy's "Important URLs". The application's own address is a stack's: `APP_URL`. */
export const dashboards: readonly QuickLink[] = [
  { name: "Supabase Dashboard", url: "https://app.supabase.com" },
  { name: "Railway Dashboard", url: "https://railway.app" },
  { name: "Vercel Dashboard", url: "https://vercel.com" },
];

/** The strategy names these statuses ("Check Supabase Status") without their addresses. */
export const statusPages = {
  supabase: { name: "Supabase Status", url: "https://status.supabase.com" },
  railway: { name: "Railway Status", url: "https://status.railway.com" },
  vercel: { name: "Vercel Status", url: "https://www.vercel-status.com" },
} as const satisfies Readonly<Record<string, QuickLink>>;

/** The strategy's "Emergency Contacts": what is wrong, and where to look first. */
export const contacts: readonly { readonly problem: string; readonly look: readonly QuickLink[] }[] = [
  { problem: "Database Issues", look: [statusPages.supabase] },
  { problem: "Deployment Issues", look: [statusPages.railway, statusPages.vercel] },
];

/** The strategy's "Backup Commands", as npm scripts. */
export const backupCommands: readonly { readonly command: string; readonly purpose: string }[] = [
  { command: "npm run db:backup", purpose: "Create backup" },
  { command: "npm run db:restore", purpose: "Restore backup" },
  { command: "npm run db:validate", purpose: "Validate data" },
  { command: "npm run db:test-connection", purpose: "Test connection" },
];
