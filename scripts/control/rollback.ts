/**
 * One rollback at a time, and what a killed one had asked the platforms for: the next run goes on with that instead of
 * asking twice. In a document of its own, for a rollback must not wait for the lease of the release that it undoes.
 */
import { z } from "zod";
import { Unavailable } from "../contract/failure";
import { rollbackKey } from "../store/layout";
import type { Store } from "../store/store";
import { changeControl } from "./controlDocument";
import { describeTurn, isHeld, newTurn, turnSchema } from "./turn";

const railwayNoteSchema = z.object({
  /** The deployment to go back to. */
  target: z.string(),
  /** The newest one when it was asked for: Railway returns no record, so what is newer is the rollback. */
  latestBefore: z.string().nullable(),
  /** The deployment that the rollback became; null: not known yet. */
  became: z.string().nullable(),
});

export type RailwayNote = z.infer<typeof railwayNoteSchema>;

const rollbackSchema = turnSchema.extend({
  schemaVersion: z.literal(1),
  state: z.enum(["running", "ended"]),
  startedAt: z.iso.datetime(),
  railway: railwayNoteSchema.nullable(),
});

type RollbackDocument = z.infer<typeof rollbackSchema>;

export interface RollbackTurn {
  /** What the last rollback of Railway asked for and became, be it this run's or a former one's. */
  readonly railway: RailwayNote | null;
  noteRailway(note: RailwayNote): Promise<void>;
  /** Lets the next one begin; what was noted stays. */
  end(): Promise<void>;
}

/**
 * @param longestSeconds after which the turn counts as given up, should nobody be able to see whether its process lives.
 * @throws Unavailable when another rollback is running.
 */
export async function takeRollbackTurn(store: Store, runId: string, longestSeconds: number): Promise<RollbackTurn> {
  let railway: RailwayNote | null = null;
  await changeControl(store, rollbackKey, rollbackSchema, (current): RollbackDocument => {
    const now = new Date();
    if (current !== undefined && isRunning(current, now)) {
      throw new Unavailable(`another rollback is running, since ${current.startedAt}: ${describeTurn(current)}`, {
        hint: `wait for it; at ${current.expiresAt} it counts as given up`,
      });
    }
    railway = current?.railway ?? null;
    const turn = newTurn(runId, longestSeconds, now);
    return { schemaVersion: 1, state: "running", ...turn, startedAt: now.toISOString(), railway };
  });
  return {
    railway,
    noteRailway: (note) =>
      changeControl(store, rollbackKey, rollbackSchema, (current) => {
        if (current?.runId !== runId) throw new Unavailable("another rollback took over: this one took too long");
        return { ...current, railway: note };
      }),
    end: () =>
      changeControl(store, rollbackKey, rollbackSchema, (current) =>
        current?.runId === runId ? { ...current, state: "ended" as const } : undefined,
      ),
  };
}

function isRunning(document: RollbackDocument, now: Date): boolean {
  return document.state === "running" && isHeld(document, now);
}
