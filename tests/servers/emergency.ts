/** `npm run emergency` without its command line: what a test does not name is as quiet as it can be. */
import type { Assessment } from "../../scripts/incident/assessment";
import { type EmergencyInput, type EmergencyResult, runEmergency } from "../../scripts/incident/emergency";
import { type EmergencyPlanFile, chooseBy, emergencyPlanSchema } from "../../scripts/incident/emergencyChoice";
import { openPlatforms } from "../../scripts/release/rollbackTargets";
import { operationSettingsSchema } from "../../scripts/settings";
import type { ProtectedCrm } from "./damage";
import { sharedCluster } from "./postgres";

/** No data check, no watched variable. */
export const quietSettings = { checks: "none", environment: { required: [], critical: [] } } as const;

/** For the tests of the suite that calls it, copies are made on the server that is there: what starts one for each is shown elsewhere. */
export function copyOnSharedCluster(): void {
  const former = process.env["SCRATCH_DATABASE_URL"];
  before(async () => {
    process.env["SCRATCH_DATABASE_URL"] = (await sharedCluster()).url;
  });
  after(() => {
    if (former === undefined) delete process.env["SCRATCH_DATABASE_URL"];
    else process.env["SCRATCH_DATABASE_URL"] = former;
  });
}

const signal = new AbortController().signal;
let runs = 0;

export interface Response extends Partial<EmergencyInput> {
  /** What is decided once it is assessed. Default: what is recommended. */
  readonly plan?: Partial<EmergencyPlanFile>;
  /** Gets what was found before anything is decided by it. */
  readonly whenAssessed?: (assessment: Assessment) => unknown;
}

export function respondTo(crm: ProtectedCrm, { plan, whenAssessed, ...over }: Response = {}): Promise<EmergencyResult> {
  const decision = emergencyPlanSchema.parse({ person: "Ada", reason: "data is damaged", ...plan });
  return runEmergency({
    ...{ store: crm.store, live: crm.live, signal, configured: [], clients: openPlatforms({}, signal) },
    settings: operationSettingsSchema.parse(quietSettings),
    addresses: { appUrl: undefined, frontendUrl: undefined },
    runId: `20260101T00${String(++runs).padStart(4, "0")}Z-emergency`,
    ...{ person: decision.person, reason: decision.reason },
    decide: async (assessment) => {
      await whenAssessed?.(assessment);
      return chooseBy(decision, assessment, undefined);
    },
    onProgress: () => undefined,
    ...over,
  });
}
