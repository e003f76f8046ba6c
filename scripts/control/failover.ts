/** How far a failover to the live replica went: so that a killed run is gone on with, and what it means for the way back. */
import { z } from "zod";
import { Unavailable } from "../contract/failure";
import { databaseIdentitySchema } from "../database/identity";
import { failoverKey } from "../store/layout";
import type { Store } from "../store/store";
import { readControl } from "./controlDocument";
import { type TurnDocument, changeInTurn, describeTurn, takeTurn, turnSchema } from "./turn";

const failoverSchema = z.object({
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

const turnDocument: TurnDocument<typeof failoverSchema> = {
  ...{ key: failoverKey, schema: failoverSchema },
  busy: (turn) => new Unavailable(`another failover is running: ${describeTurn(turn)}`, { hint: "wait for it" }),
  lost: () => new Unavailable("another run took over: this one took too long"),
};

/** @param open makes the record from what is there. @throws Unavailable when another run has the turn. */
export async function takeFailoverTurn(
  store: Store,
  runId: string,
  open: (current: Failover | undefined) => Omit<Failover, "turn">,
): Promise<FailoverTurn> {
  const taking = { runId, seconds: longestSeconds };
  const before = await takeTurn(store, turnDocument, taking, (current, turn) => ({ ...open(current), turn }));
  const change = (next: Partial<Failover>): Promise<void> =>
    changeInTurn(store, turnDocument, runId, (current) => ({ ...current, ...next }));
  return { before, note: change, end: () => change({ turn: null }) };
}
