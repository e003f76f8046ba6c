/** `checklist <list>`: one of the strategy's checklists, ticked by what is recorded of a release, or by a person. */
import { Argument, type Command } from "commander";
import { UsageError, exitCode } from "../contract/failure";
import { recordNote } from "../record/releaseNotes";
import { type CheckedList, checkList, readReleaseFacts, tickItems } from "../release/checklist";
import type { ReleaseFacts } from "../release/checklistEvidence";
import { type ChecklistName, checklistNames } from "../release/checklists";
import { renderChecklist } from "../report/checklist";
import type { Store } from "../store/store";
import { mayRemove, planStores, pruneStores, summaryOf } from "./prune";
import { printResult, progress } from "./session";
import { storeFromEnvironment } from "./store";

interface Options {
  readonly receipt?: string;
  readonly tick?: readonly string[];
  readonly by?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function configure(command: Command): void {
  command
    .addArgument(new Argument("<list>", "by when it is gone through").choices(checklistNames))
    .option("--receipt <run id>", "the release; default: the newest open one, else the newest")
    .option("--tick <items...>", "a person vouches for these: ids (as --json shows them), or the strategy's words")
    .option("--by <name>", "who does; required with --tick")
    .option("--yes", "post: let go of old backups without asking")
    .option("--json", "one JSON document on stdout")
    .action(async (list: ChecklistName, options: Options) => {
      demandPerson(options);
      const store = storeFromEnvironment();
      const read = (): Promise<ReleaseFacts | undefined> => readReleaseFacts(store, list, options.receipt);
      let facts = await read();
      if (list === "post" && facts !== undefined) await cleanUp(store, facts, options);
      facts = await read();
      let checked = await checkList(store, list, facts);
      if (await tick(store, checked, options)) {
        facts = await read();
        checked = await checkList(store, list, facts);
      }
      if (list === "success") await conclude(store, checked, facts);
      printResult(options.json === true, checked, renderChecklist(checked));
      process.exitCode = checked.verdict === "complete" ? exitCode.pass : exitCode.refused;
    });
}

function demandPerson({ tick, by }: Options): void {
  if (tick !== undefined && (by ?? "").trim() === "") {
    throw new UsageError("--tick: found no --by: expected the name of who vouches for it");
  }
  if (tick === undefined && by !== undefined) {
    throw new UsageError("--by: found no --tick: expected the items that this person vouches for");
  }
}

/** @returns whether anything may have been ticked. */
async function tick(store: Store, checked: CheckedList, options: Options): Promise<boolean> {
  if (options.tick !== undefined) {
    await tickItems(store, checked, options.tick, options.by ?? "");
    return true;
  }
  if (options.json === true || checked.release === null || !process.stdin.isTTY || !process.stderr.isTTY) return false;
  return askForOpenItems(store, checked, await import("@clack/prompts"));
}

/** How a person is asked. */
export type Questions = Pick<typeof import("@clack/prompts"), "confirm" | "text" | "isCancel">;

/**
 * What nothing proves, one question each; whoever leaves the questions leaves the rest open.
 *
 * @returns whether anything was ticked.
 */
export async function askForOpenItems(store: Store, checked: CheckedList, prompts: Questions): Promise<boolean> {
  const open = checked.items.filter(({ state }) => state === "open");
  if (open.length === 0) return false;
  const output = process.stderr;
  const done: string[] = [];
  for (const { id, words, detail } of open) {
    const answer = await prompts.confirm({ message: `${words}? (${detail})`, initialValue: false, output });
    if (prompts.isCancel(answer)) break;
    if (answer) done.push(id);
  }
  if (done.length === 0) return false;
  const name = await prompts.text({
    message: "Your name, for the record",
    validate: (text) => ((text ?? "").trim() === "" ? "expected a name" : undefined),
    output,
  });
  if (prompts.isCancel(name)) return false;
  await tickItems(store, checked, done, name.trim());
  return true;
}

/** The strategy's "Clean up old backups": only after the data was found intact, and once for a release. */
async function cleanUp(store: Store, facts: ReleaseFacts, options: Options): Promise<void> {
  const { items, obstacles } = await checkList(store, "post", facts);
  const stateOf = (id: string): string | undefined => items.find((item) => item.id === id)?.state;
  if (obstacles.length > 0 || stateOf("intact") !== "proven" || stateOf("old-backups") !== "open") return;
  const plans = await planStores(facts.receipt.settings);
  const refused = plans.find(({ plan }) => plan.refusal !== null);
  if (refused !== undefined) {
    progress(`no old backup is removed: ${refused.input.store.url}: ${refused.plan.refusal ?? ""}`);
    return;
  }
  const wanted = plans.filter(({ plan }) => plan.remove.length > 0);
  if (wanted.length > 0 && !(await mayRemove(plans, options))) {
    for (const plan of wanted) progress(`not done: --yes ${summaryOf(plan)}`);
    return;
  }
  const done = [...(await pruneStores(wanted)).values()];
  const removed = done.reduce((sum, each) => sum + each.removed.length, 0);
  const stayed = done.flatMap((each) => each.stayed.map(({ backup, why }) => `${backup.name} stays: ${why}`));
  const detail = [wanted.length === 0 ? "retention lets nothing go" : `${removed} old backups let go`, ...stayed];
  await recordNote(store, facts.receipt.runId, { kind: "pruned", ok: true, detail: detail.join("; ") });
}

/** The release's closing verdict, once. */
async function conclude(store: Store, checked: CheckedList, facts: ReleaseFacts | undefined): Promise<void> {
  if (facts === undefined || checked.verdict !== "complete") return;
  if (facts.notes.some(({ kind }) => kind === "succeeded")) return;
  await recordNote(store, facts.receipt.runId, { kind: "succeeded", ok: true, detail: checked.heading });
}
