/** `deploy:freeze`: halts every gate and release until a person lifts it. */
import type { Command } from "commander";
import { setFreeze } from "../control/freeze";
import { tellTeam } from "../record/teamNotice";
import { confirm, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

export function configure(command: Command): void {
  command
    .requiredOption("--person <name>", "who freezes")
    .requiredOption("--reason <text>", "why")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { person: string; reason: string; yes?: boolean; json?: boolean }) => {
      const store = storeFromEnvironment();
      await confirm(`halts every gate and release that uses ${store.url}`, options.yes === true);
      const { person, reason } = options;
      await setFreeze(store, { kind: "manual", runId: null, reason, person, missingRows: {} });
      const text = `every gate and release is frozen by ${person}: ${reason}`;
      await tellTeam({ event: "frozen", text, run: null }, { store, onProgress: progress });
      printResult(
        options.json === true,
        { frozen: true, store: store.url, person, reason },
        `frozen: ${store.url}: ${reason}`,
      );
    });
}
