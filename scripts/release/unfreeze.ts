/**
 * Lifting a freeze: one set by hand is lifted by a person with a reason; one set by a failed verification
 * only when the verification passes now, or when that person accepts the rows that the freeze names as missing.
 * In two parts, so that the person is shown what is missing before being asked.
 */
import { type Freeze, liftFreeze, readFreezes, setFreeze } from "../control/freeze";
import { Refusal } from "../contract/failure";
import type { DatabaseTarget } from "../database/target";
import { readTrustedReceipt } from "../record/receipt";
import { lastNumber, recordEvent } from "../record/releaseEvents";
import type { Store } from "../store/store";
import {
  type ReceiptVerification,
  type ReceiptVerificationInput,
  closeReceipt,
  compareWithReceipt,
  identityOfReceipt,
  markBackupsSince,
  missingRowsByTable,
  spendCopy,
} from "../verification/verifyReceipt";

export interface UnfreezeInput {
  readonly store: Store;
  readonly target: DatabaseTarget;
  readonly person: string;
  readonly reason: string;
  /** Accept the rows that the freezes name as missing. */
  readonly acceptMissing: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

interface ComparedReceipt {
  readonly input: ReceiptVerificationInput;
  readonly verification: ReceiptVerification;
  /** The freeze as it stood when it was compared. */
  readonly freeze: Freeze;
  /** The last event before the comparison. */
  readonly seen: number;
}

export interface UnfreezePlan {
  readonly freezes: readonly Freeze[];
  readonly passing: readonly ComparedReceipt[];
  readonly failing: readonly ComparedReceipt[];
  /** What is missing now, for the person who decides. */
  readonly findings: readonly string[];
}

export interface Unfrozen {
  /** The freezes that stood; empty: there was none. */
  readonly lifted: readonly Freeze[];
  readonly verifiedRunIds: readonly string[];
  /** Rows given up for lost, by receipt and table. */
  readonly accepted: readonly { readonly runId: string; readonly rows: Readonly<Record<string, number>> }[];
}

/**
 * Compares every receipt that a freeze names; changes nothing, but that a freeze names rows that went missing since.
 *
 * @throws Refusal when rows are missing and are not to be accepted, or more of them than the freeze named.
 */
export async function planUnfreeze(input: UnfreezeInput): Promise<UnfreezePlan> {
  const freezes = await readFreezes(input.store);
  const compared: ComparedReceipt[] = [];
  for (const freeze of freezes) if (freeze.runId !== null) compared.push(await compare(input, freeze, freeze.runId));
  const failing = compared.filter(({ verification }) => verification.comparison.verdict === "fail");
  const passing = compared.filter(({ verification }) => verification.comparison.verdict === "pass");
  const findings = failing.flatMap(({ verification }) => verification.findings);
  if (failing.length > 0 && !input.acceptMissing) throw stillMissing(findings);
  for (const receipt of failing) await demandNamed(input.store, receipt);
  return { freezes, passing, failing, findings };
}

async function compare(options: UnfreezeInput, freeze: Freeze, runId: string): Promise<ComparedReceipt> {
  const { store, target, signal, onProgress } = options;
  const input = { store, ...(await readTrustedReceipt(store, runId)), live: target, signal, onProgress };
  const seen = await lastNumber(store, runId);
  return { input, verification: await compareWithReceipt(input), freeze, seen };
}

/** Only what was named can be accepted: rows that went missing since are a loss that nobody has looked at. */
async function demandNamed(store: Store, { freeze, verification }: ComparedReceipt): Promise<void> {
  const missing = missingRowsByTable(verification.comparison);
  if (Object.entries(missing).every(([table, rows]) => rows <= (freeze.missingRows[table] ?? 0))) return;
  const { kind, runId, reason, person } = freeze;
  await setFreeze(store, { kind, runId, reason, person, missingRows: missing });
  throw new Refusal("more rows are missing than the freeze named: it names them now, and stays", {
    details: verification.findings,
    hint: "look at them, then run the same command again",
  });
}

function stillMissing(findings: readonly string[]): Refusal {
  return new Refusal(`the freeze stays: ${findings[0] ?? "the verification still fails"}`, {
    details: findings,
    hint: "put the rows back (npm run db:repair) and try again, or accept the loss with --accept-missing",
  });
}

/** @throws Refusal when a freeze was set, or names more rows, since the plan was made; every freeze stays then. */
export async function unfreeze(options: UnfreezeInput, plan: UnfreezePlan): Promise<Unfrozen> {
  const { store, person, reason } = options;
  const verifiedRunIds = plan.passing.map(({ input }) => input.receipt.runId);
  const accepted = plan.failing.map(({ input, freeze }) => ({ runId: input.receipt.runId, rows: freeze.missingRows }));
  // The freeze first: a receipt that is still open is compared again by the next gate, a closed one never.
  const lifted = await liftFreeze(store, { person, reason, verifiedRunIds, accepted });
  for (const { input, verification, seen } of plan.passing) await closeReceipt(input, verification.comparison, seen);
  for (const { input, verification } of plan.failing) {
    await markBackupsSince(store, input.receipt);
    const detail = `${reason}\n${verification.findings.join("\n")}`;
    await recordEvent(store, identityOfReceipt(input), "accepted", detail, { person });
    await spendCopy(input);
  }
  return { lifted, verifiedRunIds, accepted };
}
