/**
 * What follows when a part of a release fails: the application goes back where the settings say so, the comparison that a
 * successful release would have got, the team is told, and the lease is given back, for nothing that follows will run.
 */
import { giveBackLease } from "../control/lease";
import { Failure, Refusal, Unavailable, messageOf } from "../contract/failure";
import { hintWithLinks } from "../contract/links";
import { databaseFailure } from "../database/databaseFailure";
import { tellTeam } from "../record/teamNotice";
import { type ReceiptVerificationInput, freezeOnLoss } from "../verification/verifyReceipt";
import type { PostDeployInput } from "./postDeploy";
import { addressesOf } from "./postDeploy";
import { rollBackOnFailure } from "./rollbackOnFailure";
import type { Platform, Platforms } from "./rollbackTargets";

export interface FailedPart {
  /** As messages name it: `railway`. */
  readonly what: string;
  /** Whose deployments the part made or watched; without any there is nothing to go back from. */
  readonly platforms: readonly Platform[];
  readonly error: unknown;
}

export interface FailureContext {
  readonly addresses: PostDeployInput["addresses"];
  readonly clients: Platforms;
  readonly signal: AbortSignal;
  readonly onLine: (line: string) => void;
}

/** @returns what to throw: the failure, and what became of application and data. */
export async function endFailedRelease(
  context: FailureContext,
  input: ReceiptVerificationInput,
  part: FailedPart,
): Promise<Error> {
  const failure = await judgeFailure(context, input, part);
  const text = `${part.what} failed; pulumi up shows why`;
  await tellTeam(
    { event: "release-failed", text, run: input.receipt },
    { store: input.store, templates: input.receipt.settings.communication.templates, onProgress: context.onLine },
  );
  return failure;
}

/**
 * A release that broke half-way may have lost rows all the same; nobody else would look before the next gate.
 * The receipt stays open even when nothing is missing yet: what was started may still become live.
 */
async function judgeFailure(
  context: FailureContext,
  input: ReceiptVerificationInput,
  { what, platforms, error }: FailedPart,
): Promise<Error> {
  const hintOf = (hint: string): string => (platforms.length === 0 ? hint : hintWithLinks(hint, ...platforms));
  let failed = `${what} failed: ${messageOf(error)}`;
  try {
    // First what people see.
    const rollback = platforms.length === 0 ? null : await undo(context, input);
    if (rollback !== null) failed = `${failed}; ${rollback.summary}`;
    const { comparison, findings } = await freezeOnLoss(input);
    if (comparison.verdict === "pass") {
      const hint = error instanceof Failure ? error.hint : undefined;
      const options = { cause: error, hint: hintOf(hint ?? "correct the cause and run pulumi up again") };
      const message = `${failed}; no row is lost`;
      return error instanceof Unavailable
        ? new Unavailable(message, options)
        : new Refusal(message, { ...options, details: error instanceof Refusal ? error.details : [] });
    }
    return new Refusal(`${failed}; and data was lost: ${findings[0] ?? ""}`, {
      cause: error,
      details: findings,
      hint: hintOf("releases are frozen: put the rows back (npm run db:repair), then run npm run deploy:unfreeze"),
    });
  } catch (aftermath) {
    const reason = databaseFailure(aftermath) ?? aftermath;
    return new Refusal(`${failed}; whether rows are lost is not known: ${messageOf(reason)}`, {
      cause: aftermath,
      hint: hintOf("run npm run db:verify:post-deploy; the next gate compares before anything else"),
    });
  } finally {
    // The next gate need not wait for the lease to expire.
    await giveBackLease(input.store, input.receipt.runId);
  }
}

function undo(context: FailureContext, { store, receipt, receiptSha256 }: ReceiptVerificationInput) {
  const { clients, signal, onLine } = context;
  return rollBackOnFailure({
    ...{ store, clients, signal, onProgress: onLine },
    trusted: { receipt, receiptSha256 },
    addresses: addressesOf(context, receipt),
  });
}
