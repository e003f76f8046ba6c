/**
 * The strategy's Data Loss Emergency Response in one run: releases stop, the damage is assessed, a way back is decided, the
 * damaged state is stored, the way back is taken, the result is verified and tested, and releases go on. Each step may be run
 * again; what is done is on record, so that a killed run is gone on with where it was.
 */
import { type Manifest, readManifest } from "../backup/manifest";
import { Damage, type ExitCode, Failure, Refusal, Unavailable, exitCode, messageOf } from "../contract/failure";
import {
  type Emergency,
  type EmergencyChoice,
  type EmergencyStep,
  type EmergencyTurn,
  emergencySteps,
  freshEmergency,
  readEmergency,
  takeEmergencyTurn,
} from "../control/emergency";
import { setFreeze } from "../control/freeze";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, readIdentity } from "../database/identity";
import { type DatabaseTarget, withDatabase } from "../database/target";
import { beginInTimeline } from "../record/commandTimeline";
import { listIncidents, openIncident, recordIncident } from "../record/incident";
import { type Receipt, readTrustedReceipt } from "../record/receipt";
import type { IncidentChannels } from "../record/incidentNotice";
import { newestRun } from "../record/releaseEvents";
import { type RestoreMode, readRestore } from "../record/restoreEvents";
import { addressesOf } from "../release/postDeploy";
import { planRollback, rollBack } from "../release/rollback";
import type { Platform, Platforms } from "../release/rollbackTargets";
import { planUnfreeze, unfreeze } from "../release/unfreeze";
import { isEmpty } from "../repair/plan";
import { prepareRepair } from "../repair/repair";
import { basisOfBackup, parseColumns } from "../repair/request";
import { whyNoSwap } from "../restore/swapDatabases";
import { createDatabaseLike } from "../scratch/scratchServer";
import type { OperationSettings } from "../settings";
import type { Store } from "../store/store";
import { notComparedIn } from "../verification/impact";
import { findingsOf, judgedStatements } from "../verification/verifyReceipt";
import { assess } from "./assess";
import type { Assessment } from "./assessment";
import { EmergencyNotices } from "./emergencyNotices";
import { planEmergency } from "./emergencyPlan";
import { runEmergencyTests } from "./emergencyTests";
import { readIncidentIds } from "./incidentIds";
import { immediateSeconds } from "./ladder";
import { reachDatabase } from "./reachDatabase";
import { recordAssessment } from "./recordAssessment";
import { restoreLive } from "./restoreLive";
import { secureLive } from "./safetyBackup";
import { verifyRestored } from "./verifyRestored";

export interface EmergencyInput {
  readonly store: Store;
  readonly live: DatabaseTarget;
  readonly clients: Platforms;
  readonly configured: readonly Platform[];
  readonly settings: OperationSettings;
  readonly addresses: { readonly appUrl: string | undefined; readonly frontendUrl: string | undefined };
  readonly runId: string;
  /** Of a new one; one that is under way keeps its own. */
  readonly person: string;
  readonly reason: string;
  /** Asked once it is known what is damaged. */
  readonly decide: (assessment: Assessment) => Promise<EmergencyChoice>;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
  /** How patient one is with who is told. Default: as each channel has it. */
  readonly patience?: Pick<IncidentChannels, "env" | "pace" | "milliseconds" | "pagePace">;
}

export interface TimedStep {
  readonly step: EmergencyStep;
  readonly seconds: number | null;
  readonly detail: string;
  /** Seconds from the beginning of the emergency to the end of the step, killed runs and pauses included. */
  readonly elapsedSeconds: number | null;
  /** The strategy's last minute for it, in seconds. */
  readonly limitSeconds: number;
  readonly withinStrategy: boolean | null;
}

export interface EmergencyResult {
  readonly id: string;
  readonly incident: string | null;
  readonly choice: EmergencyChoice | null;
  /** The backup of the damaged state; null: nothing was changed, or nothing was left to store. */
  readonly damaged: string | null;
  readonly steps: readonly TimedStep[];
}

/** The strategy's "0-5 minutes" and "5-30 minutes": what each step belongs to. */
const limits: Readonly<Partial<Record<EmergencyStep, number>>> = {
  "deploy:freeze": immediateSeconds,
  "db:assess": immediateSeconds,
};
const recoveryLimit = 30 * 60;

