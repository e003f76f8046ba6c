/** `db:validate`: the strategy's validation SQL and the project's own checks. */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { withConnection } from "../database/connect";
import { targetFromEnvironment } from "../database/target";
import { renderTable } from "../report/table";
import { readOperationSettings } from "../settings";
import { runDataChecks } from "../verification/dataChecks/runDataChecks";
import { interrupted, printResult } from "./session";

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { settings?: string; json?: boolean }) => {
      const { checks } = readOperationSettings(options.settings);
      const report = await withConnection(targetFromEnvironment("DATABASE_URL"), (client) =>
        runDataChecks(client, { checks, signal: interrupted }),
      );
      const table = renderTable(report.results, [
        { title: "CHECK", value: ({ name }) => name },
        { title: "OUTCOME", value: ({ outcome }) => outcome },
        { title: "FOUND", value: ({ evidence }) => evidence },
      ]);
      printResult(options.json === true, report, `${table}\n\n${report.verdict.toUpperCase()}: ${report.summary}`);
      process.exitCode = report.verdict === "pass" ? exitCode.pass : exitCode.refused;
    });
}
