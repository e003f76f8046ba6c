/** `test:emergency`: does what was recovered work: data checks, health checks, and the configured command. */
import { withConnection } from "../database/connect";
import type { DatabaseTarget } from "../database/target";
import { runIntegration } from "../release/postDeploy";
import type { OperationSettings } from "../settings";
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
  readonly live: DatabaseTarget;
  readonly settings: OperationSettings;
  readonly addresses: { readonly appUrl: string | undefined; readonly frontendUrl: string | undefined };
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}): Promise<EmergencyTests> {
  const { live, settings, addresses, signal, onProgress } = input;
  const dataChecks = await withConnection(live, (client) => runDataChecks(client, { checks: settings.checks, signal }));
  const health = await runHealthChecks({ ...addresses, settings: settings.health, signal });
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