interface Run extends EmergencyInput {
  readonly turn: EmergencyTurn;
}

/** @throws whatever a step throws: it stays open, releases stay frozen, and the next run goes on there. */
export async function runEmergency(input: EmergencyInput): Promise<EmergencyResult> {
  const { store, runId, person, reason, settings, patience, onProgress } = input;
  const turn = await takeEmergencyTurn(store, runId, (current) =>
    current?.state === "under way" ? current : freshEmergency({ id: runId, person, reason }),
  );
  const signal = AbortSignal.any([input.signal, turn.lost]);
  const channels = { ...patience, store, communication: settings.communication, onProgress };
  const notices = new EmergencyNotices(channels, signal);
  try {
    const run: Run = { ...input, turn, signal };
    for (const [place, step] of emergencySteps.entries()) {
      const label = `${place + 1} of ${emergencySteps.length}: ${nameOf(step, turn.document)}`;
      if (turn.isDone(step)) onProgress(`${label}: done before`);
      else await carryOut(run, step, label);
      notices.tell(turn.document);
    }
    // Before it counts as over: a run that is killed meanwhile is gone on with, and tells the rest.
    await notices.settled();
    await turn.end("done");
    return resultOf(turn.document);
  } catch (error) {
    await turn.end().catch(() => undefined);
    turn.lost.throwIfAborted();
    throw error;
  } finally {
    await notices.settled();
  }
}

/** @returns what was given up; undefined: none is under way. What its steps did stays as it is, the freeze too. */
export async function abandonEmergency(store: Store, runId: string): Promise<Emergency | undefined> {
  const current = await readEmergency(store);
  if (current?.state !== "under way") return undefined;
  const turn = await takeEmergencyTurn(store, runId, (now) => now ?? current);
  await turn.end("abandoned");
  return current;
}

export function resultOf({ id, incident, choice, damaged, steps, startedAt }: Emergency): EmergencyResult {
  const timed = steps.map(({ step, seconds, detail, doneAt }): TimedStep => {
    const limitSeconds = limits[step] ?? recoveryLimit;
    const elapsedSeconds = doneAt === null ? null : Math.round((Date.parse(doneAt) - Date.parse(startedAt)) / 1000);
    const withinStrategy = elapsedSeconds === null ? null : elapsedSeconds <= limitSeconds;
    return { step, seconds, detail, elapsedSeconds, limitSeconds, withinStrategy };
  });
  return { id, incident, choice, damaged, steps: timed };
}

/** `recover` is named by what was chosen. */
function nameOf(step: EmergencyStep, { choice }: Emergency): string {
  return step === "recover" ? `recover${choice === null ? "" : ` (${choice.way})`}` : step;
}

async function carryOut(run: Run, step: EmergencyStep, label: string): Promise<void> {
  const { turn, store, signal, onProgress } = run;
  signal.throwIfAborted();
  const attempt = await turn.begin(step);
  onProgress(`${label}${attempt === 1 ? "" : `, attempt ${attempt}`}`);
  const command = step === "recover" ? (turn.document.choice?.way ?? step) : step;
  let entry = await beginInTimeline(store, `${command} (emergency ${turn.document.id})`, onProgress);
  const started = performance.now();
  try {
    const hadIncident = step !== "deploy:freeze" || (await listIncidents(store, "open")).length > 0;
    const detail = await work[step](run, attempt);
    signal.throwIfAborted();
    // The first step opens the incident, and stands in it all the same.
    if (!hadIncident) entry = await beginInTimeline(store, `${command} (emergency ${turn.document.id})`, onProgress);
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    await turn.done(step, seconds, detail);
    await entry.end(exitCode.pass);
    const timed = resultOf(turn.document).steps.find((each) => each.step === step)!;
    const of = `${clock(timed.elapsedSeconds ?? 0)} of the strategy's ${clock(timed.limitSeconds)}`;
    onProgress(
      `${label}: done in ${seconds} s (${of}${timed.withinStrategy === false ? ": TOO LATE" : ""}): ${detail}`,
    );
  } catch (error) {
    await entry.end(codeOfError(error));
    throw error;
  }
}

