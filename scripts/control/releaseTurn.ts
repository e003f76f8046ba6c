/** One release step at a time: the lease admits a receipt, and whoever holds that receipt could start a step twice. */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { Unavailable } from "../contract/failure";
import { releaseTurnKey } from "../store/layout";
import type { Store } from "../store/store";
import { changeControl } from "./controlDocument";
import { type TurnDocument, describeTurn, takeTurn, turnSchema } from "./turn";

const releaseTurnSchema = z.object({
  schemaVersion: z.literal(1),
  step: z.string(),
  /** Null: no step runs. */
  turn: turnSchema.nullable(),
});

export interface ReleaseTurn {
  /** Lets the next step begin; nothing happens if another one has the turn. */
  end(): Promise<void>;
}

const turnDocument: Omit<TurnDocument<typeof releaseTurnSchema>, "lost"> = {
  ...{ key: releaseTurnKey, schema: releaseTurnSchema },
  busy: (turn, { step }) =>
    new Unavailable(`a release step is running already: ${step}, ${describeTurn(turn)}`, {
      hint: `wait for it; at ${turn.expiresAt} it counts as given up`,
    }),
};

/**
 * @param runId of the receipt by which the step is admitted.
 * @param longestSeconds after which the turn counts as given up, should nobody be able to see whether its process lives.
 * @throws Unavailable when a step runs.
 */
export async function takeReleaseTurn(
  store: Store,
  step: string,
  runId: string,
  longestSeconds: number,
): Promise<ReleaseTurn> {
  const id = `${runId}-${step}-${randomBytes(4).toString("hex")}`;
  await takeTurn(store, turnDocument, { runId: id, seconds: longestSeconds }, (_, turn) => ({
    schemaVersion: 1 as const,
    step,
    turn,
  }));
  return {
    end: () =>
      changeControl(store, releaseTurnKey, releaseTurnSchema, (current) =>
        current?.turn?.runId === id ? { ...current, turn: null } : undefined,
      ),
  };
}
