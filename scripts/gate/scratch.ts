/** The gate's scratch server: opened while the backup is taken, kept for the verification after the release. */
import type { BackupSource } from "../backup/createBackup";
import { type ScratchDatabase, closeScratch, openScratchDatabase } from "../scratch/scratchServer";
import type { OperationSettings } from "../settings";
import type { GateContext, GateState } from "./context";

/** When it ends by itself, whatever happens to the release: `verification.scratchHours` from now. */
export function scratchDeadline({ verification }: OperationSettings): Date {
  return new Date(Date.now() + verification.scratchHours * 3_600_000);
}

/** Starts to open it; that it failed is told by the step that needs it. */
export function startScratch({ settings, runId, signal }: GateContext, source: BackupSource): Promise<ScratchDatabase> {
  const at = scratchDeadline(settings);
  const opening = openScratchDatabase(source, { runId, lifetime: { kind: "deadline", at }, signal });
  opening.catch(() => undefined);
  return opening;
}

/** Ends it, opened or not: for a gate that halted. */
export async function closeStarted({ scratch }: GateState): Promise<void> {
  const opened = await scratch?.catch(() => undefined);
  if (opened !== undefined) await closeScratch(opened.place);
}
