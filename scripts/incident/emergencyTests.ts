/** `test:emergency`: does what was recovered work: data checks, health checks, and the configured command. */
import { readPass } from "../control/maintenance";
import { withConnection } from "../database/connect";
import type { DatabaseTarget } from "../database/target";
import { runIntegration } from "../release/postDeploy";
import type { OperationSettings } from "../settings";
import type { Store } from "../store/store";
import { type DataCheckReport, runDataChecks } from "../verification/dataChecks/runDataChecks";
import { type HealthReport, runHealthChecks } from "../verification/healthChecks";

export interface EmergencyTests {
  readonly verdict: "pass" | "fail";
  readonly dataChecks: DataCheckReport;
  readonly health: HealthReport;
  /** Null: none is configured. */
  readonly integration: { readonly passed: boolean; readonly message: string } | null;
  readonly findings: readonly string[];
  /** What is not configured proves nothing. */
  readonly notTested: readonly string[];
}

export async function runEmergencyTests(input: {
  /** Tells how health checks get past a redirection of users. Default: nobody is redirected. */
  readonly store?: Store;
  readonly live: DatabaseTarget;
  readonly settings: OperationSettings;
  readonly addresses: { readonly appUrl: string | undefined; readonly frontendUrl: string | undefined };
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}): Promise<EmergencyTests> {
  const { store, live, settings, addresses, signal, onProgress } = input;
  const dataChecks = await withConnection(live, (client) => runDataChecks(client, { checks: settings.checks, signal }));
  const frontendHeaders = store === undefined ? {} : await readPass(store);
  const health = await runHealthChecks({ ...addresses, frontendHeaders, settings: settings.health, signal });
  const integration = await runIntegration(settings.integrationCommand, { signal, onProgress });
  const findings = [
    ...(dataChecks.verdict === "pass" ? [] : [`data checks: ${dataChecks.summary}`]),
    ...health.results
      .filter(({ ok }) => !ok)
      .map(({ url, status, error }) => `${url}: ${error ?? `status ${status ?? "none"}`}`),
    ...(integration === null || integration.passed ? [] : [`integration tests: ${integration.message}`]),
  ];
  const notTested = [
    ...(dataChecks.results.length === 0 ? ["no data check was run (checks: none)"] : []),
    ...(health.outcome === "not configured" ? ["the application: neither APP_URL nor FRONTEND_URL is set"] : []),
    ...(integration === null ? ["no command is configured (integrationCommand)"] : []),
  ];
  const verdict = findings.length === 0 ? "pass" : "fail";
  return { verdict, dataChecks, health, integration, findings, notTested };
}
