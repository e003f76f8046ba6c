/** `replication:janitor`: drops slots of ours that nobody has read from for too long. */
import type { Command } from "commander";
import { describeIdentity } from "../database/identity";
import { targetFromEnvironment } from "../database/target";
import { dropExpired, planJanitor } from "../replica/janitor";
import { renderIdle } from "../report/replica";
import { readOperationSettings, replicaSettingsSchema } from "../settings";
import { confirm, printResult } from "./session";

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (options: { settings?: string; yes?: boolean; json?: boolean }) => {
      const settings = readOperationSettings(options.settings).replica ?? replicaSettingsSchema.parse({});
      const source = targetFromEnvironment("DATABASE_URL");
      const { identity, idle } = await planJanitor({ source, settings });
      const names = idle.filter(({ expired }) => expired).map(({ name }) => name);
      if (names.length > 0)
        await confirm(
          `drops on ${describeIdentity(identity)} the slot(s) ${names.join(", ")}, which nobody has read from for ${settings.slotTtlHours} hours:\nwhoever was to read from them needs a new copy`,
          options.yes === true,
        );
      const dropped = names.length === 0 ? [] : await dropExpired({ source, settings });
      const told = dropped.length === 0 ? "" : `\ndropped: ${dropped.join(", ")}`;
      printResult(options.json === true, { idle, dropped }, `${renderIdle(idle)}${told}`);
    });
}
