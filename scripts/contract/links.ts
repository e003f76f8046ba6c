/** The strategy's "Quick Reference Links" and emergency contacts: where to look when something is not ours to mend. */

export interface QuickLink {
  readonly name: string;
  readonly url: string;
}

export type PlatformName = "supabase" | "railway" | "vercel";

/** The strategy's "Important URLs". The application's own address is a stack's: `APP_URL`. */
export const dashboards = {
  supabase: { name: "Supabase Dashboard", url: "https://app.supabase.com" },
  railway: { name: "Railway Dashboard", url: "https://railway.app" },
  vercel: { name: "Vercel Dashboard", url: "https://vercel.com" },
} as const satisfies Readonly<Record<PlatformName, QuickLink>>;

/** The strategy names these statuses ("Check Supabase Status") without their addresses. */
export const statusPages = {
  supabase: { name: "Supabase Status", url: "https://status.supabase.com" },
  railway: { name: "Railway Status", url: "https://status.railway.com" },
  vercel: { name: "Vercel Status", url: "https://www.vercel-status.com" },
} as const satisfies Readonly<Record<PlatformName, QuickLink>>;

/** Where the status page is kept that the strategy's communication plan has updated; shown only when its API fails. */
const statusPageHost = [
  { name: "Statuspage's own status", url: "https://metastatuspage.com" },
  { name: "Statuspage", url: "https://manage.statuspage.io" },
] as const satisfies readonly QuickLink[];

/** Whose API this program asks. */
export type ApiName = PlatformName | "statuspage";

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

/** Status page and dashboard of each platform: `Railway Status https://status.railway.com, Railway Dashboard https://…`. */
function whereToLook(...platforms: readonly ApiName[]): string {
  return platforms
    .flatMap((platform): readonly QuickLink[] =>
      platform === "statuspage" ? statusPageHost : [statusPages[platform], dashboards[platform]],
    )
    .map(({ name, url }) => `${name} ${url}`)
    .join(", ");
}

/** What to do about a platform's failure, and behind it where to look, unless that stands there already. */
export function hintWithLinks(hint: string | undefined, ...platforms: readonly ApiName[]): string {
  const links = whereToLook(...platforms);
  if (hint === undefined || hint === "") return links;
  return hint.includes(links) ? hint : `${hint}; ${links}`;
}
