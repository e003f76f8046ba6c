/** Gate step: the backup is read back, restored into a scratch server and compared with the snapshot. */
import { verifyBackup } from "../../verification/verifyBackup";
import type { GateStep } from "../context";
import { scratchDeadline } from "../scratch";
import { withoutStore } from "./withoutStore";

export const verificationStep: GateStep = {
  name: "verification",
  async run({ store, settings, runId, signal, onProgress }, state) {
    if (store === undefined || state.backup === undefined) return withoutStore;
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
