/** Gate step: the backup is read back, restored into a scratch server and compared with the snapshot. */
import { readVerification } from "../../verification/readVerification";
import { type VerifyOptions, verifyBackup } from "../../verification/verifyBackup";
import type { GateState, GateStep, StepResult } from "../context";
import { scratchDeadline } from "../scratch";
import { willTry } from "./trial";
import { withoutStore } from "./withoutStore";

export const verificationStep: GateStep = {
  name: "verification",
  async run(context, state) {
    const { store, settings, runId, signal, onProgress } = context;
    if (store === undefined || state.backup === undefined) return withoutStore;
    if (state.backup.rpoSeconds !== null && !willTry(context, state))
      return lookAgain({ store, backup: state.backup, runId, signal }, state);
    const { depth } = settings.verification;
    const { result, scratch } = await verifyBackup({
      store,
      backup: state.backup,
      depth,
      runId,
      keepScratchUntil: scratchDeadline(settings),
      ...(state.scratch === undefined ? {} : { scratch: state.scratch }),
      signal,
      onProgress,
    });
    state.verification = result;
    if (scratch !== undefined) state.scratch = Promise.resolve(scratch);
    return {
      summary:
        result.restoreSeconds === null
          ? `${result.backup} read whole at depth ${result.depth}: not restored, so not called verified`
          : `${result.backup} verified at depth ${result.depth}: restored and equal in ${result.restoreSeconds.toFixed(1)} s`,
      evidence: [`${result.rows} rows of ${result.tables} tables compared`, ...result.notes],
    };
  },
};

/** A reused backup was restored and compared when it was taken; that its objects are there is looked at now. */
async function lookAgain(options: Omit<VerifyOptions, "depth">, state: GateState): Promise<StepResult> {
  await verifyBackup({ ...options, depth: 1 });
  const result = await readVerification(options.store, options.backup.name, 4);
  state.verification = result;
  return {
    summary: `${result.backup} was verified at depth ${result.depth} at ${result.at}; all its objects are there`,
    evidence: [`${result.rows} rows of ${result.tables} tables compared then`, ...result.notes],
  };
}
