/** `status`: where everything stands, on one screen, as JSON or as one HTML file. Reads only. */
import type { Command } from "commander";
import { exitCode } from "../contract/failure";
import { writeOutputFile } from "../contract/outputFile";
import { targetFromEnvironment } from "../database/target";
import { readAlarms } from "../platforms/alarms";
import { checkPosture } from "../posture/checkPosture";
import { renderReport } from "../report/html/renderReport";
import { renderStatus, statusReport } from "../report/status";
import { type OperationSettings, readOperationSettings } from "../settings";
import { readStatus } from "../status/readStatus";
import { type Status, statusSchema } from "../status/statusDocument";
import { parseDuration } from "./duration";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

const codes: Readonly<Record<Status["verdict"], number>> = {
  healthy: exitCode.pass,
  attention: exitCode.refused,
  unreachable: exitCode.unreachable,
};

export function configure(command: Command): void {
  command
    .option("--html <file>", "write it there as one HTML file that needs no server, too")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--within <duration>", "how long each part may take before it counts as away", parseDuration, 20)
    .option("--json", "one JSON document on stdout")
    .action(async (options: { html?: string; settings?: string; within: number; json?: boolean }) => {
      const settings = readOperationSettings(options.settings);
      const topic = process.env["ALERT_TOPIC_ARN"] || undefined;
      const status = statusSchema.parse(
        await readStatus({
          ...{ store: storeFromEnvironment(), settings, posture: postureOf(settings) },
          alarms: topic === undefined ? undefined : () => readAlarms(topic, { signal: interrupted }),
          appUrl: process.env["APP_URL"] || undefined,
          seconds: options.within,
        }),
      );
      if (options.html !== undefined) await writeReport(options.html, status);
      printResult(options.json === true, status, renderStatus(status));
      process.exitCode = codes[status.verdict];
    });
}

/** Undefined where nothing is named that could be asked. */
function postureOf({ platform }: OperationSettings): Parameters<typeof readStatus>[0]["posture"] {
  const names = ["DATABASE_URL", "SUPABASE_ACCESS_TOKEN", "SUPABASE_PROJECT_REF"];
  if (names.every((name) => !process.env[name])) return undefined;
  const target = () => targetFromEnvironment("DATABASE_URL");
  return () => checkPosture({ settings: platform, target, signal: interrupted });
}

async function writeReport(file: string, status: Status): Promise<void> {
  await writeOutputFile({ key: "--html", file }, renderReport(statusReport(status)));
  progress(`report: ${file}`);
}
