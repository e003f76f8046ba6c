/** A checklist of the strategy, held against what is recorded of a release; a person ticks what nothing can prove. */
import { readFreezes } from "../control/freeze";
import { Refusal, UsageError } from "../contract/failure";
import { listReceipts, readTrustedReceipt } from "../record/receipt";
import { isOpen, readEvents } from "../record/releaseEvents";
import { readNotes, recordNote } from "../record/releaseNotes";
import type { Store } from "../store/store";
import { type Evidence, type ReleaseFacts, evidenceFor, rolledBackSteps } from "./checklistEvidence";
import { type ChecklistItem, type ChecklistName, checklists } from "./checklists";
import { chooseReceipt } from "./postDeploy";

export interface CheckedItem {
  readonly id: string;
  readonly words: string;
  /** `proven` by records, `ticked` by a person, `failed`: the records say that it is not so. */
  readonly state: "proven" | "ticked" | "open" | "failed";
  readonly detail: string;
}

export interface CheckedList {
  readonly list: ChecklistName;
  readonly heading: string;
  /** Null: no release is being prepared. */
  readonly release: { readonly runId: string; readonly releaseVersion: string; readonly stack: string } | null;
  readonly verdict: "complete" | "open";
  readonly items: readonly CheckedItem[];
  /** What keeps the list open although every item may be ticked: a freeze, a rollback, no release. */
  readonly obstacles: readonly string[];
}

/** These speak of a deployment that is still to come: one that was verified has had its own. */
const listsBefore: readonly ChecklistName[] = ["quick", "pre"];

/**
 * All that is recorded of the release that a list speaks of: the one asked for, else the newest open one, else the newest.
 *
 * @returns undefined for a list of before a deployment when no receipt is open.
 * @throws UsageError when the store holds no receipt, or not that one.
 */
export async function readReleaseFacts(
  store: Store,
  list: ChecklistName,
  runId?: string,
): Promise<ReleaseFacts | undefined> {
  if (listsBefore.includes(list) && runId === undefined) {
    const newest = (await listReceipts(store)).at(-1);
    return newest === undefined || (await isSpent(store, newest)) ? undefined : factsOf(store, newest);
  }
  return readFactsOfRelease(store, runId);
}

/**
 * All that is recorded of a release: the one asked for, else the newest open one, else the newest.
 *
 * @throws UsageError when the store holds no receipt, or not that one.
 */
export async function readFactsOfRelease(store: Store, runId?: string): Promise<ReleaseFacts> {
  const { receipt } = await chooseReceipt({ store, ...(runId === undefined ? {} : { runId }) });
  return factsOf(store, receipt.runId);
}

/** One without events is of a gate that was run by hand: what it guards is still to come, or told nobody. */
async function isSpent(store: Store, runId: string): Promise<boolean> {
  return (await readEvents(store, runId)).length > 0 && !(await isOpen(store, runId));
}

async function factsOf(store: Store, runId: string): Promise<ReleaseFacts> {
  const { receipt } = await readTrustedReceipt(store, runId);
  const [events, notes] = await Promise.all([readEvents(store, runId), readNotes(store, runId)]);
  return { receipt, events, notes };
}

/** Holds the list against the facts. Reads only. */
export async function checkList(
  store: Store,
  list: ChecklistName,
  facts: ReleaseFacts | undefined,
): Promise<CheckedList> {
  const { heading, items } = checklists[list];
  const checked = items.map((item) => checkItem(list, item, facts));
  const obstacles = await obstaclesTo(store, list, facts);
  const done = checked.every(({ state }) => state === "proven" || state === "ticked");
  const { runId = "", releaseVersion = "", stack = "" } = facts?.receipt ?? {};
  return {
    ...{ list, heading, items: checked, obstacles },
    release: facts === undefined ? null : { runId, releaseVersion, stack },
    verdict: done && obstacles.length === 0 ? "complete" : "open",
  };
}

function checkItem(list: ChecklistName, item: ChecklistItem, facts: ReleaseFacts | undefined): CheckedItem {
  const { id, words, proof } = item;
  if (facts === undefined) return { id, words, state: "open", detail: "the gate has not passed yet" };
  const evidence: Evidence =
    proof === null ? { state: "open", detail: "no record can prove it" } : evidenceFor(proof, facts);
  const tick = facts.notes.findLast(({ kind, item: ticked }) => kind === "ticked" && ticked === `${list}/${id}`);
  if (evidence.state !== "open" || tick === undefined) return { id, words, ...evidence };
  return { id, words, state: "ticked", detail: `by ${tick.person ?? "somebody"} at ${tick.at}` };
}

async function obstaclesTo(
  store: Store,
  list: ChecklistName,
  facts: ReleaseFacts | undefined,
): Promise<readonly string[]> {
  const frozen = (await readFreezes(store)).map(({ at, reason }) => `releases are frozen since ${at}: ${reason}`);
  if (facts === undefined) return [...frozen, "no gate has passed since the last release: npm run gate"];
  const undone = listsBefore.includes(list) ? [] : rolledBackSteps(facts);
  return [...frozen, ...(undone.length === 0 ? [] : [`this release was rolled back: ${undone.join(", ")}`])];
}

/**
 * Records that a person vouches for items that nothing proves; items that are proven or ticked stay as they are.
 *
 * @param named ids, or the strategy's words.
 * @throws UsageError when no item is called so, or there is no release to speak of; Refusal when the records say that one
 *   is not so. Nothing is recorded then.
 */
export async function tickItems(store: Store, checked: CheckedList, named: readonly string[], person: string) {
  const { release, list } = checked;
  if (release === null) {
    throw new UsageError(`checklist ${list}: found no release being prepared: nothing to tick for`, {
      hint: "run the gate first (npm run gate), or name a release with --receipt",
    });
  }
  const items = named.map((name) => itemNamed(checked, name));
  const failed = items.filter(({ state }) => state === "failed");
  if (failed.length > 0) {
    throw new Refusal(`checklist ${list}: the records say otherwise: nothing was ticked`, {
      details: failed.map(({ words, detail }) => `${words}: ${detail}`),
      hint: "correct the cause; what is recorded then proves the item",
    });
  }
  for (const { id, words, state } of items) {
    if (state !== "open") continue;
    await recordNote(store, release.runId, {
      ...{ kind: "ticked", ok: true, item: `${list}/${id}`, person, detail: words },
    });
  }
}

function itemNamed({ items, list }: CheckedList, name: string): CheckedItem {
  const wanted = name.trim().toLowerCase();
  const found = items.find(({ id, words }) => id === wanted || words.toLowerCase() === wanted);
  if (found !== undefined) return found;
  throw new UsageError(
    `--tick: found ${JSON.stringify(name)}: expected an item of the list ${list}: ${items.map(({ id }) => id).join(", ")}`,
  );
}
