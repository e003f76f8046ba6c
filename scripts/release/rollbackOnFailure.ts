/** What `rollback.onFailure` decides: a release that failed takes the application back to what was live before it. */
import { randomBytes } from "node:crypto";
import { Failure, messageOf } from "../contract/failure";
import type { TrustedReceipt } from "../record/receipt";
import { compactUtc } from "../store/layout";
import { type RollbackExecution, type RollbackResult, planRollback, rollBack } from "./rollback";
import { platforms } from "./rollbackTargets";

export interface FailedRelease extends Omit<RollbackExecution, "runId"> {
  readonly trusted: TrustedReceipt;
}

export interface AutomaticRollback {
  /** Null: it could not begin. */
  readonly result: RollbackResult | null;
  /** How it ended, for the message of the release that failed. */
  readonly summary: string;
}

/**
 * The failure that led here is what counts: whatever goes wrong with the rollback is told beside it, not thrown.
 *
 * @returns null where a person decides, neither platform is released, or the run was interrupted.
 */
export async function rollBackOnFailure(failed: FailedRelease): Promise<AutomaticRollback | null> {
  const { store, trusted, clients, addresses, signal, onProgress } = failed;
  const { settings, runId } = trusted.receipt;
  const released = platforms.filter((platform) => settings[platform] !== undefined);
  if (settings.rollback.onFailure !== "application" || released.length === 0 || signal.aborted) return null;
  onProgress("rolling the application back: rollback.onFailure is application");
  try {
    const plan = await planRollback({ store, clients, receiptRunId: runId, to: {}, settings, configured: released });
    const result = await rollBack(plan, { store, clients, runId: incidentId(), addresses, signal, onProgress });
    const told = result.findings.length === 0 ? "" : `: ${result.findings.join("; ")}`;
    return { result, summary: `application: ${result.verdict} within ${result.seconds} s${told}` };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    return { result: null, summary: `application: not rolled back: ${messageOf(error)}; run npm run deploy:rollback` };
  }
}

/** One release may be verified, and fail, more than once. */
function incidentId(): string {
  return `${compactUtc(new Date())}-${randomBytes(4).toString("hex")}`;
}
