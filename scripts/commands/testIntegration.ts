/** `test:integration`: the configured command and the health checks. */
import type { Command } from "commander";
import { UsageError, exitCode } from "../contract/failure";
import { runIntegration } from "../release/postDeploy";
import { readOperationSettings } from "../settings";
import { runHealthChecks } from "../verification/healthChecks";
import { interrupted, printResult, progress } from "./session";

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { settings?: string; json?: boolean }) => {
      const settings = readOperationSettings(options.settings);
      const health = await runHealthChecks({
        appUrl: process.env["APP_URL"] || undefined,
        frontendUrl: process.env["FRONTEND_URL"] || undefined,
        settings: settings.health,
        signal: interrupted,
      });
      if (settings.integrationCommand === undefined && health.outcome === "not configured") {
        throw new UsageError(
          "nothing to test: found neither integrationCommand in the settings nor APP_URL nor FRONTEND_URL",
          {
            hint: "set APP_URL, or integrationCommand in the stack's config",
          },
        );
      }
      const integration = await runIntegration(settings.integrationCommand, {
        signal: interrupted,
        onProgress: progress,
      });
      const passed = health.outcome !== "fail" && integration?.passed !== false;
      const lines = [
        ...health.results.map(({ url, ok, status, error }) =>
          `${ok ? "ok" : "FAILED"} ${url} ${status ?? ""} ${error ?? ""}`.trimEnd(),
        ),
        ...(integration === null
          ? []
          : [`${integration.passed ? "ok" : "FAILED"} ${settings.integrationCommand ?? ""}: ${integration.message}`]),
        "",
        passed ? "PASS" : "FAIL",
      ];
      printResult(options.json === true, { verdict: passed ? "pass" : "fail", health, integration }, lines.join("\n"));
      process.exitCode = passed ? exitCode.pass : exitCode.refused;
    });
}
