/** Drops slots of ours that nobody has read from for too long: each would hold the source's log until its disk is full. */
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, readIdentity } from "../database/identity";
import type { Client } from "pg";
import { hasOwnSchema, readSlot } from "./link";
import { type ReplicaPair, ownSchema } from "./pair";
import { dropSlot } from "./slots";

export interface IdleSlot {
  readonly name: string;
  /** Since when nobody has read from it, as far as it is known. */
  readonly idleSince: string;
  readonly hours: number;
  readonly retainedBytes: number;
  /** Whether it has been idle for longer than `replica.slotTtlHours`. */
  readonly expired: boolean;
}

export interface JanitorPlan {
  readonly identity: DatabaseIdentity;
  readonly idle: readonly IdleSlot[];
}

/** Looks only. Only slots that are on record as ours: those of others are theirs. */
export async function planJanitor({
  source,
  settings,
}: Pick<ReplicaPair, "source" | "settings">): Promise<JanitorPlan> {
  return withConnection(source, async (client) => ({
    identity: await readIdentity(client, source),
    idle: await findIdle(client, settings.slotTtlHours),
  }));
}

/** `inactive_since` is since 17; before, and as a lower bound, what we saw ourselves. */
async function findIdle(client: Client, ttlHours: number): Promise<IdleSlot[]> {
  if (!(await hasOwnSchema(client))) return [];
  const { rows } = await client.query<{ name: string; since: Date; hours: number; retained: string }>(
    `SELECT name, since, extract(epoch FROM clock_timestamp() - since)::float8 / 3600 AS hours, retained
       FROM (SELECT r.slot_name::text AS name, GREATEST(o.active_at, (to_jsonb(r) ->> 'inactive_since')::timestamptz) AS since,
                    COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), r.restart_lsn), 0)::text AS retained
               FROM ${ownSchema}.slots o JOIN pg_replication_slots r ON r.slot_name = o.name AND r.database = current_database()
              WHERE o.dropped_at IS NULL AND NOT r.active) s ORDER BY name`,
  );
  return rows.map(({ name, since, hours, retained }) => ({
    ...{ name, idleSince: since.toISOString(), hours },
    ...{ retainedBytes: Number(retained), expired: hours >= ttlHours },
  }));
}

/** One that has a reader again by then is left alone. @returns the names of those that were dropped. */
export async function dropExpired({ source, settings }: Pick<ReplicaPair, "source" | "settings">): Promise<string[]> {
  return withConnection(source, async (client) => {
    const dropped: string[] = [];
    for (const { name, expired } of await findIdle(client, settings.slotTtlHours)) {
      if (!expired || (await readSlot(client, name))?.active !== false) continue;
      if (await dropSlot(client, name)) dropped.push(name);
    }
    return dropped;
  });
}
