/**
 * One rollback at a time, and what a killed one had asked the platforms for: the next run goes on with that instead of
 * asking twice. In a document of its own, for a rollback must not wait for the lease of the release that it undoes.
 */
import { z } from "zod";
import { Unavailable } from "../contract/failure";
import { currentProcess, fateOf } from "../process/processIdentity";
import { rollbackKey } from "../store/layout";
import type { Store } from "../store/store";
import { changeControl } from "./controlDocument";

const railwayNoteSchema = z.object({
  /** The deployment to go back to. */
  target: z.string(),
  /** The newest one when it was asked for: Railway returns no record, so what is newer is the rollback. */
  latestBefore: z.string().nullable(),
  /** The deployment that the rollback became; null: not known yet. */
  became: z.string().nullable(),
});

export type RailwayNote = z.infer<typeof railwayNoteSchema>;

const rollbackSchema = z.object({
  schemaVersion: z.literal(1),
  state: z.enum(["running", "ended"]),
  runId: z.string(),
  holder: z.object({ host: z.string(), pid: z.int().positive(), processStart: z.string() }),
  startedAt: z.iso.datetime(),
  /** A run that lives takes no longer. */
  expiresAt: z.iso.datetime(),
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
      const { pid, host } = current.holder;
      throw new Unavailable(
        `another rollback is running: ${current.runId} since ${current.startedAt} (process ${pid} on ${host})`,
        { hint: `wait for it; at ${current.expiresAt} it counts as given up` },
      );
    }
    railway = current?.railway ?? null;
    const expiresAt = new Date(now.getTime() + longestSeconds * 1000).toISOString();
    const startedAt = now.toISOString();
    return { schemaVersion: 1, state: "running", runId, holder: currentProcess(), startedAt, expiresAt, railway };
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

function isRunning({ state, expiresAt, holder }: RollbackDocument, now: Date): boolean {
  return state === "running" && Date.parse(expiresAt) > now.getTime() && fateOf(holder) !== "gone";
}
