/**
 * The strategy's planned rollback: nobody writes, the backup of before a release takes the live database's place, the
 * application goes back to what was live then, both are verified, and only then the application may write again. Each
 * step may be run again; what is done is on record, so that a killed run is gone on with where it was.
 */
import { type Manifest, readManifest, resolveBackup } from "../backup/manifest";
import { Refusal, Unavailable, UsageError, exitCode } from "../contract/failure";
import { setFreeze } from "../control/freeze";
import { changedPlatforms, isFenced, readMaintenance } from "../control/maintenance";
import {
  type PlannedRollback,
  type PlannedStep,
  type PlannedTurn,
  demandFreeTurn,
  freshSteps,
  isUnderWay,
  nextStep,
  plannedSteps,
  readPlannedRollback,
  takePlannedTurn,
} from "../control/plannedRollback";
import { withConnection } from "../database/connect";
import { type DatabaseIdentity, describeIdentity, isSameDatabase, readWritableIdentity } from "../database/identity";
import type { DatabaseTarget } from "../database/target";
import { type TrustedReceipt, readTrustedReceipt } from "../record/receipt";
import { newestRun } from "../record/releaseEvents";
import { type RestoreEvent, readRestore } from "../record/restoreEvents";
import { type IncidentNoticeName, tellOfOpenIncidents } from "../record/incidentNotice";
import { addressesOf } from "../release/postDeploy";
import { type RollbackPlan, planRollback, rollBack } from "../release/rollback";
import { type Platform, type Platforms, platforms } from "../release/rollbackTargets";
import { whyNoSwap } from "../restore/swapDatabases";
import type { OperationSettings } from "../settings";
import type { Store } from "../store/store";
import { type MaintenancePlan, liftFence, planMaintenance, raiseFence, readFenceStatus } from "./maintenance";
import { clearPlatforms, planPlatforms, raisePlatforms } from "./platformMaintenance";
import { restoreLive } from "./restoreLive";
import { verifyRestored } from "./verifyRestored";

export interface PlannedRequest {
  readonly store: Store;
  readonly live: DatabaseTarget;
  readonly clients: Platforms;
  /** Platforms whose credentials are there. */
  readonly configured: readonly Platform[];
  /** Where there is no receipt. */
  readonly settings: OperationSettings;
  readonly runId: string;
  readonly person: string;
  /** Which release to undo; default: the newest of `stack`. */
  readonly receipt?: string | undefined;
  /** Default: any stack. */
  readonly stack?: string | undefined;
  /** A backup's name; default: the one that the receipt's gate verified. */
  readonly backup?: string | undefined;
  /** Deployments to go back to; default: as `planRollback` has it. */
  readonly to: Readonly<Partial<Record<Platform, string>>>;
  /** Replace what is in the live database also where it could be renamed. */
  readonly inPlace: boolean;
  readonly safetyBackup?: string | undefined;
}

export interface PlannedPlan {
  /** What is on record once it begins: of a former run, if one is under way. */
  readonly document: Omit<PlannedRollback, "turn">;
  readonly isResumed: boolean;
  readonly identity: DatabaseIdentity;
  readonly manifest: Manifest;
  readonly release: TrustedReceipt | undefined;
  readonly settings: OperationSettings;
  /** Null: the fence is up already. */
  readonly fence: MaintenancePlan | null;
  /** What the maintenance will do on the platforms, a line each; none where the fence is up already. */
  readonly told: readonly string[];
  /** Null: neither platform is configured, and the release used none. */
  readonly application: RollbackPlan | null;
  /** Why the live database cannot be renamed, where that decided; else null. */
  readonly inPlaceBecause: string | null;
}

/**
 * Looks only.
 *
 * @throws Unavailable when a run carries one out; Refusal when one towards something else is under way, or the backup or
 *   the receipt is of another database; UsageError when there is no receipt and no backup was named.
 */
