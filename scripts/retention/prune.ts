/**
 * Lets backups go, one after the other, the oldest first. A backup's manifest goes before its archives: interrupted at
 * any moment it leaves files that nobody mistakes for a backup, and the next run removes them.
 */
import { readFreezes } from "../control/freeze";
import { describeHolder, readLease } from "../control/lease";
import { claimOf, thisHolder } from "../control/leaseDocument";
import { Unavailable } from "../contract/failure";
import { readTrustedReceipt } from "../record/receipt";
import { listOpenReceipts } from "../record/releaseEvents";
import type { RetentionSettings } from "../settings";
import type { Store } from "../store/store";
import { readInventory } from "./inventory";
import { mapBounded } from "./mapBounded";
import { type PlannedBackup, type RetentionPlan, type RetentionRules, planRetention } from "./plan";

export interface PruneInput {
  readonly store: Store;
  /** Where lease, freezes and receipts are. Default: `store`; of several stores the whole. */
  readonly control?: Store;
  readonly rules: RetentionRules;
  readonly runId: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

/** How a store lets go of an object: at once, or by a tag for the bucket's lifecycle rule. */
export type Removal = RetentionSettings["removal"];

export interface Pruned {
  /** Names of the backups that went, or were tagged, whole. */
  readonly removed: readonly string[];
  /** Those that were to go and stayed, each with its reason. */
  readonly stayed: readonly PlannedBackup[];
}

/** Objects of one backup under way at once. */
const removalsInFlight = 8;

/** Reads only. @throws Damage when an open receipt, or that of a freeze, cannot be read. */
export async function planPrune({ store, control = store, rules, signal }: PruneInput): Promise<RetentionPlan> {
  const options = signal === undefined ? { control } : { control, signal };
  const [backups, named] = await Promise.all([readInventory(store, options), readNamed(control)]);
  return planRetention({ backups, named, now: new Date() }, rules);
}

/** Backups that an open receipt or a standing freeze speaks of: what a repair would be made from. */
async function readNamed(store: Store): Promise<ReadonlySet<string>> {
  const frozen = (await readFreezes(store)).flatMap(({ runId }) => runId ?? []);
  const runs = new Set([...(await listOpenReceipts(store)), ...frozen]);
  const receipts = await Promise.all([...runs].map((runId) => readTrustedReceipt(store, runId)));
  return new Set(receipts.map(({ receipt }) => receipt.backup.name));
}

/** A folder has no lifecycle rules: there a file is deleted whatever the settings say. */
export function removalIn(store: Store, rules: RetentionRules): Removal {
  return store.url.startsWith("file:") ? "delete" : rules.removal;
}

/**
 * Removes what the plan says, and yields to a release: it is looked for before each backup.
 *
 * @throws Unavailable when a gate or a release holds the lease or a verification failed meanwhile: what went before stays
 *   gone, the rest stays.
 */
export async function prune(input: PruneInput, plan: RetentionPlan): Promise<Pruned> {
  const removed: string[] = [];
  const stayed: PlannedBackup[] = [];
  for (const { backup } of plan.remove) {
    input.signal?.throwIfAborted();
    await demandCalm(input);
    const lock = await lockOf(input, backup.keys);
    if (lock !== undefined) {
      stayed.push({ backup, why: lock });
      continue;
    }
    await removeObjects(input, backup.keys);
    removed.push(backup.name);
    input.onProgress?.(`${backup.name}: ${removalIn(input.store, input.rules) === "tag" ? "tagged" : "removed"}`);
  }
  return { removed, stayed };
}

async function demandCalm({ store, control = store, runId }: PruneInput): Promise<void> {
  const lease = await readLease(control);
  const mine = thisHolder("db:prune", runId);
  if (lease !== undefined && !claimOf(lease, mine, new Date(), { takeOver: false }).may)
    throw new Unavailable(`a release is under way: ${describeHolder(lease)}`, {
      hint: "prune again when it is over; what was removed so far stays removed",
    });
  if ((await readFreezes(control)).some(({ kind }) => kind === "failed-verification"))
    throw new Unavailable("a verification failed: no backup is removed while its freeze stands", {
      hint: "repair what is missing and lift the freeze, then prune again",
    });
}

/** The plan knows the lock of one object of each backup; before the first one goes, all are asked. */
async function lockOf({ store }: PruneInput, keys: readonly string[]): Promise<string | undefined> {
  const found = await mapBounded(keys, removalsInFlight, (key) => store.removability(key));
  const locks = found.flatMap((object) => object?.lockedUntil ?? []);
  if (locks.includes("forever")) return "locked by a legal hold";
  const until = locks.map((lock) => (lock as Date).toISOString()).sort();
  return until.length === 0 ? undefined : `locked until ${until.at(-1)}`;
}

async function removeObjects({ store, rules }: PruneInput, keys: readonly string[]): Promise<void> {
  const letGo = async (key: string): Promise<void> =>
    removalIn(store, rules) === "tag" ? store.expire(key) : store.remove(key);
  const [first, ...others] = keys;
  if (first !== undefined) await letGo(first);
  await mapBounded(others, removalsInFlight, letGo);
}
