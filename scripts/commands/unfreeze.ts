/** `deploy:unfreeze`: lifts a freeze, with person and reason; one of a failed verification only when nothing is missing or the loss is accepted. */
import type { Command } from "commander";
import { describeTarget, targetFromEnvironment } from "../database/target";
import { tellOfOpenIncidents } from "../record/incidentNotice";
import { type UnfreezePlan, planUnfreeze, unfreeze } from "../release/unfreeze";
import { channelsFor } from "./communication";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly person: string;
  readonly reason: string;
  readonly acceptMissing?: boolean;
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .requiredOption("--person <name>", "who lifts it")
    .requiredOption("--reason <text>", "why")
    .option("--accept-missing", "accept the rows that the freezes name as lost")
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask")
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      const store = storeFromEnvironment();
      const channels = channelsFor(store, options.settings);
      const target = targetFromEnvironment("DATABASE_URL");
      const input = {
        store,
        target,
        person: options.person,
        reason: options.reason,
        acceptMissing: options.acceptMissing === true,
        signal: interrupted,
        onProgress: progress,
      };
      const plan = await planUnfreeze(input);
      if (plan.freezes.length > 0)
        await confirm(describePlan(store.url, describeTarget(target), plan), options.yes === true);
      const result = await unfreeze(input, plan);
      if (result.lifted.length > 0) {
        const text = `releases may go on: ${options.person} lifted the freeze: ${options.reason}`;
        await tellOfOpenIncidents({ event: "unfrozen", text }, channels);
      }
      printResult(
        options.json === true,
        result,
        result.lifted.length === 0
          ? `${store.url} is not frozen`
          : `lifted ${result.lifted.length} freeze(s) of ${store.url}`,
      );
    });
}

function describePlan(store: string, database: string, { freezes, findings }: UnfreezePlan): string {
  const lines = [
    `lifts ${freezes.length} freeze(s) of ${store} (${database}):`,
    ...freezes.map(({ at, reason }) => `  ${at}: ${reason}`),
    ...(findings.length === 0 ? [] : ["and accepts as lost:", ...findings.map((finding) => `  ${finding}`)]),
  ];
  return lines.join("\n");
}
