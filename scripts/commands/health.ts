/** `db:health`: every signal at this moment, judged, printed, and sent to CloudWatch where that is configured. */
import type { Command } from "commander";
import { UsageError, exitCode } from "../contract/failure";
import { targetFromEnvironment } from "../database/target";
import { emitMetrics } from "../monitoring/emitMetrics";
import { openForAlarms } from "../incident/alarmIncidents";
import { type Health, checkHealth, metricsOf } from "../monitoring/health";
import { pairFromEnvironment } from "../replica/pair";
import { readReplicaSignals } from "../replica/signals";
import { renderHealth } from "../report/health";
import { readOperationSettings } from "../settings";
import { channelsFor } from "./communication";
import { parseDuration } from "./duration";
import { idsFromEnvironment } from "./incidentContext";
import { interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly settings?: string;
  readonly window?: number;
  readonly openIncident?: boolean;
  readonly confirm: number;
  readonly json?: boolean;
}

/** A warning is for people to look at; only what is critical fails a script. */
const codeOfVerdict = {
  ok: exitCode.pass,
  warn: exitCode.pass,
  critical: exitCode.refused,
  unreachable: exitCode.unreachable,
} as const satisfies Readonly<Record<Health["verdict"], number>>;

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option(
      "--window <duration>",
      "measure rates over so long instead, at once: 60s, 5m; default: since the reading before",
      parseDuration,
    )
    .option("--open-incident", "open an incident for each signal that is critical, and note in it when that recovers")
    .option("--confirm <duration>", "with --open-incident: if it still is so long after", parseDuration, 20)
    .option("--json", "one JSON document on stdout, of the schema healthSchema")
    .action(async (options: Options) => {
      const settings = readOperationSettings(options.settings);
      if (options.openIncident === true && !process.env["BACKUP_STORE"])
        throw new UsageError("--open-incident: BACKUP_STORE is not set: expected the store that incidents lie in");
      const { thresholds, rtoMinutes } = settings;
      const pair = settings.replica === undefined ? undefined : pairFromEnvironment(settings);
      const check = (): Promise<Health> =>
        checkHealth({
          target: targetFromEnvironment("DATABASE_URL"),
          store: process.env["BACKUP_STORE"] ? storeFromEnvironment() : undefined,
          thresholds,
          rtoMinutes,
          window: options.window,
          ...(pair === undefined ? {} : { replica: () => readReplicaSignals(pair) }),
          signal: interrupted,
        });
      const health = await check();
      for (const warning of health.warnings) progress(`warning: ${warning}`);
      printResult(options.json === true, health, renderHealth(health));
      process.exitCode = codeOfVerdict[health.verdict];
      await emitMetrics(metricsOf(health), new Date());
      if (options.openIncident !== true) return;
      const store = storeFromEnvironment();
      const opened = await openForAlarms({
        ...{ health, confirmSeconds: options.confirm, readAgain: check, signal: interrupted },
        ...{ readIds: () => idsFromEnvironment(store), channels: channelsFor(store, options.settings) },
      });
      for (const id of opened) progress(`incident ${id} is open: npm run incident -- show --id ${id}`);
    });
}
