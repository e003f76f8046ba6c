/**
 * One release step: admitted by the receipt, run once per version, and, when it fails half-way, followed by
 * the comparison that a successful release would have got.
 */
import { extendLease, giveBackLease } from "../control/lease";
import { Failure, Refusal, Unavailable, UsageError, messageOf } from "../contract/failure";
import { hintWithLinks } from "../contract/links";
import { databaseFailure } from "../database/databaseFailure";
import type { DatabaseTarget } from "../database/target";
import type { Receipt } from "../record/receipt";
import { type ReleaseStep, findLive, recordEvent } from "../record/releaseEvents";
import { tellTeam } from "../record/teamNotice";
import type { Store } from "../store/store";
import { type ReceiptVerificationInput, freezeOnLoss, identityOfReceipt } from "../verification/verifyReceipt";
import { type ReleaseRequest, demandReceipt } from "./admission";
import { applyPendingMigrations } from "./applyPendingMigrations";
import { runDeployCommand } from "./deployCommand";
import { type AutomaticRollback, rollBackOnFailure } from "./rollbackOnFailure";
import type { Platforms } from "./rollbackTargets";

export interface ReleaseContext extends ReleaseRequest {
  readonly step: ReleaseStep;
  readonly store: Store;
  readonly target: DatabaseTarget;
  /** To roll the application back when the step fails, where the settings say so. */
  readonly clients: Platforms;
  readonly signal: AbortSignal;
  /** The live log of what is deployed, line by line. */
  readonly onLine: (line: string) => void;
}

export interface ReleaseOutcome {
  readonly outcome: "live" | "already live";
  /** The run whose receipt admitted it. */
  readonly runId: string;
  readonly detail: string;
}

/**
 * @throws Refusal when the step is not admitted or failed, Unavailable when it failed for something that is busy;
 *   a failure that lost rows says so and has frozen further releases by then.
 */
export async function runReleaseStep(context: ReleaseContext): Promise<ReleaseOutcome> {
  const { step, store, releaseVersion } = context;
  const before = await findLive(store, step, context);
  if (before !== undefined) {
    return {
      outcome: "already live",
      runId: before,
      detail: `${step} of ${releaseVersion} is live since run ${before}: nothing was deployed`,
    };
  }
  const trusted = await demandReceipt(store, context.target, context);
  const { receipt } = trusted;
  if (receipt.settings[step] === undefined) throw notConfigured(step);
  await extendLease(store, receipt.runId, leaseSecondsFor(step, receipt));
  const input = { store, ...trusted, live: context.target, onProgress: context.onLine };
  const event = (name: string, detail: string): Promise<void> =>
    recordEvent(store, identityOfReceipt(input), `${step}-${name}`, detail);
  await event("started", `receipt ${receipt.runId}`);
  try {
    const detail = await perform(context, receipt);
    await event("live", detail);
    return { outcome: "live", runId: receipt.runId, detail };
  } catch (error) {
    await event("failed", messageOf(error));
    const failure = await judgeFailure(context, input, error);
    const text = `${step} failed; pulumi up shows why`;
    await tellTeam({ event: "release-failed", text, run: receipt }, { store, onProgress: context.onLine });
    throw failure;
  }
}

/** Time for the step itself and for what follows it until the verification. */
function leaseSecondsFor(step: ReleaseStep, { settings }: Receipt): number {
  const own = step === "migrations" ? migrationSeconds : (settings[step]?.timeoutSeconds ?? 0);
  return own + afterStepSeconds;
}

/** Migrations have no timeout of their own, only one for locks. */
const migrationSeconds = 4 * 3600;

const afterStepSeconds = 3600;

function perform(context: ReleaseContext, receipt: Receipt): Promise<string> {
  const { step, signal, onLine } = context;
  const { migrations, railway, vercel } = receipt.settings;
  if (step === "migrations" && migrations !== undefined)
    return applyPendingMigrations(context.target, { ...migrations, judged: receipt.migrations, signal, onLine });
  const command = step === "railway" ? railway : vercel;
  if (command === undefined) throw notConfigured(step);
  return runDeployCommand(command, { signal, onLine });
}

function undo(context: ReleaseContext, input: ReceiptVerificationInput): Promise<AutomaticRollback | null> {
  const { store, clients, signal, onLine } = context;
  const { appUrl, frontendUrl } = input.receipt.addresses;
  const addresses = { appUrl: appUrl ?? undefined, frontendUrl: frontendUrl ?? undefined };
  const trusted = { receipt: input.receipt, receiptSha256: input.receiptSha256 };
  return rollBackOnFailure({ store, trusted, clients, addresses, signal, onProgress: onLine });
}

function notConfigured(step: ReleaseStep): UsageError {
  return new UsageError(`${step}: the receipt's settings do not configure it: expected ${step} in the stack's config`);
}

/**
 * A release that broke half-way may have lost rows all the same; nobody else would look before the next gate.
 * The receipt stays open even when nothing is missing yet: what was started may still become live.
 */
async function judgeFailure(context: ReleaseContext, input: ReceiptVerificationInput, error: unknown): Promise<Error> {
  const { step } = context;
  let failed = `${step} failed: ${messageOf(error)}`;
  try {
    // First what people see; migrations deploy nothing.
    const rollback = step === "migrations" ? null : await undo(context, input);
    if (rollback !== null) failed = `${failed}; ${rollback.summary}`;
    const { comparison, findings } = await freezeOnLoss(input);
    if (comparison.verdict === "pass") {
      const hint = error instanceof Failure ? error.hint : undefined;
      const Kind = error instanceof Unavailable ? Unavailable : Refusal;
      return new Kind(`${failed}; no row is lost`, {
        cause: error,
        hint: hintOf(step, hint ?? "correct the cause and run pulumi up again"),
      });
    }
    return new Refusal(`${failed}; and data was lost: ${findings[0] ?? ""}`, {
      cause: error,
      details: findings,
      hint: hintOf(
        step,
        "releases are frozen: put the rows back (npm run db:repair), then run npm run deploy:unfreeze",
      ),
    });
  } catch (aftermath) {
    const reason = databaseFailure(aftermath) ?? aftermath;
    return new Refusal(`${failed}; whether rows are lost is not known: ${messageOf(reason)}`, {
      cause: aftermath,
      hint: hintOf(step, "run npm run db:verify:post-deploy; the next gate compares before anything else"),
    });
  } finally {
    // Nothing that follows will run: the next gate need not wait for the lease to expire.
    await giveBackLease(input.store, input.receipt.runId);
  }
}

function hintOf(step: ReleaseStep, hint: string): string {
  return step === "migrations" ? hint : hintWithLinks(hint, step);
}
