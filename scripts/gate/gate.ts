/**
 * The gate: ordered checks before a release, cheap ones first, ended by the first halt. The read-only part
 * looks; a full gate takes the lease, proves a backup, and writes the receipt that releases must show.
 */
import { type Lease, acquireLease } from "../control/lease";
import { type ExitCode, Failure, Refusal, UsageError, exitCode, messageOf } from "../contract/failure";
import { withConnection } from "../database/connect";
import { databaseFailure } from "../database/databaseFailure";
import { readIdentity } from "../database/identity";
import { acceptEnvironment } from "../environment/acceptEnvironment";
import { type Receipt, type StepReport, writeReceipt } from "../record/receipt";
import { lastVerifiedVersion } from "../record/releaseEvents";
import { closeScratch } from "../scratch/scratchServer";
import type { Override } from "../settings";
import type { Store } from "../store/store";
import { claimStore } from "../store/storeIdentity";
import type { GateContext, GateState, GateStep } from "./context";
import { expiredOverrides, overrideFor, unusedOverrides } from "./overrides";
import { backupStep } from "./steps/backup";
import { connectionStep } from "./steps/connection";
import { dataChecksStep } from "./steps/dataChecks";
import { environmentStep } from "./steps/environment";
import { freezeStep } from "./steps/freeze";
import { leaseStep } from "./steps/lease";
import { migrationsStep } from "./steps/migrations";
import { openReceiptsLook, openReceiptsStep } from "./steps/openReceipts";
import { verificationStep } from "./steps/verification";

/** Shared by both parts, in this order. */
const checks: readonly GateStep[] = [connectionStep, environmentStep, migrationsStep, dataChecksStep];

/** What a preview runs, and an `up` whose version is released already. */
const readOnlySteps: readonly GateStep[] = [freezeStep, leaseStep, openReceiptsLook, ...checks];

const fullSteps: readonly GateStep[] = [freezeStep, openReceiptsStep, ...checks, backupStep, verificationStep];

/** The steps of a full gate, in the order in which they are reported. */
export const stepNames: readonly string[] = ["overrides", ...fullSteps.map(({ name }) => name), "receipt"];

export interface GateResult {
  readonly verdict: "pass" | "halt";
  readonly exitCode: ExitCode;
  readonly runId: string;
  readonly releaseVersion: string;
  /** True: this version is released and verified already, so only the read-only part ran. */
  readonly unchanged: boolean;
  readonly receiptSha256: string | null;
  readonly steps: readonly StepReport[];
  /** Why it halted; null when it passed. */
  readonly message: string | null;
  readonly hint: string | null;
  readonly details: readonly string[];
}

export interface GateObserver {
  onStepStart?(step: string): void;
  onStepEnd?(report: StepReport): void;
}

/** Reads only: no lease is taken, nothing is written. */
export async function runReadOnlyGate(context: GateContext, observer: GateObserver = {}): Promise<GateResult> {
  return new GateRun(context, observer).run(readOnlySteps, "unused overrides are fine");
}

/**
 * The full gate; or, when `releaseVersion` is the one that was released and verified last, the read-only part.
 *
 * @throws Unavailable when the lease is held by another run.
 */
export async function runGate(context: GateContext, observer: GateObserver = {}): Promise<GateResult> {
  const store = demandStore(context);
  if (context.releaseVersion !== "" && (await lastVerifiedVersion(store)) === context.releaseVersion) {
    return { ...(await runReadOnlyGate(context, observer)), unchanged: true };
  }
  // One prefix belongs to one database: claimed before the first word is written there.
  await claim(context, store);
  const lease = await acquireLease(
    store,
    { stack: context.stack, runId: context.runId },
    { waitSeconds: context.waitSeconds, signal: context.signal, onWait: (holder) => context.onProgress(`waiting for ${holder}`) },
  );
  const guarded = { ...context, signal: AbortSignal.any([context.signal, lease.lost]) };
  const run = new GateRun(guarded, observer);
  const result = await run.run(fullSteps, "unused overrides halt", () => issueReceipt(guarded, run, lease));
  if (result.verdict === "halt") {
    if (run.state.scratch !== undefined) await closeScratch(run.state.scratch.place);
    await lease.release();
  }
  return result;
}

function demandStore(context: GateContext): Store {
  if (context.store !== undefined) return context.store;
  throw new UsageError("BACKUP_STORE is not set: expected file:///folder or s3://bucket/prefix");
}

async function claim({ target }: GateContext, store: Store): Promise<void> {
  const identity = await withConnection(target, (client) => readIdentity(client, target));
  await claimStore(store, { systemIdentifier: identity.systemIdentifier, name: identity.database });
}

class GateRun {
  readonly state: GateState = { usedOverrides: [] };
  readonly reports: StepReport[] = [];

  constructor(
    private readonly context: GateContext,
    private readonly observer: GateObserver,
  ) {}

  async run(
    steps: readonly GateStep[],
    overrideRule: "unused overrides halt" | "unused overrides are fine",
    finish?: () => Promise<void>,
  ): Promise<GateResult> {
    try {
      await this.report("overrides", () => Promise.resolve(this.demandCurrentOverrides()));
      for (const step of steps) {
        // Cheap steps are over: an override that none of them needed is a mistake in the config.
        if (step === backupStep && overrideRule === "unused overrides halt") this.demandUsedOverrides();
        await this.report(step.name, () => this.runStep(step));
      }
      if (finish !== undefined) await this.report("receipt", async () => this.finished(finish));
      return this.conclude(undefined);
    } catch (thrown) {
      const error = databaseFailure(thrown) ?? thrown;
      if (!(error instanceof Failure) && !this.context.signal.aborted) throw error;
      return this.conclude(error);
    }
  }

