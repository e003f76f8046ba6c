/** How far a failover to the live replica went: so that a killed run is gone on with, and what it means for the way back. */
import { z } from "zod";
import { Unavailable } from "../contract/failure";
import { databaseIdentitySchema } from "../database/identity";
import { failoverKey } from "../store/layout";
import type { Store } from "../store/store";
import { changeControl, readControl } from "./controlDocument";
import { describeTurn, isHeld, newTurn, turnSchema } from "./turn";

export const failoverSchema = z.object({
  schemaVersion: z.literal(1),
  /** `begun`: nothing is decided; `promoting`: the replica is proven, and its subscription is going; `promoted`: it is the database now. */
  state: z.enum(["begun", "promoting", "promoted"]),
  name: z.string(),
  source: databaseIdentitySchema,
  replica: databaseIdentitySchema,
  startedAt: z.iso.datetime(),
  promotedAt: z.iso.datetime().nullable(),
  /** Whether the source was lost: nothing was fenced or compared then. */
  sourceLost: z.boolean(),
  /** Whether a slot on the new database keeps everything that is written since, for the way back without a copy. */
  wayBack: z.boolean(),
  turn: turnSchema.nullable(),
});

export type Failover = z.infer<typeof failoverSchema>;

/** Undefined: there never was one. */
export async function readFailover(store: Store): Promise<Failover | undefined> {
  return (await readControl(store, failoverKey, failoverSchema))?.document;
}

export interface FailoverTurn {
  readonly before: Failover;
  note(change: Partial<Failover>): Promise<void>;
  /** Lets the next run begin; what was noted stays. */
  end(): Promise<void>;
}

/** Seconds after which a turn counts as given up, should nobody be able to see whether its process lives. */
const longestSeconds = 3600;

/** @param open makes the record from what is there. @throws Unavailable when another run has the turn. */
export async function takeFailoverTurn(
  store: Store,
  runId: string,
  open: (current: Failover | undefined) => Omit<Failover, "turn">,
): Promise<FailoverTurn> {
  let before: Failover | undefined;
  await changeControl(store, failoverKey, failoverSchema, (current) => {
    const now = new Date();
    if (current !== undefined && current.turn !== null && isHeld(current.turn, now))
      throw new Unavailable(`another failover is running: ${describeTurn(current.turn)}`, { hint: "wait for it" });
    before = { ...open(current), turn: newTurn(runId, longestSeconds, now) };
    return before;
  });
  const change = (next: Partial<Failover>): Promise<void> =>
    changeControl(store, failoverKey, failoverSchema, (current) => {
      if (current?.turn?.runId !== runId) throw new Unavailable("another run took over: this one took too long");
      return { ...current, ...next };
    });
  return { before: before!, note: change, end: () => change({ turn: null }) };
}
