/** Runs gate steps in order, each timed and reported, until the first halt; lets overrides pass single findings. */
import { type ExitCode, Failure, Refusal, exitCode, messageOf } from "../contract/failure";
import { databaseFailure } from "../database/databaseFailure";
import type { StepReport } from "../record/receipt";
import type { Override } from "../settings";
import type { GateContext, GateState, GateStep, StepResult } from "./context";
import { overrideFor } from "./overrides";
import { closeStarted } from "./scratch";

export interface GateObserver {
  onStepEnd?(report: StepReport): void;
}

export interface StepsResult {
  readonly verdict: "pass" | "halt";
  readonly exitCode: ExitCode;
  readonly steps: readonly StepReport[];
  /** Why it halted; null when it passed. */
  readonly message: string | null;
  readonly hint: string | null;
  readonly details: readonly string[];
  /** What the steps found out, also when one of them halted. */
  readonly state: GateState;
}

/** Never throws for what a step found or could not reach; a bug of ours passes through, once what was started is closed. */
export async function runSteps(
  context: GateContext,
  steps: readonly GateStep[],
  observer: GateObserver = {},
): Promise<StepsResult> {
  const state: GateState = { usedOverrides: [], reports: [] };
  try {
    for (const step of steps) {
      context.signal.throwIfAborted();
      await runStep(context, state, step, observer);
    }
    return {
      verdict: "pass",
      exitCode: exitCode.pass,
      steps: state.reports,
      message: null,
      hint: null,
      details: [],
      state,
    };
  } catch (thrown) {
    const error = causeOf(context.signal, thrown);
    if (!(error instanceof Failure) && !context.signal.aborted) {
      await closeStarted(state).catch(() => undefined);
      throw error;
    }
    return { ...describeHalt(error), verdict: "halt", steps: state.reports, state };
  }
}

/** What a lost lease or Ctrl-C broke off shows as the error of whatever was running: the cause is the signal's. */
function causeOf(signal: AbortSignal, thrown: unknown): unknown {
  const reason: unknown = signal.aborted ? signal.reason : undefined;
  return reason instanceof Failure ? reason : (databaseFailure(thrown) ?? thrown);
}

function describeHalt(error: unknown): Pick<StepsResult, "exitCode" | "message" | "hint" | "details"> {
  if (!(error instanceof Failure))
    return { exitCode: exitCode.interrupted, message: "interrupted", hint: null, details: [] };
  return { exitCode: error.exitCode, message: error.message, hint: error.hint ?? null, details: detailsOf(error) };
}

async function runStep(context: GateContext, state: GateState, step: GateStep, observer: GateObserver): Promise<void> {
  const started = performance.now();
  const report = (found: Omit<StepReport, "step" | "seconds">): void => {
    const end = { step: step.name, seconds: Math.round(performance.now() - started) / 1000, ...found };
    state.reports.push(end);
    observer.onStepEnd?.(end);
  };
  try {
    const result = await step.run(context, state);
    const used = demandOverrides(context, step, result);
    state.usedOverrides.push(...used);
    report({
      outcome: result.skipped === true ? "skipped" : used.length > 0 ? "overridden" : "pass",
      summary: result.summary,
      evidence: [
        ...used.map(describeOverride),
        ...(result.findings ?? []).map(({ message }) => message),
        ...(result.evidence ?? []),
      ],
    });
  } catch (thrown) {
    const error = causeOf(context.signal, thrown);
    report({ outcome: "halt", summary: messageOf(error), evidence: detailsOf(error) });
    throw error;
  }
}

/**
 * @returns the overrides that let the findings pass.
 * @throws Refusal when a finding has none.
 */
function demandOverrides(context: GateContext, step: GateStep, result: StepResult): Override[] {
  const findings = result.findings ?? [];
  const overrides = findings.map(
    (finding) => overrideFor(step.name, finding, context.settings.overrides) ?? finding.coveredBy,
  );
  const halting = findings.filter((_, place) => overrides[place] === undefined);
  const first = halting[0];
  if (first === undefined) return overrides.filter((override) => override !== undefined);
  throw new Refusal(`${step.name}: ${first.message}`, {
    details: [...halting.map(({ message }) => message), ...(result.evidence ?? [])],
    ...(result.hint === undefined ? {} : { hint: result.hint }),
  });
}

export function describeOverride({ what, reason, person, expires }: Override): string {
  return `OVERRIDE ${what} by ${person} until ${expires}: ${reason}`;
}

function detailsOf(error: unknown): string[] {
  return error instanceof Refusal ? [...error.details] : [];
}
