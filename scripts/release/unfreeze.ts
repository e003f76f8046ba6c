/**
 * Lifting a freeze: one set by hand is lifted by a person with a reason; one set by a failed verification
 * only when the verification passes now, or when that person accepts the rows that are named as missing.
 */
import { type Freeze, liftFreeze, readFreezes } from "../control/freeze";
import { Refusal } from "../contract/failure";
import type { DatabaseTarget } from "../database/target";
import { type Receipt, readReceipt } from "../record/receipt";
import { recordEvent } from "../record/releaseEvents";
import type { Store } from "../store/store";
import { ScratchCopy } from "../verification/scratchCopy";
import {
  type ReceiptVerification,
  closeReceipt,
  compareWithReceipt,
  missingRowsByTable,
} from "../verification/verifyReceipt";

export interface UnfreezeInput {
  readonly store: Store;
  readonly target: DatabaseTarget;
  readonly person: string;
  readonly reason: string;
  /** Accept what the verification names as missing. */
  readonly acceptMissing: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

export interface Unfrozen {
  /** The freezes that stood; empty: there was none. */
  readonly lifted: readonly Freeze[];
  readonly verifiedRunIds: readonly string[];
  /** Rows given up for lost, by receipt and table. */
  readonly accepted: readonly { readonly runId: string; readonly rows: Readonly<Record<string, number>> }[];
}

/** @throws Refusal when rows are still missing and were not accepted; every freeze stays then. */
export async function unfreeze(input: UnfreezeInput): Promise<Unfrozen> {
  const { store, person, reason } = input;
  const verified: { receipt: Receipt; verification: ReceiptVerification }[] = [];
  for (const { runId } of await readFreezes(store)) {
    if (runId === null || verified.some(({ receipt }) => receipt.runId === runId)) continue;
    const receipt = await readReceipt(store, runId);
    verified.push({ receipt, verification: await compareWithReceipt({ ...input, receipt, live: input.target }) });
  }
  const failing = verified.filter(({ verification }) => verification.comparison.verdict === "fail");
  const passing = verified.filter(({ verification }) => verification.comparison.verdict === "pass");
  if (failing.length > 0 && !input.acceptMissing)
    throw stillMissing(failing.flatMap(({ verification }) => verification.findings));
  for (const { receipt, verification } of passing) await closeReceipt(store, receipt, verification.comparison);
  for (const { receipt, verification } of failing) await recordAcceptance(input, receipt, verification);
  const accepted = failing.map(({ receipt, verification }) => ({
    runId: receipt.runId,
    rows: missingRowsByTable(verification.comparison),
  }));
  const verifiedRunIds = passing.map(({ receipt }) => receipt.runId);
  const lifted = await liftFreeze(store, { person, reason, verifiedRunIds, accepted });
  for (const { receipt } of failing) await new ScratchCopy(store, receipt).spend();
  return { lifted, verifiedRunIds, accepted };
}

function stillMissing(findings: readonly string[]): Refusal {
  return new Refusal(`the freeze stays: ${findings[0] ?? "the verification still fails"}`, {
    details: findings,
    hint: "put the rows back and try again, or accept the loss with --accept-missing",
  });
}

function recordAcceptance(input: UnfreezeInput, receipt: Receipt, verification: ReceiptVerification): Promise<void> {
  return recordEvent(input.store, {
    event: "accepted",
    runId: receipt.runId,
    releaseVersion: receipt.releaseVersion,
    person: input.person,
    detail: `${input.reason}\n${verification.findings.join("\n")}`,
  });
}