export async function planPlannedRollback(request: PlannedRequest): Promise<PlannedPlan> {
  const { store, live } = request;
  const current = await readPlannedRollback(store);
  demandFreeTurn(current, new Date());
  const former = isUnderWay(current) ? current : undefined;
  if (former !== undefined) demandSameRequest(former, request);
  const identity = await withConnection(live, (client) => readWritableIdentity(client, live));
  const release = await findRelease(request, former);
  const settings = release?.receipt.settings ?? request.settings;
  const manifest = await readManifest(store, await chooseBackup(request, former, release));
  for (const of of [manifest.database, ...(former === undefined ? [] : [former.database])])
    if (!isSameDatabase(of, identity))
      throw new Refusal(`DATABASE_URL is ${describeIdentity(identity)}, not ${describeIdentity(of)}`, {
        hint: "a planned rollback restores the database that its backup was taken of",
      });
  const application = await planApplication(request, former, release, settings);
  const why = former !== undefined || request.inPlace ? null : await whyNoSwap(live);
  const document = former ?? {
    ...{ schemaVersion: 1, id: request.runId, state: "under way", person: request.person },
    ...{ startedAt: new Date().toISOString(), database: identity, receipt: release?.receipt.runId ?? null },
    backup: { tier: manifest.tier, name: manifest.name },
    mode: request.inPlace || why !== null ? "in-place" : "swap",
    safetyBackup: request.safetyBackup ?? null,
    deployments: Object.fromEntries(
      (application?.sides ?? []).flatMap(({ platform, to }) => (to === undefined ? [] : [[platform, to]])),
    ),
    ...{ fence: null, steps: freshSteps() },
  };
  const isUp = former !== undefined && nextStep(former) !== "deploy:maintenance on";
  const fence = isUp ? null : await planMaintenance({ store, live }, settings.rollback.fencedRoles);
  const frontendUrl = release?.receipt.addresses.frontendUrl ?? undefined;
  const told = isUp ? [] : await planPlatforms({ clients: request.clients, settings, frontendUrl });
  return {
    ...{ document, isResumed: former !== undefined, identity, manifest, release, settings, fence, told, application },
    inPlaceBecause: why,
  };
}

/** Whoever goes on need not say again what was said; who says something else may not know of the other one. */
function demandSameRequest(former: PlannedRollback, request: PlannedRequest): void {
  const { receipt, backup, safetyBackup, deployments } = former;
  const differs = [
    [request.receipt, receipt],
    [request.backup, backup.name],
    [request.safetyBackup, safetyBackup],
    ...platforms.map((platform) => [request.to[platform], deployments[platform]]),
  ].some(([asked, known]) => asked !== undefined && asked !== known);
  if (!differs && !(request.inPlace && former.mode === "swap")) return;
  throw new Refusal(
    `a planned rollback to ${backup.name} is under way, begun by ${former.person} at ${former.startedAt}: nothing was changed`,
    { hint: "go on with it: npm run rollback:planned; or give it up first: npm run rollback:planned -- --abandon" },
  );
}

async function findRelease(
  { store, receipt, stack }: PlannedRequest,
  former: PlannedRollback | undefined,
): Promise<TrustedReceipt | undefined> {
  const runId = former === undefined ? (receipt ?? (await newestRun(store, stack))?.runId) : former.receipt;
  return runId === undefined || runId === null ? undefined : readTrustedReceipt(store, runId);
}

async function chooseBackup(
  { store, backup }: PlannedRequest,
  former: PlannedRollback | undefined,
  release: TrustedReceipt | undefined,
): Promise<PlannedRollback["backup"]> {
  if (former !== undefined) return former.backup;
  if (backup !== undefined) return resolveBackup(store, backup);
  if (release !== undefined) return release.receipt.backup;
  throw new UsageError(`${store.url} holds no receipt of a release: expected a backup's name to go back to`, {
    hint: "npm run db:list names them; then npm run rollback:planned -- <backup>",
  });
}

