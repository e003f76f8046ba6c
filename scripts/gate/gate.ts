/**
 * The gate: ordered checks before a release, cheap ones first, ended by the first halt. The read-only part
 * looks; a full gate takes the lease, proves a backup, and writes the receipt that releases must show.
 */
import { acquireLease } from "../control/lease";
import { UsageError, messageOf } from "../contract/failure";
import { demandSameClock } from "../database/clock";
import { withConnection } from "../database/connect";
import { readIdentity } from "../database/identity";
import { listReceipts, readReceipt } from "../record/receipt";
import { isOpen, isReleased, recordEvent, releaseSteps } from "../record/releaseEvents";
import { tellTeam } from "../record/teamNotice";
import { closeScratch } from "../scratch/scratchServer";
import type { Store } from "../store/store";
import { claimStore } from "../store/storeIdentity";
import type { GateContext, GateStep } from "./context";
import { type GateObserver, type StepsResult, runSteps } from "./runSteps";
import { closeStarted } from "./scratch";
import { baselineStep } from "./steps/baseline";
import { backupStep } from "./steps/backup";
import { connectionStep } from "./steps/connection";
import { dataChecksStep } from "./steps/dataChecks";
import { drillStep } from "./steps/drill";
import { environmentStep } from "./steps/environment";
import { freezeStep } from "./steps/freeze";
import { leaseStep } from "./steps/lease";
import { migrationsStep } from "./steps/migrations";
import { openReceiptsLook, openReceiptsStep } from "./steps/openReceipts";
import { overridesStep, unusedOverridesStep } from "./steps/overrides";
import { platformStep } from "./steps/platform";
import { receiptStep } from "./steps/receipt";
import { replicaStep } from "./steps/replica";
import { restorePointStep } from "./steps/restorePoint";
import { rollbackTargetStep } from "./steps/rollbackTarget";
import { trialStep } from "./steps/trial";
import { verificationStep } from "./steps/verification";

/** What both parts check, in this order. */
const checks: readonly GateStep[] = [
  ...[connectionStep, environmentStep, migrationsStep, dataChecksStep, rollbackTargetStep, drillStep],
];

/** What a preview runs, and an `up` whose version is released already. */
export const readOnlySteps: readonly GateStep[] = [overridesStep, freezeStep, leaseStep, openReceiptsLook, ...checks];

export const fullSteps: readonly GateStep[] = [
  ...[overridesStep, freezeStep, openReceiptsStep],
  ...checks,
  ...[
    platformStep,
    replicaStep,
    unusedOverridesStep,
    backupStep,
    verificationStep,
    trialStep,
    restorePointStep,
    baselineStep,
    receiptStep,
  ],
];

export interface GateResult extends Omit<StepsResult, "state"> {
  readonly runId: string;
  readonly releaseVersion: string;
  /** True: this version is released and verified already, so only the read-only part ran. */
  readonly unchanged: boolean;
  readonly receiptSha256: string | null;
}

/** Reads only: no lease is taken, nothing is written. */
export async function runReadOnlyGate(context: GateContext, observer?: GateObserver): Promise<GateResult> {
  return resultOf(context, await runSteps(context, readOnlySteps, observer));
}

/**
 * The full gate; or, when `releaseVersion` is live and verified already, the read-only part.
 *
 * @throws Unavailable when another run holds the lease; UsageError when there is no store, or it belongs to
 *   another database; Refusal when this machine's clock is not the database's.
 */
export async function runGate(context: GateContext, observer?: GateObserver): Promise<GateResult> {
  const store = demandStore(context);
  const { settings, releaseVersion } = context;
  const steps = releaseSteps.filter((step) => settings[step] !== undefined);
  if (releaseVersion !== "" && (await isReleased(store, { releaseVersion, stack: context.stack }, steps))) {
    return { ...(await runReadOnlyGate(context, observer)), unchanged: true };
  }
  await claim(context, store);
  const { stack, runId, waitSeconds, signal, onProgress } = context;
  const lease = await acquireLease(
    store,
    { stack, runId },
    { waitSeconds, signal, takeOver: context.takeOver, onWait: (holder) => onProgress(`waiting for ${holder}`) },
  );
  let kept = false;
  try {
    await spendUnused(store, onProgress);
    const guarded = { ...context, signal: AbortSignal.any([signal, lease.lost]) };
    const result = await runSteps(guarded, fullSteps, observer);
    const { receiptSha256 } = result.state;
    // Without a version no release step can show the receipt: nobody would give the lease back.
    if (result.verdict === "pass" && releaseVersion === "") return resultOf(context, result);
    if (result.verdict === "pass" && receiptSha256 !== undefined) {
      // Open from here on: a resource of somebody's own program may be what is released, and tells nobody.
      await recordEvent(store, { runId, releaseVersion, stack, receiptSha256 }, "gate-passed", "");
      await lease.pass({ receiptSha256, releaseVersion });
      kept = true;
      await tellTeam(
        {
          event: "release-started",
          text: "the gate passed, the release starts",
          run: { runId, releaseVersion, stack },
        },
        { store, templates: context.settings.communication.templates, onProgress },
      );
    } else await closeStarted(result.state);
    return resultOf(context, result);
  } finally {
    // What happened says more than that the store is away now; and the lease ends by itself.
    if (!kept)
      await lease
        .release()
        .catch((error: unknown) => onProgress(`the lease ends by itself, it was not given back: ${messageOf(error)}`));
  }
}

function resultOf(context: GateContext, { state, ...result }: StepsResult): GateResult {
  const { runId, releaseVersion } = context;
  return { ...result, runId, releaseVersion, unchanged: false, receiptSha256: state.receiptSha256 ?? null };
}

function demandStore(context: GateContext): Store {
  if (context.store !== undefined) return context.store;
  throw new UsageError("BACKUP_STORE is not set: expected file:///folder or s3://bucket/prefix");
}

/**
 * One prefix belongs to one database: claimed before the first word is written there. By a clock that is ahead the lease of
 * another run would count as expired, and be taken.
 */
async function claim({ target }: GateContext, store: Store): Promise<void> {
  const identity = await withConnection(target, async (client) => {
    await demandSameClock(client);
    return readIdentity(client, target);
  });
  await claimStore(store, { systemIdentifier: identity.systemIdentifier, name: identity.database });
}

/** A receipt that nothing was released with guards nothing now: its scratch server would only wait for its deadline. */
async function spendUnused(store: Store, onProgress: (line: string) => void): Promise<void> {
  const runId = (await listReceipts(store)).at(-1);
  if (runId === undefined || (await isOpen(store, runId))) return;
  const { scratch } = await readReceipt(store, runId);
  if (scratch === null) return;
  // One that cannot be ended from here ends at its deadline; that is no reason to halt.
  await closeScratch(scratch).catch((error: unknown) => onProgress(`an older scratch copy stays: ${messageOf(error)}`));
}
