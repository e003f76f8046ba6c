/** `db:drill`: the newest backup of each location, restored into a scratch server, compared, checked, timed, recorded; or the last ones. */
import type { Command } from "commander";
import { runDrill } from "../drill/drill";
import { metricsOf } from "../drill/metrics";
import { emitMetrics } from "../monitoring/emitMetrics";
import { tellOfIncident } from "../record/incidentNotice";
import { lastOfEach, readDrillsOf } from "../record/drillRecords";
import { renderDrill, renderLastDrills } from "../report/drill";
import { readOperationSettings } from "../settings";
import { storesOf } from "../store/replicatedStore";
import { overTarget } from "../verification/expectedRto";
import { newRunId } from "./gateContext";
import { interrupted, printResult, progress } from "./session";
import { storeAt, storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .argument("[stores...]", "addresses; default: those of BACKUP_STORE")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--last", "run none: show what the last drill of each location measured")
    .option("--json", "one JSON document on stdout")
    .action(async (addresses: string[], options: { settings?: string; last?: boolean; json?: boolean }) => {
      const settings = readOperationSettings(options.settings);
      const store = addresses.length === 0 ? storeFromEnvironment() : storeAt(addresses.join(" "));
      if (options.last === true) {
        const locations = lastOfEach(await readDrillsOf(storesOf(store)));
        printResult(options.json === true, { schemaVersion: 1, locations }, renderLastDrills(locations));
        return;
      }
      const run = { runId: newRunId(), signal: interrupted, onProgress: progress };
      const { drill, exitCode, unrecorded } = await runDrill({ store, settings, ...run });
      printResult(options.json === true, drill, renderDrill(drill));
      for (const { rtoSeconds } of drill.locations) {
        const over =
          rtoSeconds === null ? undefined : overTarget({ seconds: rtoSeconds, restores: 1 }, settings.rtoMinutes);
        if (over !== undefined) progress(`WARNING: ${over}`);
      }
      process.exitCode = exitCode;
      if (drill.verdict === "failed" && unrecorded === undefined) {
        const failed = drill.locations.filter(({ verdict }) => verdict === "failed").length;
        const text = `a restore drill failed: ${failed} of ${drill.locations.length} locations`;
        const channels = { store, communication: settings.communication, onProgress: progress };
        await tellOfIncident(drill.runId, { event: "incident-opened", key: "opened", text }, channels);
      }
      await emitMetrics(metricsOf(drill), new Date());
      if (unrecorded !== undefined) throw unrecorded;
    });
}