function codeOfError(error: unknown): ExitCode | 70 {
  return error instanceof Failure ? error.exitCode : 70;
}

/** `4:07`. */
function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;
}

/** What each step does, and what it says of itself when it is done. */
const work: Readonly<Record<EmergencyStep, (run: Run, attempt: number) => Promise<string>>> = {
  "deploy:freeze": freeze,
  "db:assess": assessDamage,
  "db:backup": storeDamaged,
  recover,
  "db:emergency-verify": verify,
  "test:emergency": test,
  "deploy:unfreeze": lift,
};

async function freeze({ store, turn, live, clients, configured }: Run): Promise<string> {
  const { id, person, reason } = turn.document;
  const text = `emergency ${id}: ${reason}`;
  await setFreeze(store, { kind: "manual", runId: null, reason: text, person, missingRows: {} });
  const [open] = await listIncidents(store, "open");
  const incident =
    open ??
    (await openIncident(store, {
      ...{ kind: "emergency", title: reason, person, receipt: null, impact: [], notVerified: [] },
      began: { notBefore: null, notAfter: null },
      ids: await readIncidentIds({ store, live, clients, configured }),
    }));
  await turn.note({ incident });
  return `no gate and no release passes; incident ${incident}`;
}

async function assessDamage(run: Run): Promise<string> {
  const { store, turn, configured, onProgress } = run;
  const assessment = await assess({ ...run, application: configured.length > 0, copy: "auto" });
  await recordAssessment(store, assessment, onProgress);
  const choice = await run.decide(assessment);
  await turn.note({ choice });
  return `${assessment.verdict}; decided: ${choice.way}${choice.backup === null ? "" : ` by ${choice.backup.name}`}`;
}

function decided({ turn }: Run): EmergencyChoice {
  const { choice } = turn.document;
  if (choice === null) throw new Error("an emergency went on undecided");
  return choice;
}

/** Before anything changes it: whatever is decided may turn out to be wrong. */
async function storeDamaged(run: Run, attempt: number): Promise<string> {
  const { store, live, turn, signal, onProgress } = run;
  const { way, gone, safetyBackup } = decided(run);
  if (way === "nothing" || way === "deploy:rollback") return "not needed: this way back does not touch the database";
  const { state, identity, detail } = await reachDatabase(live);
  if (state === "gone" && gone) return "there is no database to store";
  if (state === "gone")
    throw new Refusal(`${detail}: it was dropped after it was assessed`, {
      hint: "npm run emergency -- --abandon, then npm run emergency: it assesses anew",
    });
  if (identity === null) throw new Unavailable(detail, { hint: again });
  const name = await secureLive({
    ...{ store, live, identity, runId: turn.document.id, isRetry: attempt > 1, signal, onProgress },
    // One that somebody made again meanwhile may be empty.
    ...(gone ? {} : { source: identity }),
    ...(safetyBackup === null ? {} : { named: safetyBackup }),
  });
  await turn.note({ damaged: name });
  return name === null
    ? "the database was made again meanwhile, without a row: there is nothing to store"
    : `the damaged state is in ${name}${safetyBackup === null ? ", marked as suspect" : ", as was decided"}`;
}

async function recover(run: Run, attempt: number): Promise<string> {
  switch (decided(run).way) {
    case "deploy:rollback":
      return rollBackApplication(run, attempt);
    case "db:repair":
      return repair(run);
    case "db:emergency-restore":
      return restore(run, attempt);
    case "nothing":
      return "nothing to do";
  }
}

async function rollBackApplication(run: Run, attempt: number): Promise<string> {
  const { store, clients, configured, settings, turn, signal, onProgress } = run;
  const plan = await planRollback({ store, clients, configured, settings, to: {} });
  const result = await rollBack(plan, {
    ...{ store, clients, signal, onProgress, runId: `${turn.document.id}-rollback-${attempt}` },
    // The next steps ask whether the application answers.
    addresses: { appUrl: undefined, frontendUrl: undefined },
  });
  const failed = result.sides.filter(({ outcome }) => outcome === "failed");
  if (failed.length === 0) return result.sides.map(({ platform, outcome }) => `${platform} ${outcome}`).join(", ");
  const details = failed.map(({ platform, message }) => `${platform}: ${message}`);
  if (result.exitCode === exitCode.unreachable)
    throw new Unavailable(`the application did not go back: ${details.join("; ")}`);
  throw new Refusal("the application did not go back", { details, hint: again });
}

