/** The live replica's part of `db:health`: what `replication:status` finds, as signals. Writes one heartbeat on the source. */
import type { ReplicaReadings } from "../monitoring/health";
import { absent, found, unread } from "../monitoring/reading";
import type { ReplicaPair } from "./pair";
import { type ReplicaStatus, readStatus } from "./status";

export async function readReplicaSignals(pair: ReplicaPair): Promise<ReplicaReadings> {
  return signalsOf(await readStatus(pair));
}

/** Findings that have a signal of their own. */
const measured: ReadonlySet<string> = new Set(["lag", "slot-tight"]);

/** Pure. */
function signalsOf({ findings, lagBytes, lagSeconds, slot, subscription }: ReplicaStatus): ReplicaReadings {
  const wrong = findings.filter(({ id }) => !measured.has(id)).map(({ message }) => message);
  const noSlot = "the replica has no slot";
  const errors = subscription === null ? null : errorsOf(subscription);
  return {
    readings: [
      found("replicaFollows", wrong.length === 0 ? 1 : 0, wrong.length === 0 ? undefined : wrong.join("; ")),
      lagSeconds === null
        ? unread("replicaSeconds", "no heartbeat has arrived yet")
        : found("replicaSeconds", lagSeconds),
      lagBytes === null ? unread("replicaBytes", noSlot) : found("replicaBytes", lagBytes),
      slot === null ? unread("replicaSlotBytes", noSlot) : found("replicaSlotBytes", slot.retainedBytes),
      slot === null
        ? unread("replicaSlotRoom", noSlot)
        : slot.safeWalBytes === null
          ? absent("replicaSlotRoom", "max_slot_wal_keep_size sets no limit")
          : found("replicaSlotRoom", slot.safeWalBytes),
      ...(errors === null ? [unread("replicaConflicts", "the replica does not count them (PostgreSQL 15)")] : []),
    ],
    errors,
  };
}

function errorsOf({ applyErrors, copyErrors, conflicts }: NonNullable<ReplicaStatus["subscription"]>): number | null {
  if (applyErrors === null) return null;
  return [applyErrors, copyErrors ?? 0, ...Object.values(conflicts)].reduce((sum, count) => sum + count, 0);
}
