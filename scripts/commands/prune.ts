/** `db:prune`: what retention lets go in each store; looks only, unless it is told or answered to go on. */
import type { Command } from "commander";
import { Unavailable, exitCode } from "../contract/failure";
import { renderPlan } from "../report/backupList";
import type { PlannedBackup, RetentionPlan } from "../retention/plan";
import { type PruneInput, type Pruned, type Removal, planPrune, prune, removalIn } from "../retention/prune";
import { type OperationSettings, readOperationSettings } from "../settings";
import { ReplicatedStore, storesOf } from "../store/replicatedStore";
import { newRunId } from "./gateContext";
import { confirm, interrupted, printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly settings?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** Each of several stores by itself: one may have been lost for a while, and its floor is its own. */
export interface StorePlan {
  readonly input: PruneInput;
  readonly removal: Removal;
  readonly plan: RetentionPlan;
}

export function configure(command: Command): void {
  command
    .option("--settings <file>", "settings as JSON; default: DBPROTECT_SETTINGS, else all defaults")
    .option("--yes", "do not ask, remove")
    .option("--json", "one JSON document on stdout")
    .action(async (options: Options) => {
      const plans = await planStores(readOperationSettings(options.settings));
      const wanted = plans.some(({ plan }) => plan.remove.length > 0);
      const execute = wanted && (await mayRemove(plans, options));
      const done = execute ? await pruneStores(plans) : new Map<StorePlan, Pruned>();
      const document = { executed: execute, stores: plans.map((each) => documentOf(each, done.get(each))) };
      printResult(options.json === true, document, plans.map((each) => textOf(each, done.get(each))).join("\n\n"));
      for (const { input, plan } of plans.filter((each) => each.plan.refusal !== null)) {
        progress(`error: no backup of ${input.store.url} is removed: ${plan.refusal ?? ""}`);
        progress("hint: take a backup that passes its verification (npm run db:backup), then prune again");
        process.exitCode = exitCode.refused;
      }
    });
}

/** What retention lets go in every store of the environment. Reads only. */
export async function planStores({
  retention,
  verification,
}: Pick<OperationSettings, "retention" | "verification">): Promise<StorePlan[]> {
  const rules = { ...retention, depth: verification.depth };
  const control = storeFromEnvironment();
  const common = { control, rules, runId: newRunId(), signal: interrupted, onProgress: progress };
  const plans = await Promise.all(
    storesOf(control).map(async (store): Promise<StorePlan[]> => {
      const input = { ...common, store };
      try {
        return [{ input, removal: removalIn(store, rules), plan: await planPrune(input) }];
      } catch (error) {
        const mayBeLost = control instanceof ReplicatedStore && control.isOptional(store);
        if (!mayBeLost || !(error instanceof Unavailable)) throw error;
        progress(`warning: nothing of the optional store ${store.url} is pruned: ${error.message}`);
        return [];
      }
    }),
  );
  return plans.flat();
}

export async function pruneStores(plans: readonly StorePlan[]): Promise<ReadonlyMap<StorePlan, Pruned>> {
  const done = new Map<StorePlan, Pruned>();
  for (const each of plans) done.set(each, await prune(each.input, each.plan));
  return done;
}

/** Without a terminal, or with one document as the result, there is nobody to ask. */
export async function mayRemove(
  plans: readonly StorePlan[],
  { yes = false, json = false }: Pick<Options, "yes" | "json">,
): Promise<boolean> {
  if (!yes && (json || !process.stdin.isTTY || !process.stderr.isTTY)) return false;
  const shown = plans.map(({ plan, ...each }) => `${renderPlan(plan)}\n${summaryOf({ plan, ...each })}`);
  await confirm(shown.join("\n\n"), yes);
  return true;
}

function textOf(each: StorePlan, done: Pruned | undefined): string {
  const { plan, removal } = each;
  if (plan.refusal !== null) return `${each.input.store.url}: nothing may be removed`;
  if (done === undefined)
    return [
      renderPlan(plan),
      plan.remove.length === 0 ? "nothing to remove" : `dry run: --yes ${summaryOf(each)}`,
    ].join("\n");
  return [
    `${removal === "tag" ? "tagged" : "removed"} ${done.removed.length} of ${plan.remove.length} in ${each.input.store.url}`,
    ...done.stayed.map(({ backup, why }) => `stays: ${backup.name}: ${why}`),
  ].join("\n");
}

/** `deletes 3 of 12 in file:///backups (41.2 MB)`. */
export function summaryOf({ input, plan, removal }: StorePlan): string {
  const megabytes = plan.remove.reduce((sum, { backup }) => sum + backup.bytes, 0) / 1e6;
  const all = plan.remove.length + plan.keep.length;
  const verb = removal === "tag" ? "tags expire=yes" : "deletes";
  return `${verb} ${plan.remove.length} of ${all} in ${input.store.url} (${megabytes.toFixed(1)} MB)`;
}

function documentOf({ input, plan, removal }: StorePlan, done: Pruned | undefined): object {
  const planned = ({ backup, why }: PlannedBackup): object => {
    const { tier, name, bytes } = backup;
    return { tier, name, bytes, why };
  };
  return {
    store: input.store.url,
    removal,
    refusal: plan.refusal,
    remove: plan.remove.map(planned),
    keep: plan.keep.map(planned),
    removed: done?.removed ?? [],
    stayed: (done?.stayed ?? []).map(planned),
  };
}