async function planApplication(
  request: PlannedRequest,
  former: PlannedRollback | undefined,
  release: TrustedReceipt | undefined,
  settings: OperationSettings,
): Promise<RollbackPlan | null> {
  const { store, clients, configured, stack } = request;
  const to = former?.deployments ?? request.to;
  const released = platforms.some((platform) => settings[platform] !== undefined || to[platform] !== undefined);
  if (configured.length === 0 && !released) return null;
  const plan = await planRollback({
    ...{ store, clients, configured, stack, settings, receiptRunId: release?.receipt.runId },
    to: Object.fromEntries(
      platforms.flatMap((platform) => (to[platform] === undefined ? [] : [[platform, to[platform]]])),
    ),
  });
  const lost = plan.sides.find((side) => side.to === undefined);
  if (lost === undefined) return plan;
  throw new UsageError(`${lost.platform}: nothing is known that it could be rolled back to`, {
    hint: "name the deployment: --to-deployment <id>",
  });
}

export interface PlannedExecution extends Pick<PlannedRequest, "store" | "live" | "clients" | "runId"> {
  /** For the health checks; where one is undefined, the receipt's. */
  readonly addresses: { readonly appUrl: string | undefined; readonly frontendUrl: string | undefined };
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

export interface PlannedResult {
  readonly id: string;
  readonly backup: string;
  readonly steps: PlannedRollback["steps"];
  /** Of all steps together, without what killed attempts took. */
  readonly seconds: number;
}

/** @throws whatever a step throws: it stays open, the fence stays up, and the next run goes on there. */
export async function runPlannedRollback(plan: PlannedPlan, execution: PlannedExecution): Promise<PlannedResult> {
  const { store, runId, onProgress } = execution;
  const turn = await takePlannedTurn(store, runId, (current) => {
    if (isUnderWay(current) === plan.isResumed && (!plan.isResumed || current?.id === plan.document.id))
      return isUnderWay(current) ? current : plan.document;
    throw new Refusal("the planned rollback changed since its plan was shown: nothing was changed", {
      hint: "run again",
    });
  });
  try {
    const signal = AbortSignal.any([execution.signal, turn.lost]);
    const run: Run = { ...execution, signal, plan, turn };
    await freeze(run);
    await keepFenceUp(run);
    for (const [place, step] of plannedSteps.entries()) {
      const label = `${place + 1} of ${plannedSteps.length}: ${step}`;
      if (turn.isDone(step)) onProgress(`${label}: done before`);
      else await carryOut(run, step, label);
    }
    await tell(run, "recovery-ended", `${way} to ${plan.manifest.name} is done, and verified`);
    await tell(run, "incident-mitigated", `what was recovered is verified: ${way}`);
    await turn.end("done");
    const { id, backup, steps } = turn.document;
    const seconds = steps.reduce((sum, step) => sum + (step.seconds ?? 0), 0);
    return { id, backup: backup.name, steps, seconds: Math.round(seconds * 10) / 10 };
  } catch (error) {
    await turn.end().catch(() => undefined);
    turn.lost.throwIfAborted();
    throw error;
  }
}

/**
 * Gives up one that is under way: what its steps did stays as it is, the fence too.
 *
 * @returns what was given up; undefined: none is under way.
 * @throws Unavailable when a run carries it out.
 */
export async function abandonPlannedRollback(store: Store, runId: string): Promise<PlannedRollback | undefined> {
  const current = await readPlannedRollback(store);
  if (!isUnderWay(current)) return undefined;
  const turn = await takePlannedTurn(store, runId, (now) => {
    if (isUnderWay(now)) return now;
    throw new Refusal("no planned rollback is under way any more: nothing was changed");
  });
  await turn.end("abandoned");
  return current;
}

interface Run extends PlannedExecution {
  readonly plan: PlannedPlan;
  readonly turn: PlannedTurn;
}

async function carryOut(run: Run, step: PlannedStep, label: string): Promise<void> {
  const { turn, signal, onProgress } = run;
  signal.throwIfAborted();
  const attempt = await turn.begin(step);
  onProgress(`${label}${attempt === 1 ? "" : `, attempt ${attempt}`}`);
  const started = performance.now();
  const detail = await work[step](run, attempt);
  signal.throwIfAborted();
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  await turn.done(step, seconds, detail);
  onProgress(`${label}: done in ${seconds} s: ${detail}`);
}

/** Nothing is to be released meanwhile; `deploy:unfreeze` lifts it when all is well. */
async function freeze(run: Run): Promise<void> {
  const { store, plan, turn } = run;
  const { id, person } = turn.document;
  const reason = `planned rollback ${id}`;
  await setFreeze(store, { kind: "manual", runId: null, reason, person, missingRows: {} });
  if (plan.isResumed) return;
  const text = `every gate and release is frozen by ${person}: ${reason}`;
  await tell(run, "frozen", text);
  await tell(run, "recovery-started", `${way} to ${plan.manifest.name} begins`);
}

const way = "rollback:planned";

/** Once for each planned rollback where an incident is open. */
function tell({ store, plan, turn, onProgress }: Run, event: IncidentNoticeName, text: string): Promise<void> {
  const channels = { store, communication: plan.settings.communication, onProgress };
  return tellOfOpenIncidents({ event, text, way, key: `${way} ${turn.document.id}` }, channels);
}

/** Whoever goes on must not believe in a fence that somebody lifted since: it is proven again, else raised again. */
async function keepFenceUp(run: Run): Promise<void> {
  const { store, live, turn, onProgress } = run;
  const isLifting = turn.document.steps.at(-1)?.state !== "open";
  if (!turn.isDone("deploy:maintenance on") || isLifting) return;
  const { state, findings } = await readFenceStatus({ store, live });
  if (state === "on" && findings.length === 0) return;
  onProgress("the write fence does not stand any more: raising it again");
  await raise(run);
}

async function raise(run: Run): Promise<string> {
  const { store, live, plan, addresses } = run;
  const { settings, release } = plan;
  const fence = await planMaintenance({ store, live }, settings.rollback.fencedRoles);
  const raised = await raiseFence(run, fence);
  const { frontendUrl } = release === undefined ? addresses : addressesOf(run, release.receipt);
  const told = await raisePlatforms({ ...run, settings, frontendUrl });
  const fenced = `${fence.fenced.roles.join(", ")} cannot write: ${raised.refused} write(s) tried, all refused`;
  return [fenced, ...told].join("; ");
}

/** What each step does, and what it says of itself when it is done. */
const work: Readonly<Record<PlannedStep, (run: Run, attempt: number) => Promise<string>>> = {
  "deploy:maintenance on": raise,
  "db:restore": restore,
  "deploy:rollback": rollBackApplication,
  "db:verify:rollback": verify,
  "deploy:maintenance off": lift,
};

async function restore(run: Run, attempt: number): Promise<string> {
  const { store, live, plan, turn, signal, onProgress } = run;
  const { id, mode } = turn.document;
  const former = await formerRestores(store, id, attempt);
  if (former.some(({ event }) => event?.event === "restored"))
    return `${plan.manifest.name} was restored by a run that died right after it`;
  const safetyBackup = turn.document.safetyBackup ?? (await safetyBackupOf(run, attempt, former));
  const restored = await restoreLive({
    ...{ store, live, mode, signal, onProgress, manifest: plan.manifest, identity: plan.identity },
    runId: restoreRunId(id, attempt),
    ...(safetyBackup === null ? {} : { safetyBackup }),
  });
  for (const { what, message } of restored.tolerated) onProgress(`tolerated: ${what}: ${message}`);
  for (const note of restored.notes) onProgress(`note: ${note}`);
  const aside = restored.aside === null ? "" : `; the former database is ${restored.aside}`;
  const safety = restored.safetyBackup === null ? "" : `; what was live is in ${restored.safetyBackup}`;
  return `${plan.manifest.name}: ${restored.rows} rows of ${restored.tables} tables equal to the backup${aside}${safety}`;
}

function restoreRunId(id: string, attempt: number): string {
  return `${id}-restore-${attempt}`;
}

interface FormerRestore {
  readonly attempt: number;
  /** The last one; undefined: it did not come to one. */
  readonly event: RestoreEvent | undefined;
}

function formerRestores(store: Store, id: string, attempt: number): Promise<FormerRestore[]> {
  const former = Array.from({ length: attempt - 1 }, (_, index) => index + 1);
  return Promise.all(
    former.map(async (number) => ({ attempt: number, event: await readRestore(store, restoreRunId(id, number)) })),
  );
}

/** One that a killed attempt took holds all that is live, as long as nobody could write since. */
async function safetyBackupOf(
  { store, turn }: Run,
  attempt: number,
  former: readonly FormerRestore[],
): Promise<string | null> {
  const record = await readMaintenance(store);
  if (!isFenced(record))
    throw new Refusal("the write fence was lifted meanwhile: nothing was restored", { hint: "run again" });
  const { raisedAt } = record;
  const known = turn.document.fence;
  const sinceAttempt = known?.raisedAt === raisedAt ? known.sinceAttempt : attempt;
  await turn.note({ fence: { raisedAt, sinceAttempt } });
  const usable = former.filter((each) => each.attempt >= sinceAttempt);
  return usable.findLast(({ event }) => (event?.safetyBackup ?? null) !== null)?.event?.safetyBackup ?? null;
}

async function rollBackApplication(run: Run, attempt: number): Promise<string> {
  const { store, clients, plan, turn, signal, onProgress } = run;
  if (plan.application === null) return "neither Railway nor Vercel is configured: nothing to roll back";
  const result = await rollBack(plan.application, {
    ...{ store, clients, signal, onProgress, runId: `${turn.document.id}-rollback-${attempt}` },
    // The next step asks whether the application answers, and for the variables.
    addresses: { appUrl: undefined, frontendUrl: undefined },
  });
  const failed = result.sides.filter(({ outcome }) => outcome === "failed");
  if (failed.length > 0) {
    const said = `the application did not go back: ${failed.map(({ platform }) => platform).join(", ")}`;
    const details = failed.map(({ platform, message }) => `${platform}: ${message}`);
    if (result.exitCode === exitCode.unreachable) throw new Unavailable(`${said}: ${details.join("; ")}`);
    throw new Refusal(said, { details, hint: "mend that, then run npm run rollback:planned again: it goes on here" });
  }
  return result.sides.map(({ platform, outcome, live }) => `${platform} ${outcome}: ${live ?? "?"}`).join(", ");
}

async function verify(run: Run): Promise<string> {
  const { store, live, plan, signal, onProgress } = run;
  const { release, manifest, settings } = plan;
  const receipt = release?.receipt;
  const backup = { tier: manifest.tier, name: manifest.name };
  const ofGate = receipt?.backup.name === backup.name;
  const result = await verifyRestored({
    ...{ store, live, settings, signal, onProgress },
    // No migration was applied since: what was restored has none of the release's.
    copyOf: ofGate ? receipt : { runId: run.runId, backup, scratch: null },
    addresses: receipt === undefined ? run.addresses : addressesOf(run, receipt),
  });
  if (result.verdict === "pass")
    return `nothing of ${backup.name} is missing; health ${result.health.outcome}; environment ${result.environment.verdict}`;
  throw new Refusal("the rollback is not verified: the write fence stays up", {
    details: result.findings.slice(0, 20),
    hint: "mend that, then run npm run rollback:planned again: it goes on here; or finish by hand: docs/emergency.md",
  });
}

async function lift(run: Run): Promise<string> {
  const record = await readMaintenance(run.store);
  if (!isFenced(record) && changedPlatforms(record).length === 0)
    return "the rights to write were given back by a former run";
  const { given, notes } = isFenced(record) ? await liftFence(run) : { given: 0, notes: [] };
  for (const note of notes) run.onProgress(`note: ${note}`);
  return [`${given} right(s) given back: the application can write`, ...(await clearPlatforms(run))].join("; ");
}
