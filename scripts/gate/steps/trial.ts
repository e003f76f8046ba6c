/** Gate step: the pending migrations, run on a copy of what the verification restored. */
import { readManifest } from "../../backup/manifest";
import { Refusal } from "../../contract/failure";
import { withConnection } from "../../database/connect";
import { pendingMigrations } from "../../migrations/pending";
import { summarizeTrial, trialEvidence, tryMigrations } from "../../migrations/trial";
import type { Receipt } from "../../record/receipt";
import { readFingerprint } from "../../restore/compareCopy";
import { judgedStatements } from "../../verification/verifyReceipt";
import type { GateContext, GateFinding, GateState, GateStep, StepResult } from "../context";
import { coveringOverride, isOfTrial, namesInformation, overrideFor, unusedOverrides } from "../overrides";

export const trialStep: GateStep = {
  name: "trial",
  async run(context, state) {
    const why = whyNot(context, state);
    const result = why === undefined ? await attempt(context, state) : { summary: why, skipped: true };
    demandUsed(context, result.findings ?? [], state.migrations ?? []);
    return result;
  },
};

/** Whether the gate is going to try anything: a reused backup must then be restored. */
export function willTry({ settings }: GateContext, { migrations = [] }: GateState): boolean {
  return settings.migrations?.trial === "on" && migrations.length > 0 && settings.verification.depth === 4;
}

function whyNot(context: GateContext, state: GateState): string | undefined {
  const { settings } = context;
  if (settings.migrations === undefined) return "no migrations configured";
  if ((state.migrations ?? []).length === 0) return "no pending migration";
  if (settings.migrations.trial === "off") return "not tried: migrations.trial is off";
  if (!willTry(context, state))
    return `not tried: at verification.depth ${settings.verification.depth} nothing is restored`;
  return state.scratch === undefined ? "not tried: no restored copy" : undefined;
}

async function attempt(context: GateContext, state: GateState): Promise<StepResult> {
  const { settings, store, target, signal } = context;
  const { backup, migrations: judged = [] } = state;
  const scratch = await state.scratch;
  if (store === undefined || backup === undefined || scratch === undefined || settings.migrations === undefined)
    throw new Error("the trial needs the steps migrations, backup and verification before it");
  const { lockTimeoutSeconds } = settings.migrations;
  const configured = settings.migrations;
  const { pending } = await withConnection(target, (client) => pendingMigrations(client, configured));
  demandUnchanged(pending, judged);
  const manifest = await readManifest(store, backup);
  const trial = await tryMigrations({
    ...{ scratch: scratch.place, manifest, live: target, pending, lockTimeoutSeconds, signal },
    fingerprint: await readFingerprint(store, manifest),
    judged: judgedStatements({ migrations: judged }),
  });
  state.trial = trial;
  return {
    summary: summarizeTrial(trial),
    evidence: trialEvidence(trial),
    findings: trial.findings.map((finding) => {
      const coveredBy = coveringOverride(finding.id, judged, settings.overrides);
      return coveredBy === undefined ? finding : { ...finding, coveredBy };
    }),
    hint: "the live database is untouched: change the migration so that nothing is lost",
  };
}

/** The static verdict and this one must speak of the same files. */
function demandUnchanged(pending: readonly { file: string; sha256: string }[], judged: typeof pending): void {
  const names = (files: typeof pending): string => files.map(({ file, sha256 }) => `${file} ${sha256}`).join("\n");
  if (names(pending) === names(judged)) return;
  throw new Refusal("the pending migrations changed after they were judged", { hint: "run the gate again" });
}

/** The step `unused-overrides` stands before the backup, so that a mistake costs no backup; ours come later. */
function demandUsed({ settings }: GateContext, findings: readonly GateFinding[], judged: Receipt["migrations"]): void {
  const own = settings.overrides.filter((override) => isOfTrial(override) || namesInformation(override, judged));
  const used = findings.flatMap((finding) => overrideFor("trial", finding, own) ?? finding.coveredBy ?? []);
  const unused = unusedOverrides(own, used)[0];
  if (unused === undefined) return;
  throw new Refusal(`the override of ${unused.what} was not needed by the trial`, {
    hint: "remove it from the stack's config: it would wait for the day that something does need it",
    details: findings.map(({ message }) => message),
  });
}
