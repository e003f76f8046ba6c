/** Whose turn it is to change something that one run at a time may change: who has it, and until when that is believed. */
import { z } from "zod";
import { currentProcess, fateOf } from "../process/processIdentity";

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
