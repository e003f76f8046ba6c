/** `deploy:freeze`: halts every gate and release until a person lifts it. */
import type { Command } from "commander";
import { setFreeze } from "../control/freeze";
import { tellOfOpenIncidents } from "../record/incidentNotice";
import { channelsFor } from "./communication";
import { confirm, printResult } from "./session";
import { storeFromEnvironment, warnOfUnusedStore } from "./store";

interface Options {
  readonly person: string;
  readonly reason: string;
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .requiredOption("--person <name>", "who freezes")
    .requiredOption("--reason <text>", "why")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      const store = storeFromEnvironment();
      const channels = channelsFor(store, options.settings);
      await warnOfUnusedStore(store);
      await confirm(`halts every gate and release that uses ${store.url}`, options.yes === true);
      const { person, reason } = options;
      await setFreeze(store, { kind: "manual", runId: null, reason, person, missingRows: {} });
      const text = `every gate and release is frozen by ${person}: ${reason}`;
      await tellOfOpenIncidents({ event: "frozen", text }, channels);
      printResult(
        options.json === true,
        { frozen: true, store: store.url, person, reason },
        `frozen: ${store.url}: ${reason}`,
      );
    });
}
