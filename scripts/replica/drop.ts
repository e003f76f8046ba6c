/**
 * Takes a live replica down: subscription, slots, publication and what is ours on the source. The rows on the replica stay.
 * A slot that nobody can drop now is told loudly, for it holds the source's log until its disk is full.
 */
import type { Client } from "pg";
import { Refusal, Unavailable, messageOf } from "../contract/failure";
import { connect, withConnection } from "../database/connect";
import { readIdentity } from "../database/identity";
import { closeConnection } from "../database/stallWatch";
import { describeTarget } from "../database/target";
import { readCopySlots, readSlot, readSubscription } from "./link";
import { type ReplicaPair, type Run, ownSchema, quotedName } from "./pair";
import { lockReplica } from "./setUp";
import { dropSlotsOf, unsubscribe } from "./subscription";

/** `both`; or only what one side has, where the other cannot be reached. */
export type DropSide = "both" | "source" | "replica";

export interface DropResult {
  readonly subscriptionDropped: boolean;
  readonly slotsDropped: readonly string[];
  /** What the side that was left out still holds, as statements for a person; empty: nothing is left. */
  readonly left: readonly string[];
}

/**
 * Running it again is safe: what is gone is gone.
 *
 * @throws Unavailable when a side that is meant cannot be reached: nothing was changed then, on either. @throws Refusal when
 *   something is there afterwards that should be gone.
 */
export async function dropReplica(pair: ReplicaPair, side: DropSide, { onProgress }: Run = {}): Promise<DropResult> {
  if (side === "source") return dropAtSource(pair);
  if (side === "replica") return dropAtReplica(pair);
  const source = await connectSource(pair);
  try {
    return await withConnection(pair.replica, async (replica) => {
      await lockReplica(replica, pair);
      const { systemIdentifier } = await readIdentity(replica, pair.replica);
      onProgress?.("dropping the subscription");
      const subscription = await unsubscribe(pair, replica);
      onProgress?.("dropping its slots");
      const slotsDropped = await dropSlotsOf(source, pair, subscription, systemIdentifier);
      await dropOwn(source, pair);
      await demandGone(pair, source, subscription ?? 0, systemIdentifier);
      return { subscriptionDropped: subscription !== undefined, slotsDropped, left: [] };
    });
  } finally {
    await closeConnection(source);
  }
}

async function connectSource(pair: ReplicaPair): Promise<Client> {
  try {
    return await connect(pair.source);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    throw new Unavailable(
      `${messageOf(error)}: the slot ${pair.settings.name} there cannot be dropped, and it holds the server's log: nothing was changed`,
      {
        hint: `try again when it answers; to take down the replica's side now, and the slot later: replication:drop --side replica`,
        cause: error,
      },
    );
  }
}

async function dropAtSource(pair: ReplicaPair): Promise<DropResult> {
  return withConnection(pair.source, async (source) => {
    const slotsDropped = await dropSlotsOf(source, pair, undefined, "");
    await dropOwn(source, pair);
    return {
      subscriptionDropped: false,
      slotsDropped,
      left: [
        `on the replica, ${describeTarget(pair.replica)}: ALTER SUBSCRIPTION ${quotedName(pair)} DISABLE; ALTER SUBSCRIPTION ${quotedName(pair)} SET (slot_name = NONE); DROP SUBSCRIPTION ${quotedName(pair)};`,
      ],
    };
  });
}

async function dropAtReplica(pair: ReplicaPair): Promise<DropResult> {
  return withConnection(pair.replica, async (replica) => {
    await lockReplica(replica, pair);
    const subscription = await unsubscribe(pair, replica);
    const { name } = pair.settings;
    return {
      subscriptionDropped: subscription !== undefined,
      slotsDropped: [],
      left: [
        `on the source, ${describeTarget(pair.source)}: SELECT pg_drop_replication_slot('${name}'); DROP PUBLICATION ${quotedName(pair)}; or, when it answers: replication:drop --side source`,
      ],
    };
  });
}

/** The schema of ours goes with the last publication that has its tables. */
async function dropOwn(source: Client, pair: ReplicaPair): Promise<void> {
  await source.query(`DROP PUBLICATION IF EXISTS ${quotedName(pair)}`);
  const { rows } = await source.query(
    "SELECT FROM pg_publication_rel WHERE prrelid = to_regclass($1) UNION ALL SELECT FROM pg_subscription_rel WHERE srrelid = to_regclass($1)",
    [`${ownSchema}.heartbeat`],
  );
  if (rows.length === 0) await source.query(`DROP SCHEMA IF EXISTS ${ownSchema} CASCADE`);
}

async function demandGone(
  pair: ReplicaPair,
  source: Client,
  subscription: number,
  replicaSystem: string,
): Promise<void> {
  const { name } = pair.settings;
  const slots = [
    ...((await readSlot(source, name)) === undefined ? [] : [name]),
    ...(await readCopySlots(source, subscription, replicaSystem)),
  ];
  const stays = await withConnection(pair.replica, (replica) => readSubscription(replica, name));
  if (slots.length === 0 && stays === undefined) return;
  throw new Refusal("not everything is gone", {
    details: [
      ...slots.map((slot) => `slot ${slot} on the source`),
      ...(stays === undefined ? [] : [`subscription ${name} on the replica`]),
    ],
    hint: "run this again",
  });
}
