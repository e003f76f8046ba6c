/**
 * One release step: admitted by the receipt, run once per version, watched while it runs, and, when it fails half-way,
 * followed by the comparison that a successful release would have got.
 */
import { extendLease } from "../control/lease";
import { takeReleaseTurn } from "../control/releaseTurn";
import { UsageError, messageOf } from "../contract/failure";
import type { DatabaseTarget } from "../database/target";
import type { Receipt, TrustedReceipt } from "../record/receipt";
import { type ReleaseStep, findLive, recordEvent } from "../record/releaseEvents";
import type { Store } from "../store/store";
import { identityOfReceipt } from "../verification/verifyReceipt";
import { type ReleaseRequest, demandReceipt } from "./admission";
import { applyPendingMigrations } from "./applyPendingMigrations";
import { runDeployCommand } from "./deployCommand";
import { endFailedRelease } from "./failedRelease";
import { type PostDeployInput, addressesOf } from "./postDeploy";
import type { Platform, Platforms } from "./rollbackTargets";
import { watchScope, watchWhile } from "./watch";

export interface ReleaseContext extends ReleaseRequest {
  readonly step: ReleaseStep;
  readonly store: Store;
  readonly target: DatabaseTarget;
  /** Default: those of the receipt, which have no credentials. */
  readonly addresses: PostDeployInput["addresses"];
  /** To watch the deployment, and to roll the application back when the step fails, where the settings say so. */
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
  const { step, store } = context;
  const before = await findLive(store, step, context);
  if (before !== undefined) return alreadyLive(context, before);
  const trusted = await demandReceipt(store, context.target, context);
  const { receipt } = trusted;
  if (receipt.settings[step] === undefined) throw notConfigured(step);
  const turn = await takeReleaseTurn(store, step, receipt.runId, stepSeconds(step, receipt) + afterStepSeconds);
  try {
    // Whoever had the turn until now may have finished the step.
    const meanwhile = await findLive(store, step, context);
    return meanwhile === undefined ? await release(context, trusted) : alreadyLive(context, meanwhile);
  } finally {
    await turn.end();
  }
}

function alreadyLive({ step, releaseVersion }: ReleaseContext, runId: string): ReleaseOutcome {
  const detail = `${step} of ${releaseVersion} is live since run ${runId}: nothing was deployed`;
  return { outcome: "already live", runId, detail };
}

async function release(context: ReleaseContext, trusted: TrustedReceipt): Promise<ReleaseOutcome> {
  const { step, store } = context;
  const { receipt } = trusted;
  await extendLease(store, receipt.runId, stepSeconds(step, receipt) + afterStepSeconds);
  const input = { store, ...trusted, live: context.target, onProgress: context.onLine };
  const event = (name: string, detail: string): Promise<void> =>
    recordEvent(store, identityOfReceipt(input), `${step}-${name}`, detail);
  await event("started", `receipt ${receipt.runId}`);
  try {
    const detail = await watched(context, receipt);
    await event("live", detail);
    return { outcome: "live", runId: receipt.runId, detail };
  } catch (error) {
    await event("failed", messageOf(error));
    throw await endFailedRelease(context, input, { what: step, platforms: platformsOf(step), error });
  }
}

function stepSeconds(step: ReleaseStep, { settings }: Receipt): number {
  return step === "migrations" ? migrationSeconds : (settings[step]?.timeoutSeconds ?? 0);
}

/** Migrations have no timeout of their own, only one for locks. */
const migrationSeconds = 4 * 3600;

/** For what follows a step until the verification. */
const afterStepSeconds = 3600;

/** Migrations deploy nothing. */
function platformsOf(step: ReleaseStep): Platform[] {
  return step === "migrations" ? [] : [step];
}

/** A deployment that crashes, or an application that no longer answers, ends the step. */
function watched(context: ReleaseContext, receipt: Receipt): Promise<string> {
  const { step, clients, signal, onLine } = context;
  const { settings, baseline } = receipt;
  if (settings.watch.soakMinutes === 0) return perform(context, receipt, signal);
  const addresses = addressesOf(context, receipt);
  const scope = watchScope({ settings, addresses, baseline, platforms: platformsOf(step), clients, onLine });
  return watchWhile(scope, { signal, onLine }, (stop) => perform(context, receipt, stop));
}

async function perform(context: ReleaseContext, receipt: Receipt, signal: AbortSignal): Promise<string> {
  const { step, onLine } = context;
  const { migrations, railway, vercel } = receipt.settings;
  if (step === "migrations" && migrations !== undefined)
    return applyPendingMigrations(context.target, { ...migrations, judged: receipt.migrations, signal, onLine });
  const command = step === "railway" ? railway : vercel;
  if (command === undefined) throw notConfigured(step);
  return runDeployCommand(command, { signal, onLine });
}

function notConfigured(step: ReleaseStep): UsageError {
  return new UsageError(`${step}: the receipt's settings do not configure it: expected ${step} in the stack's config`);
}
