/** Gate step: the backup is read back, restored into a scratch server and compared with the snapshot. */
import { verifyBackup } from "../../verification/verifyBackup";
import type { GateStep } from "../context";
import { withoutStore } from "./withoutStore";

export const verificationStep: GateStep = {
  name: "verification",
  async run({ store, settings, runId, signal, onProgress }, state) {
    if (store === undefined || state.backup === undefined) return withoutStore;
    const { depth, scratchHours } = settings.verification;
    const { result, scratch } = await verifyBackup({
      store,
      backup: state.backup,
      depth,
      runId,
      keepScratchUntil: new Date(Date.now() + scratchHours * 3_600_000),
      signal,
      onProgress,
    });
    state.verification = result;
    if (scratch !== undefined) state.scratch = scratch;
    return {
      summary:
        result.restoreSeconds === null
          ? `${result.backup} read whole at depth ${result.depth}: not restored, so not called verified`
          : `${result.backup} verified at depth ${result.depth}: restored and equal in ${result.restoreSeconds.toFixed(1)} s`,
      evidence: [`${result.rows} rows of ${result.tables} tables compared`, ...result.notes],
    };
  },
};