const again = "mend that, then run npm run emergency again: it goes on here";

async function repair(run: Run): Promise<string> {
  const { store, live, settings, signal, onProgress } = run;
  const { receipt, backup, columns, boundary } = decided(run);
  if (backup === null)
    throw new Refusal("no backup could be compared with: nothing can be repaired from", { hint: again });
  const basis =
    receipt === null ? await basisOfBackup(store, backup.name, settings) : await readTrustedReceipt(store, receipt);
  const prepared = await prepareRepair({
    ...{ store, ...basis, live, columns: parseColumns(columns), signal, onProgress },
    ...(boundary === null ? {} : { boundary }),
  });
  try {
    if (isEmpty(prepared.plan) && prepared.findings.length === 0) return "nothing is missing any more";
    const after = findingsOf(await prepared.apply());
    if (after.length > 0) throw new Refusal("written, and the comparison still finds a loss", { details: after });
    return `put back from ${backup.name}; every statement: ${prepared.file ?? ""}, which holds rows: delete it afterwards`;
  } finally {
    await prepared.close();
  }
}

async function restore(run: Run, attempt: number): Promise<string> {
  const { store, live, turn, signal, onProgress } = run;
  const { backup, inPlace, gone } = decided(run);
  if (backup === null) throw new Refusal("no backup to restore is known", { hint: again });
  const { manifest } = await planEmergency(store, backup, onProgress);
  const runIdOf = (number: number): string => `${turn.document.id}-restore-${number}`;
  for (let former = 1; former < attempt; former++) {
    const event = await readRestore(store, runIdOf(former));
    if (event !== undefined && (event.event === "restored" || (await isThere(live, event.aside))))
      return `${event.backup?.name ?? manifest.name} was restored by a run that died right after it${nowAside(event)}`;
  }
  if (gone) await remake(run, manifest);
  const identity = await withConnection(live, (client) => readIdentity(client, live));
  const mode = inPlace || (await whyNoSwap(live)) !== null ? "in-place" : "swap";
  const safetyBackup = await storedFor(run, { identity, mode, attempt });
  const restored = await restoreLive({
    ...{ store, manifest, live, identity, mode, runId: runIdOf(attempt), signal, onProgress },
    ...(safetyBackup === undefined ? {} : { safetyBackup }),
  });
  for (const note of restored.notes) onProgress(`note: ${note}`);
  return `${manifest.name}: ${restored.rows} rows of ${restored.tables} tables equal to the backup${nowAside(restored)}`;
}

function nowAside({ aside }: { readonly aside: string | null }): string {
  return aside === null ? "" : `; the former database is ${aside}`;
}

/** Whether the server has a database of this name: one that was renamed says that what took its place is in it. */
async function isThere(live: DatabaseTarget, database: string | null): Promise<boolean> {
  return database !== null && (await reachDatabase(withDatabase(live, database))).state === "reachable";
}

/**
 * The backup that is enough for what is live now: null where there is no row to lose, undefined where one is to be taken.
 * What is swapped stays beside what takes its place; what is replaced in place does not, and after an attempt that failed
 * people may have gone on writing for long.
 */
async function storedFor(
  { store, live, turn, signal, onProgress }: Run,
  { identity, mode, attempt }: { identity: DatabaseIdentity; mode: RestoreMode; attempt: number },
): Promise<string | null | undefined> {
  const { damaged } = turn.document;
  if (damaged === null) {
    const taken = await secureLive({ store, live, identity, runId: turn.document.id, signal, onProgress });
    if (taken !== null) await turn.note({ damaged: taken });
    return taken;
  }
  return mode === "in-place" && attempt > 1 ? undefined : damaged;
}

/** An empty database where one was dropped, so that there is something that can be replaced. */
async function remake({ live, onProgress }: Run, manifest: Manifest): Promise<void> {
  if ((await reachDatabase(live)).state !== "gone") return;
  const outside = withDatabase(live, "postgres");
  for (const note of await createDatabaseLike(outside, live.database, manifest)) onProgress(`note: ${note}`);
  onProgress(`${live.database} was made again, empty`);
}

