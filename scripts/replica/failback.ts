/**
 * The way back after a failover: the former source follows the new database. What was written there since the failover is
 * kept by a slot, and both were equal then: so nothing is copied. Going back itself is a failover in the other direction.
 */
import { Refusal, Unavailable } from "../contract/failure";
import { readFailover } from "../control/failover";
import { demandFenceOf, isFenced, readMaintenance } from "../control/maintenance";
import { isSameDatabase } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import type { Store } from "../store/store";
import { isLost, readSlot, readSubscription } from "./link";
import { type PairIdentity, type ReplicaPair, type Run, identifyPair, quotedName, withPair } from "./pair";
import { copySequences } from "./sequences";
import { lockReplica } from "./setUp";
import { dropSlot } from "./slots";
import { reconnect, subscribe } from "./subscription";
import { catchUp } from "./verify";

/**
 * The pair in the other direction.
 *
 * @param route how the former source's server reaches the new database.
 */
export function turnedRound(pair: ReplicaPair, route: DatabaseTarget): ReplicaPair {
  return { source: pair.replica, replica: pair.source, route, settings: pair.settings };
}

export interface FailbackPlan {
  /** Source: the new database; replica: the former source. */
  readonly identity: PairIdentity;
  /** Bytes of log that the former source has to catch up with. */
  readonly behindBytes: number;
  /** Whether it follows already. */
  readonly follows: boolean;
}

/**
 * Looks only.
 *
 * @param back the pair in the other direction, as `turnedRound` makes it.
 * @throws Refusal when the former source may have been written to since, or what was written since is not kept.
 */
export async function planFailback(back: ReplicaPair, store: Store): Promise<FailbackPlan> {
  const [record, fence] = [await readFailover(store), await readMaintenance(store)];
  return withPair(back, async (source, replica) => {
    const identity = await identifyPair(back, source, replica);
    const fresh = {
      hint: "set up a replica of the new database in an empty one: npm run replication:setup, with DATABASE_URL and REPLICA_DATABASE_URL as they are now",
    };
    if (record?.state !== "promoted" || !isSameDatabase(record.replica, identity.source))
      throw new Refusal("no failover to REPLICA_DATABASE_URL is on record: there is no way back");
    if (record.sourceLost || !record.wayBack)
      throw new Refusal("the failover kept nothing for the way back: the former source is of no use", fresh);
    if (!isFenced(fence))
      throw new Refusal(
        "the write fence on the former source is not up: what was written there since is nowhere else",
        fresh,
      );
    demandFenceOf(fence, identity.replica);
    const slot = await readSlot(source, back.settings.name);
    if (slot === undefined || isLost(slot))
      throw new Refusal("the slot that kept what was written since the failover is gone", fresh);
    const follows = (await readSubscription(replica, back.settings.name)) !== undefined;
    return { identity, behindBytes: slot.lagBytes, follows };
  });
}

export interface FailbackResult extends FailbackPlan {
  /** Sequences of the former source that were moved. */
  readonly sequences: readonly string[];
  readonly seconds: number;
}

/** Running it again goes on. @throws Unavailable when it does not catch up in time: it goes on following. */
export async function failBack(
  back: ReplicaPair,
  store: Store,
  { seconds, signal, onProgress }: Run & { readonly seconds: number },
): Promise<FailbackResult> {
  const started = performance.now();
  const plan = await planFailback(back, store);
  return withPair(back, async (source, replica) => {
    await lockReplica(replica, back);
    // Of the former direction, should the failover not have reached it.
    await replica.query(`DROP PUBLICATION IF EXISTS ${quotedName(back)}`);
    await dropSlot(replica, back.settings.name);
    if (plan.follows) await reconnect(back, replica);
    else await subscribe(back, replica, false);
    onProgress?.(`the former source follows: ${plan.behindBytes} bytes behind`);
    if (!(await catchUp(source, replica, seconds, signal)))
      throw new Unavailable(`the former source does not catch up within ${seconds} s: it goes on following`, {
        hint: "run this again, or see replication:status in the other direction",
      });
    const { moved } = await copySequences(source, replica);
    return { ...plan, follows: true, sequences: moved, seconds: (performance.now() - started) / 1000 };
  });
}
