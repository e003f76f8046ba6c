/** How a live replica stands: how far behind, what its slot holds and may still hold, each table, errors and conflicts. */
import type { Client } from "pg";
import { displayName } from "../database/sqlText";
import { beat, hasBeat, heartbeatLag } from "./heartbeat";
import {
  type Slot,
  type Subscription,
  hasOwnSchema,
  isLost,
  readPublication,
  readSlot,
  readSubscription,
} from "./link";
import { type PairIdentity, type ReplicaPair, identifyPair, ownSchema, withPair } from "./pair";
import { chooseTables } from "./tables";
import { until } from "./until";

export interface ReplicaStatus {
  readonly name: string;
  readonly identity: PairIdentity;
  readonly at: string;
  /** Bytes of log that the replica has not confirmed; null: there is no slot. */
  readonly lagBytes: number | null;
  /** Seconds since the first write of ours that the replica lacks; 0: it has all; null: it has none yet. */
  readonly lagSeconds: number | null;
  readonly slot: Slot | null;
  readonly subscription: Omit<Subscription, "tables"> | null;
  /** Every table that should be there: where it is on its way; `missing`: it is not subscribed. */
  readonly tables: readonly {
    readonly name: string;
    readonly state: Subscription["tables"][number]["state"] | "missing";
  }[];
  readonly uncovered: readonly string[];
  /** What is wrong, for people; empty: it follows. */
  readonly findings: readonly { readonly id: string; readonly message: string }[];
}

/** Seconds that a beat is given to arrive. */
const beatSeconds = 2;

/** Writes one heartbeat on the source, and sees whether it arrives; all else is only read. */
export async function readStatus(pair: ReplicaPair): Promise<ReplicaStatus> {
  return withPair(pair, async (source, replica) => {
    const { name } = pair.settings;
    const identity = await identifyPair(pair, source, replica);
    const lagSeconds = await measureLag(source, replica);
    const [publication, slot, subscription] = [
      await readPublication(source, name),
      await readSlot(source, name),
      await readSubscription(replica, name),
    ];
    if (slot?.active === true) await noteActive(source, name);
    const { chosen, uncovered } = await chooseTables(source, pair.settings);
    const states = new Map(subscription?.tables.map((table) => [table.name, table.state]));
    const tables = chosen.map((table) => ({
      name: displayName(table),
      state: states.get(displayName(table)) ?? ("missing" as const),
    }));
    const { tables: _, ...rest } = subscription ?? { tables: [] };
    const status = {
      ...{ name, identity, at: new Date().toISOString(), lagBytes: slot?.lagBytes ?? null, lagSeconds },
      ...{ slot: slot ?? null, tables, uncovered },
      subscription: subscription === undefined ? null : (rest as Omit<Subscription, "tables">),
    };
    return { ...status, findings: judge(status, publication !== undefined, pair) };
  });
}

async function measureLag(source: Client, replica: Client): Promise<number | null> {
  if (!(await hasOwnSchema(source)) || !(await hasOwnSchema(replica))) return null;
  const sent = await beat(source);
  const arrived = await until(async () => ((await hasBeat(replica, sent)) ? true : undefined), {
    seconds: beatSeconds,
    every: 20,
  });
  return arrived === true ? 0 : heartbeatLag(source, replica);
}

/** So that the janitor knows since when nobody reads from it. */
async function noteActive(source: Client, name: string): Promise<void> {
  await source.query(`UPDATE ${ownSchema}.slots SET active_at = clock_timestamp() WHERE name = $1`, [name]);
}

/** Part of what may still be written below which somebody should know. */
const tightSlot = 0.2;

function judge(
  status: Omit<ReplicaStatus, "findings">,
  published: boolean,
  { settings }: ReplicaPair,
): ReplicaStatus["findings"] {
  const { slot, subscription, tables, lagSeconds } = status;
  const setup = "run: npm run replication:setup";
  if (subscription === null && slot === null && !published)
    return [{ id: "absent", message: `there is no live replica ${settings.name}: ${setup}` }];
  const states = tables.filter(({ state }) => state !== "ready");
  const missing = states.filter(({ state }) => state === "missing");
  const copying = states.filter(({ state }) => state !== "missing");
  const some = (list: readonly { name: string }[]): string =>
    `${list
      .slice(0, 5)
      .map(({ name }) => name)
      .join(", ")}${list.length > 5 ? ", …" : ""}`;
  const held =
    slot === null || slot.safeWalBytes === null ? null : slot.safeWalBytes / (slot.safeWalBytes + slot.retainedBytes);
  return [
    ...(published ? [] : [{ id: "publication", message: `the publication is gone: ${setup}` }]),
    ...(subscription === null ? [{ id: "subscription", message: `there is no subscription: ${setup}` }] : []),
    ...(isLost(slot ?? undefined)
      ? [
          {
            id: "slot-lost",
            message: `the slot ${slot === null ? "is gone" : "was lost"}: the replica can follow no more: ${setup} -- --resync`,
          },
        ]
      : []),
    ...(subscription !== null && !subscription.enabled
      ? [{ id: "disabled", message: `the subscription is switched off: ${setup}` }]
      : []),
    ...(subscription !== null && subscription.enabled && slot?.active !== true
      ? [{ id: "not-working", message: `${idleReason(subscription)}: the replica's server log says why` }]
      : []),
    ...(missing.length === 0
      ? []
      : [
          {
            id: "not-replicated",
            message: `${missing.length} table(s) are not on the replica: ${some(missing)}: run: npm run replication:sync`,
          },
        ]),
    ...(copying.length === 0
      ? []
      : [{ id: "copying", message: `${copying.length} table(s) are being copied: ${some(copying)}` }]),
    ...(lagSeconds !== null && lagSeconds > settings.maxLagSeconds
      ? [
          {
            id: "lag",
            message: `${Math.round(lagSeconds)} s behind, allowed are ${settings.maxLagSeconds} (replica.maxLagSeconds)`,
          },
        ]
      : []),
    ...(held !== null && held < tightSlot && slot!.walStatus !== "lost"
      ? [
          {
            id: "slot-tight",
            message: `the slot may be lost after ${slot!.safeWalBytes} more bytes of log (max_slot_wal_keep_size)`,
          },
        ]
      : []),
  ];
}

/** A worker that tries to connect is one that runs: only an active slot says that rows can arrive. */
function idleReason({ working }: { readonly working: boolean }): string {
  return working ? "the subscription's worker has no connection to the source" : "no worker of the subscription runs";
}