/** By what the result is judged. */
interface Basis {
  /** What the live database is compared with. */
  readonly backup: NonNullable<EmergencyChoice["backup"]>;
  /** The receipt of that backup, whose migrations explain what is live; null: none, or the backup itself is live now. */
  readonly receipt: Receipt | null;
  /** Those of that receipt, else of the newest release, else the run's own. */
  readonly settings: OperationSettings;
  readonly addresses: EmergencyInput["addresses"];
}

async function basisOf(run: Run): Promise<Basis> {
  const { store, settings, addresses } = run;
  const { way, receipt: decidedOn, backup } = decided(run);
  if (backup === null)
    throw new Refusal("there is no backup to verify against", {
      hint: "npm run emergency -- --abandon, then by hand: docs/emergency.md",
    });
  const known = decidedOn === null ? await newestReceipt(run) : (await readTrustedReceipt(store, decidedOn)).receipt;
  return {
    backup,
    receipt: way === "db:emergency-restore" || decidedOn === null ? null : (known ?? null),
    settings: known?.settings ?? settings,
    addresses: known === undefined ? addresses : addressesOf(run, known),
  };
}

/** One that is no longer what its gate wrote must not stand in the way. */
async function newestReceipt({ store, onProgress }: Run): Promise<Receipt | undefined> {
  const newest = await newestRun(store, undefined);
  try {
    return newest === undefined ? undefined : (await readTrustedReceipt(store, newest.runId)).receipt;
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    onProgress(`passed over: ${error.message}`);
    return undefined;
  }
}

async function verify(run: Run): Promise<string> {
  const { store, live, turn, signal, onProgress } = run;
  const { receipt, backup, settings, addresses } = await basisOf(run);
  const result = await verifyRestored({
    ...{ store, live, settings, addresses, signal, onProgress },
    copyOf: receipt ?? { runId: turn.document.id, backup, scratch: null },
    judged: receipt === null ? [] : judgedStatements(receipt),
  });
  if (result.verdict === "fail")
    throw new Refusal("what was recovered is not verified: releases stay frozen", {
      details: result.findings.slice(0, 20),
      hint: `${again}; or: npm run emergency -- --abandon, and docs/emergency.md`,
    });
  const text = `nothing of ${backup.name} is missing; health ${result.health.outcome}`;
  const notVerified = [
    ...notComparedIn(result.data.comparison),
    ...(result.health.outcome === "not configured" ? ["the application: no health check is configured"] : []),
    ...(result.dataChecks.results.length === 0 ? ["no data check was run"] : []),
    `what was written after ${(await readManifest(store, backup)).snapshot.takenAt} has nothing to be compared with`,
  ];
  const { incident } = turn.document;
  if (incident !== null)
    await recordIncident(store, incident, { event: "mitigated", person: null, text, notVerified }).catch(
      (error: unknown) => onProgress(`warning: that is not in the incident's timeline: ${messageOf(error)}`),
    );
  return text;
}

async function test(run: Run): Promise<string> {
  const tests = await runEmergencyTests({ ...run, ...(await basisOf(run)) });
  if (tests.verdict === "fail")
    throw new Refusal("what was recovered does not work: releases stay frozen", {
      details: tests.findings,
      hint: again,
    });
  const untested = tests.notTested.length === 0 ? "" : `; not tested: ${tests.notTested.join(", ")}`;
  return `data checks ${tests.dataChecks.verdict}, health ${tests.health.outcome}, command ${tests.integration === null ? "none" : "passed"}${untested}`;
}

async function lift(run: Run): Promise<string> {
  const { store, live, turn, signal, onProgress } = run;
  const { acceptMissing, unfreeze: wanted } = decided(run);
  if (!wanted) return "releases stay frozen, as was decided: npm run deploy:unfreeze lifts that";
  const { person, reason } = turn.document;
  const input = { store, target: live, person, reason: `emergency over: ${reason}`, acceptMissing, signal, onProgress };
  const { lifted } = await unfreeze(input, await planUnfreeze(input));
  return lifted.length === 0 ? "releases were not frozen any more" : `${lifted.length} freeze(s) lifted`;
}
