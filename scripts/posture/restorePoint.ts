/** A named restore point of Supabase's, asked for before a release and waited for: where PITR can go back to by name. */
import { setTimeout as sleep } from "node:timers/promises";
import { Refusal, Unavailable } from "../contract/failure";
import type { RestorePoint, Supabase } from "../platforms/supabase";

export interface RestorePointInput {
  readonly supabase: Supabase;
  /** At most 20 characters. */
  readonly name: string;
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
  /** Milliseconds between two looks. Default 2,000: the API allows 120 requests a minute. */
  readonly interval?: number;
}

/** `dbp-20261122T170212Z`, 20 characters: from a run id, which starts with its UTC time. */
export function restorePointName(runId: string): string {
  return `dbp-${runId.slice(0, 16)}`;
}

/**
 * Returns once it is AVAILABLE.
 *
 * @throws Refusal when Supabase refuses it, or it failed. @throws Unavailable when it is still pending at the deadline,
 *   or nobody can say whether it was asked for.
 */
export async function takeRestorePoint(input: RestorePointInput): Promise<RestorePoint> {
  const { supabase, name, waitSeconds, signal, interval = 2000 } = input;
  const deadline = performance.now() + waitSeconds * 1000;
  let point: RestorePoint | undefined;
  try {
    point = await supabase.createRestorePoint(name);
  } catch (error) {
    // The answer was lost, perhaps not the request.
    point = error instanceof Unavailable ? await supabase.restorePoint(name) : undefined;
    if (point === undefined) throw error;
  }
  while (point?.status === "PENDING" && performance.now() + interval < deadline) {
    await sleep(interval, undefined, { signal });
    point = await supabase.restorePoint(name);
  }
  if (point?.status === "AVAILABLE") return point;
  if (point?.status === "PENDING") {
    throw new Unavailable(`restore point ${name}: still PENDING after ${waitSeconds} s`, {
      hint: "run again, or raise platform.restorePointSeconds",
    });
  }
  throw new Refusal(`restore point ${name}: ${point === undefined ? "is gone" : `ended as ${point.status}`}`, {
    hint: "look at Supabase's dashboard: database, backups",
  });
}
