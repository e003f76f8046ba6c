/** `db:prune`: what retention lets go; looks only, unless it is told or answered to go on. */
import type { Command } from "commander";
import { Refusal } from "../contract/failure";
import { renderPlan } from "../report/backupList";
import type { PlannedBackup, RetentionPlan } from "../retention/plan";
import { type PruneInput, planPrune, prune, removalIn } from "../retention/prune";
import { readOperationSettings } from "../settings";
import { newRunId } from "./gateContext";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask, remove")
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      const { retention, verification } = readOperationSettings(options.settings);
      const input: PruneInput = {
        store: storeFromEnvironment(),
        rules: { ...retention, depth: verification.depth },
        runId: newRunId(),
        signal: interrupted,
        onProgress: progress,
      };
      const plan = await planPrune(input);
      if (plan.refusal !== null)
        throw new Refusal(`no backup of ${input.store.url} is removed: ${plan.refusal}`, {
          hint: "take a backup that passes its verification (npm run db:backup), then prune again",
        });
      await carryOut(input, plan, options);
    });
}

async function carryOut(input: PruneInput, plan: RetentionPlan, options: Options): Promise<void> {
  const { store, rules } = input;
  const how = removalIn(store, rules);
  const result = (executed: boolean, removed: readonly string[], stayed: readonly PlannedBackup[]): object => ({
    executed,
    store: store.url,
    removal: how,
    remove: plan.remove.map(documentOf),
    keep: plan.keep.map(documentOf),
    removed,
    stayed: stayed.map(documentOf),
  });
  const verb = how === "tag" ? "tags expire=yes" : "deletes";
  const megabytes = plan.remove.reduce((sum, { backup }) => sum + backup.bytes, 0) / 1e6;
  const summary = `${plan.remove.length} of ${plan.remove.length + plan.keep.length} in ${store.url} (${megabytes.toFixed(1)} MB)`;
  if (plan.remove.length === 0)
    return printResult(options.json === true, result(false, [], []), `${renderPlan(plan)}\n\nnothing to remove`);
  const mayAsk = options.json !== true && process.stdin.isTTY && process.stderr.isTTY;
  if (options.yes !== true && !mayAsk)
    return printResult(
      options.json === true,
      result(false, [], []),
      `${renderPlan(plan)}\n\ndry run: --yes ${verb} ${summary}`,
    );
  await confirm(`${renderPlan(plan)}\n\n${verb} ${summary}`, options.yes === true);
  const { removed, stayed } = await prune(input, plan);
  printResult(
    options.json === true,
    result(true, removed, stayed),
    [
      `${how === "tag" ? "tagged" : "removed"} ${removed.length} of ${plan.remove.length}`,
      ...stayed.map(({ backup, why }) => `stays: ${backup.name}: ${why}`),
    ].join("\n"),
  );
}

function documentOf({ backup, why }: PlannedBackup): object {
  return { tier: backup.tier, name: backup.name, bytes: backup.bytes, why };
}