  /** Runs one step, timed; a halt is reported before it is thrown on. */
  private async report(step: string, work: () => Promise<Omit<StepReport, "step" | "seconds">>): Promise<void> {
    this.context.signal.throwIfAborted();
    this.observer.onStepStart?.(step);
    const started = performance.now();
    const finish = (outcome: Omit<StepReport, "step" | "seconds">): void => {
      const report = { step, seconds: Math.round(performance.now() - started) / 1000, ...outcome };
      this.reports.push(report);
      this.observer.onStepEnd?.(report);
    };
    try {
      finish(await work());
    } catch (error) {
      finish({ outcome: "halt", summary: messageOf(error), evidence: detailsOf(error) });
      throw error;
    }
  }

  private async runStep(step: GateStep): Promise<Omit<StepReport, "step" | "seconds">> {
    const result = await step.run(this.context, this.state);
    const findings = result.findings ?? [];
    const overrides = findings.map((finding) => overrideFor(step.name, finding, this.context.settings.overrides));
    const halting = findings.filter((_, place) => overrides[place] === undefined);
    if (halting.length > 0) {
      throw new Refusal(`${step.name}: ${halting[0]!.message}`, {
        details: [...halting.map(({ message }) => message), ...(result.evidence ?? [])],
        ...(result.hint === undefined ? {} : { hint: result.hint }),
      });
    }
    const used = overrides.filter((override) => override !== undefined);
    this.state.usedOverrides.push(...used);
    return {
      outcome: result.skipped === true ? "skipped" : used.length > 0 ? "overridden" : "pass",
      summary: result.summary,
      evidence: [...used.map(describeOverride), ...findings.map(({ message }) => message), ...(result.evidence ?? [])],
    };
  }

  private demandCurrentOverrides(): Omit<StepReport, "step" | "seconds"> {
    const { overrides } = this.context.settings;
    const expired = expiredOverrides(overrides, new Date());
    if (expired.length > 0) {
      throw new Refusal(`the override of ${expired[0]!.what} expired on ${expired[0]!.expires}`, {
        hint: "remove it from the stack's config, or renew it with a new reason",
      });
    }
    return { outcome: "pass", summary: `${overrides.length} override(s) in force`, evidence: overrides.map(describeOverride) };
  }

  private demandUsedOverrides(): void {
    const unused = unusedOverrides(this.context.settings.overrides, this.state.usedOverrides);
    if (unused.length === 0) return;
    throw new Refusal(`the override of ${unused[0]!.what} was not needed by any step`, {
      hint: "remove it from the stack's config: it would wait for the day that something does need it",
    });
  }

  private async finished(finish: () => Promise<void>): Promise<Omit<StepReport, "step" | "seconds">> {
    await finish();
    return { outcome: "pass", summary: `receipt ${this.context.runId}`, evidence: [`SHA-256 ${this.state.receiptSha256 ?? ""}`] };
  }

  private conclude(error: unknown): GateResult {
    const failure = error instanceof Failure ? error : undefined;
    return {
      verdict: error === undefined ? "pass" : "halt",
      exitCode: error === undefined ? exitCode.pass : (failure?.exitCode ?? exitCode.interrupted),
      runId: this.context.runId,
      releaseVersion: this.context.releaseVersion,
      unchanged: false,
      receiptSha256: this.state.receiptSha256 ?? null,
      steps: this.reports,
      message: error === undefined ? null : messageOf(error),
      hint: failure?.hint ?? null,
      details: detailsOf(error),
    };
  }
}

function describeOverride({ what, reason, person, expires }: Override): string {
  return `OVERRIDE ${what} by ${person} until ${expires}: ${reason}`;
}

function detailsOf(error: unknown): string[] {
  return error instanceof Refusal ? [...error.details] : [];
}

/** Writes the receipt, accepts the environment as it is, and puts the receipt's name into the lease. */
async function issueReceipt(context: GateContext, run: GateRun, lease: Lease): Promise<void> {
  const store = demandStore(context);
  const { identity, backup, verification, scratch, usedOverrides } = run.state;
  if (identity === undefined || backup === undefined || verification === undefined) {
    throw new Error("a full gate passed without connection, backup and verification");
  }
  await acceptEnvironment({
    store,
    settings: context.settings.environment,
    runId: context.runId,
    // An override of the whole step covers every variable.
    overridden: usedOverrides.map(({ what }) => (what === environmentStep.name ? "*" : what.replace(`${environmentStep.name}:`, ""))),
  });
  const receipt: Receipt = {
    schemaVersion: 1,
    runId: context.runId,
    releaseVersion: context.releaseVersion,
    stack: context.stack,
    database: identity,
    backup: {
      tier: backup.tier,
      name: backup.name,
      depth: verification.depth,
      restoreSeconds: verification.restoreSeconds,
    },
    scratch: scratch?.place ?? null,
    recoveryPoint: { lsn: backup.lsn, utc: backup.takenAt },
    steps: run.reports,
    overrides: usedOverrides,
    settings: context.settings,
    addresses: { appUrl: context.addresses.appUrl ?? null, frontendUrl: context.addresses.frontendUrl ?? null },
    at: new Date().toISOString(),
  };
  run.state.receiptSha256 = await writeReceipt(store, receipt);
  await lease.pass({ receiptSha256: run.state.receiptSha256, releaseVersion: context.releaseVersion });
}
