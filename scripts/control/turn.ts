/** Whose turn it is to change something that one run at a time may change: who has it, and until when that is believed. */
import { z } from "zod";
import type { Failure } from "../contract/failure";
import { currentProcess, fateOf } from "../process/processIdentity";
import type { Store } from "../store/store";
import { changeControl } from "./controlDocument";

export const turnSchema = z.object({
  runId: z.string(),
  holder: z.object({ host: z.string(), pid: z.int().positive(), processStart: z.string() }),
  /** From then on it counts as given up, should nobody be able to see whether its process lives. */
  expiresAt: z.iso.datetime(),
});

export type Turn = z.infer<typeof turnSchema>;

export function newTurn(runId: string, seconds: number, now: Date): Turn {
  return { runId, holder: currentProcess(), expiresAt: new Date(now.getTime() + seconds * 1000).toISOString() };
}

/** Whether its holder may still be at work. */
export function isHeld({ expiresAt, holder }: Pick<Turn, "expiresAt" | "holder">, now: Date): boolean {
  return Date.parse(expiresAt) > now.getTime() && fateOf(holder) !== "gone";
}

/** `20260101T120000Z-3f9c1a2b (process 4711 on host)`. */
export function describeTurn({ runId, holder }: Turn): string {
  return `${runId} (process ${holder.pid} on ${holder.host})`;
}

/** A control document that only the run which has its turn changes. */
export interface TurnDocument<S extends z.ZodType<{ turn: Turn | null }>> {
  readonly key: string;
  readonly schema: S;
  /** What is said when another run has the turn. */
  readonly busy: (turn: Turn, current: z.output<S>) => Failure;
  /** What is said to a run whose turn another one took. */
  readonly lost: () => Failure;
}

/**
 * @param open makes the document that the turn begins with; `current` is what is there. It may be called several times.
 * @returns that document.
 * @throws what `busy` makes when another run has the turn; Unavailable when others keep changing the document.
 */
export async function takeTurn<S extends z.ZodType<{ turn: Turn | null }>>(
  store: Store,
  { key, schema, busy }: Omit<TurnDocument<S>, "lost">,
  { runId, seconds }: { readonly runId: string; readonly seconds: number },
  open: (current: z.output<S> | undefined, turn: Turn) => z.output<S>,
): Promise<z.output<S>> {
  let taken: z.output<S> | undefined;
  await changeControl(store, key, schema, (current) => {
    const now = new Date();
    const held = heldTurn(current, now);
    if (current !== undefined && held !== null) throw busy(held, current);
    taken = open(current, newTurn(runId, seconds, now));
    return taken;
  });
  return taken!;
}

/** The turn that a run may still have; null: it is free. */
export function heldTurn(document: { readonly turn: Turn | null } | undefined, now: Date): Turn | null {
  const turn = document?.turn ?? null;
  return turn !== null && isHeld(turn, now) ? turn : null;
}

/** @throws what `lost` makes when the turn is another run's by now. */
export function changeInTurn<S extends z.ZodType<{ turn: Turn | null }>>(
  store: Store,
  { key, schema, lost }: Omit<TurnDocument<S>, "busy">,
  runId: string,
  next: (current: z.output<S>) => z.output<S>,
): Promise<void> {
  return changeControl(store, key, schema, (current) => {
    if (current?.turn?.runId !== runId) throw lost();
    return next(current);
  });
}
