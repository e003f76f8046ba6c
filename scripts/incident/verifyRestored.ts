/**
 * Verifies the live database after it was restored, or after a release was rolled back: no row of the backup is missing,
 * the data checks hold, the application answers, the environment is as it was accepted. Records nothing, freezes nothing.
 * The rights that a write fence withholds meanwhile are not missed: they are on record, and given back when it is lifted. Where
 * users are redirected meanwhile, the health checks are let through.
 */
import { UsageError } from "../contract/failure";
import { readPass } from "../control/maintenance";
import { withConnection } from "../database/connect";
import type { DatabaseTarget } from "../database/target";
import { checkEnvironment } from "../environment/checkEnvironment";
import type { OperationSettings } from "../settings";
import type { Store } from "../store/store";
import { type DataCheckReport, runDataChecks } from "../verification/dataChecks/runDataChecks";
import { type HealthReport, demandAddresses, runHealthChecks } from "../verification/healthChecks";
import type { JudgedStatement } from "../verification/catalogLosses";
import type { CopiedBackup } from "../verification/scratchCopy";
import { type ReceiptVerification, compareWithBackup } from "../verification/verifyReceipt";
import { readWithheldGrants } from "./maintenance";

export interface RestoredInput {
  readonly store: Store;
  readonly live: DatabaseTarget;
  /** What the live database is compared with. */
  readonly copyOf: CopiedBackup;
  /** What the judge said of migrations that were applied since; default: none were. */
  readonly judged?: readonly JudgedStatement[];
  readonly settings: Pick<OperationSettings, "tables" | "checks" | "health" | "environment">;
  readonly addresses: { readonly appUrl: string | undefined; readonly frontendUrl: string | undefined };
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

export interface RestoredVerification {
  readonly verdict: "pass" | "fail";
  readonly backup: string;
  readonly data: ReceiptVerification;
  readonly dataChecks: DataCheckReport;
  readonly health: HealthReport;
  /** Lines on the watched variables; the first ones say what is wrong. */
  readonly environment: { readonly verdict: "pass" | "fail"; readonly lines: readonly string[] };
  /** Why it fails; empty: it passes. */
  readonly findings: readonly string[];
}

/** @throws UsageError, before anything is compared, when an address for the health checks is none. */
export async function verifyRestored(input: RestoredInput): Promise<RestoredVerification> {
  const { store, live, copyOf, judged = [], settings, addresses, signal, onProgress } = input;
  demandAddresses(addresses);
  onProgress(`comparing with ${copyOf.backup.name}`);
  const withheld = await readWithheldGrants({ store, live });
  if (withheld.length > 0)
    onProgress(`not missed: ${withheld.length} right(s) to write that the write fence withholds`);
  const policies = settings.tables;
  const data = await compareWithBackup({ store, live, copyOf, policies, judged, withheld, signal, onProgress });
  const dataChecks = await withConnection(live, (client) => runDataChecks(client, { checks: settings.checks, signal }));
  const frontendHeaders = await readPass(store);
  const health = await runHealthChecks({ ...addresses, frontendHeaders, settings: settings.health, signal });
  const environment = await readEnvironment(input);
  const findings = [
    ...data.findings,
    ...(dataChecks.verdict === "pass" ? [] : [`data checks: ${dataChecks.summary}`]),
    ...health.results
      .filter(({ ok }) => !ok)
      .map(({ url, status, error }) => `${url}: ${error ?? `status ${status ?? "none"}`}`),
    ...(environment.verdict === "pass" ? [] : environment.lines.map((line) => `environment: ${line}`)),
  ];
  const verdict = findings.length === 0 ? "pass" : "fail";
  return { verdict, backup: copyOf.backup.name, data, dataChecks, health, environment, findings };
}

/** In an emergency the passphrase may not be at hand: that is a finding, not the end of the verification. */
async function readEnvironment({ store, settings }: RestoredInput): Promise<RestoredVerification["environment"]> {
  try {
    const check = await checkEnvironment({ store, settings: settings.environment });
    return { verdict: check.verdict === "pass" ? "pass" : "fail", lines: check.lines };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { verdict: "fail", lines: [`not checked: ${error.message}`] };
  }
}
