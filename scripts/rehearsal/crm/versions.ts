/**
 * The versions of the CRM that the rehearsal deploys: what each does when it starts. A version that damages data
 * does so as real ones do: in a start-up job that somebody meant well.
 */
import type { ClientBase } from "pg";

export interface CrmVersion {
  readonly version: string;
  /** Runs once, as the service role, before the version takes traffic. */
  readonly startUp?: (client: ClientBase) => Promise<void>;
  /** Built with the address of a cache that does not exist: whatever asks for its health gets 503. */
  readonly unhealthy?: boolean;
}

/** The version that is live when the rehearsal begins. */
export const firstVersion = "1.4.0";

/** The version whose start-up job deletes clients that are still wanted. */
export const cleaningVersion = "1.6.0";

/** The version that is deployed and then does not answer well. */
export const unhealthyVersion = "1.8.0";

const versions: readonly CrmVersion[] = [
  { version: firstVersion },
  { version: "1.5.0" },
  {
    version: cleaningVersion,
    // "Lost and not contacted for ages" was meant to archive; the cascades take tasks and messages along.
    startUp: async (client) => {
      await client.query("DELETE FROM clients WHERE stage = 'lost' AND last_contacted_at < '2024-05-25'");
    },
  },
  { version: "1.7.0" },
  { version: unhealthyVersion, unhealthy: true },
];

export const builtVersions: readonly string[] = versions.map(({ version }) => version);

/** @throws Error for a version that was never built. */
export function crmVersion(version: string): CrmVersion {
  const found = versions.find((candidate) => candidate.version === version);
  if (found === undefined) throw new Error(`version ${version} of the CRM was never built`);
  return found;
}
