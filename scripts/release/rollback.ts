/**
 * Rolling back the application: Railway and Vercel at the same time, each proven by reading again what is live, then the
 * health checks and the environment's, for a rollback restores old variables on Railway and keeps old ones on Vercel. The
 * database is not touched: migrations are additive, so what was live before works with what is there now.
 */
import { readPass } from "../control/maintenance";
import { takeRollbackTurn } from "../control/rollback";
import { type ExitCode, Failure, Refusal, Unavailable, UsageError, exitCode, messageOf } from "../contract/failure";
import { hintWithLinks } from "../contract/links";
import { redact } from "../contract/redaction";
import { type EnvironmentCheck, checkEnvironment } from "../environment/checkEnvironment";
import { type Receipt, type TrustedReceipt, readTrustedReceipt } from "../record/receipt";
import { newestRun, recordEvent } from "../record/releaseEvents";
import { type RollbackEvent, type SideResult, recordRollback } from "../record/rollbackEvents";
import type { OperationSettings } from "../settings";
import { tellTeam } from "../record/teamNotice";
import type { Store } from "../store/store";
import { type HealthReport, demandAddresses, runHealthChecks } from "../verification/healthChecks";
import { rollbackRailway } from "./rollbackRailway";
import type { SideContext, SideOutcome } from "./rollbackSide";
import { type Platform, type Platforms, liveOnRailway, platforms as allPlatforms } from "./rollbackTargets";
import { rollbackVercel } from "./rollbackVercel";

/** The strategy's limit for an emergency rollback. */
export const strategySeconds = 300;

export interface RollbackRequest {
  readonly store: Store;
  readonly clients: Platforms;
  /** Which release to undo; default: the newest of `stack`. */
  readonly receiptRunId?: string | undefined;
  /** Default: any stack. */
  readonly stack?: string | undefined;
  /** Deployments to go back to; default: those that the receipt recorded before its release, else the newest possible one. */
  readonly to: Readonly<Partial<Record<Platform, string>>>;
  /** Default: both, as far as they are configured. */
  readonly only?: Platform | undefined;
  /** Where there is no receipt. */
  readonly settings: OperationSettings;
  readonly configured: readonly Platform[];
}

export interface PlannedSide {
  readonly platform: Platform;
  /** Undefined: nothing is known that it could go back to. */
  readonly to: string | undefined;
  /** Who says so. */
  readonly source: string;
}

export interface RollbackPlan {
  readonly release: TrustedReceipt | undefined;
  readonly settings: OperationSettings;
  readonly sides: readonly PlannedSide[];
}

/**
 * Looks only.
 *
 * @throws UsageError when nothing is configured, or a platform of the release is not.
 */
export async function planRollback(request: RollbackRequest): Promise<RollbackPlan> {
  const { store, only, to, configured } = request;
  const runId = request.receiptRunId ?? (await newestRun(store, request.stack))?.runId;
  const release = runId === undefined ? undefined : await readTrustedReceipt(store, runId);
  const receipt = release?.receipt;
  const released = allPlatforms.filter((platform) => receipt?.settings[platform] !== undefined);
  const wanted = allPlatforms.filter((platform) =>
    only === undefined
      ? configured.includes(platform) || released.includes(platform) || to[platform] !== undefined
      : only === platform,
  );
  if (wanted.length === 0) {
    throw new UsageError("neither Railway nor Vercel is configured: expected RAILWAY_TOKEN or VERCEL_TOKEN");
  }
  for (const platform of wanted) request.clients[platform]();
  const sides = await Promise.all(wanted.map((platform) => planSide(platform, receipt, request)));
  return { release, settings: receipt?.settings ?? request.settings, sides };
}

async function planSide(
  platform: Platform,
  release: Receipt | undefined,
  request: RollbackRequest,
): Promise<PlannedSide> {
  const named = request.to[platform];
  if (named !== undefined) return { platform, to: named, source: "named by --to-deployment" };
  const recorded = release?.rollback[platform];
  if (recorded !== undefined && recorded !== null) {
    return {
      platform,
      to: recorded.deploymentId,
      source: `live before the release of ${release?.releaseVersion || release?.runId}`,
    };
  }
  const newest =
    platform === "railway" ? await newestOnRailway(request.clients) : await newestOnVercel(request.clients);
  return { platform, to: newest, source: "the newest one that can be rolled back to; no receipt names one" };
}

async function newestOnRailway(clients: Platforms): Promise<string | undefined> {
  const railway = clients.railway();
  const live = await liveOnRailway(railway);
  const digest = live?.meta?.imageDigest;
  const isOther = (other: string | null | undefined): boolean => typeof digest !== "string" || other !== digest;
  return (await railway.deployments()).find(
    ({ canRollback, id, meta }) => canRollback && id !== live?.id && isOther(meta?.imageDigest),
  )?.id;
}

async function newestOnVercel(clients: Platforms): Promise<string | undefined> {
  return (await clients.vercel().rollbackCandidates())[0]?.id;
}

export interface RollbackExecution {
  readonly store: Store;
  readonly clients: Platforms;
  readonly runId: string;
  readonly addresses: { readonly appUrl: string | undefined; readonly frontendUrl: string | undefined };
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

export interface RollbackResult {
  /** `partial`: one platform went back and the other did not: they do not fit together. */
  readonly verdict: NonNullable<RollbackEvent["verdict"]>;
  readonly exitCode: ExitCode;
  readonly runId: string;
  readonly releaseRunId: string | null;
  readonly sides: readonly SideResult[];
  readonly health: HealthReport;
  /** Null: it could not be checked; a finding says why. */
  readonly environment: Pick<EnvironmentCheck, "verdict" | "lines"> | null;
  readonly findings: readonly string[];
  /** From the start to the proven state, health checks included. */
  readonly seconds: number;
  readonly withinStrategy: boolean;
}

/**
 * @throws Unavailable when another rollback is running; what a platform answers is in the result.
 */
export async function rollBack(plan: RollbackPlan, execution: RollbackExecution): Promise<RollbackResult> {
  const { store, runId, signal, onProgress, addresses } = execution;
  const { settings, release } = plan;
  const receipt = release?.receipt;
  demandAddresses(addresses);
  const started = performance.now();
  const elapsed = (): number => Math.round((performance.now() - started) / 100) / 10;
  const longest = settings.rollback.timeoutSeconds + settings.health.deadlineSeconds + 60;
  const turn = await takeRollbackTurn(store, runId, longest);
  try {
    const releaseRunId = receipt?.runId ?? null;
    const common = { runId, releaseRunId };
    await recordRollback(store, { ...common, event: "rollback-started", verdict: null, sides: [], seconds: null });
    const context: SideContext = { seconds: settings.rollback.timeoutSeconds, signal, onProgress };
    const perform = (side: PlannedSide): Promise<EndedSide> =>
      performSide(side, (to) =>
        side.platform === "railway"
          ? rollbackRailway(execution.clients.railway(), turn, to, context)
          : rollbackVercel(execution.clients.vercel(), to, context),
      );
    const ended = await Promise.all(plan.sides.map(perform));
    signal.throwIfAborted();
    const sides = ended.map(({ result }) => result);
    if (release !== undefined) await recordSides(execution, release, sides);
    const frontendHeaders = await readPass(store);
    const health = await runHealthChecks({ ...addresses, frontendHeaders, settings: settings.health, signal });
    const seconds = elapsed();
    const environment = await checkVariables(store, settings);
    const verdict = verdictOf(sides);
    await recordRollback(store, { ...common, event: "rollback-ended", verdict, sides, seconds });
    const told = sides.map(({ platform, outcome }) => `${platform} ${outcome}`).join(", ");
    const text = `rollback of the application: ${verdict} within ${seconds} s (${told})`;
    await tellTeam(
      { event: "rollback-ended", text, run: receipt ?? null },
      { store, templates: settings.communication.templates, onProgress },
    );
    const findings = [
      ...sides.flatMap(({ platform, outcome, message }) => (outcome === "failed" ? [`${platform}: ${message}`] : [])),
      ...health.results.flatMap(({ ok, url, error }) => (ok ? [] : [`${url}: ${error ?? "no answer"}`])),
      ...environment.findings,
    ];
    const code = exitCodeOf(ended, findings.length > 0);
    return {
      ...{ verdict, exitCode: code, ...common, sides, health, environment: environment.check, findings },
      ...{ seconds, withinStrategy: seconds <= strategySeconds },
    };
  } finally {
    await turn.end();
  }
}

interface EndedSide {
  readonly result: SideResult;
  /** Why it failed; undefined: it did not. */
  readonly error: unknown;
}

/** Never throws: what goes wrong on one platform must not keep the other from being rolled back. */
async function performSide(
  { platform, to }: PlannedSide,
  roll: (to: string) => Promise<SideOutcome>,
): Promise<EndedSide> {
  const started = performance.now();
  const took = (): number => Math.round((performance.now() - started) / 100) / 10;
  try {
    if (to === undefined) throw new Refusal("nothing is known that it could be rolled back to");
    const done = await roll(to);
    return { result: { platform, to, ...done, seconds: took() }, error: undefined };
  } catch (error) {
    const hint = hintWithLinks(error instanceof Failure ? error.hint : undefined, platform);
    const message = redact(`${messageOf(error)} (${hint})`);
    return {
      result: { platform, outcome: "failed", from: null, to: to ?? null, live: null, seconds: took(), message },
      error,
    };
  }
}

/** What is no longer live must not count as released: the next `up` of that version deploys it again. */
async function recordSides(
  { store }: RollbackExecution,
  release: TrustedReceipt,
  sides: readonly SideResult[],
): Promise<void> {
  const { receipt, receiptSha256 } = release;
  const { runId, releaseVersion, stack } = receipt;
  for (const { platform, outcome, live } of sides) {
    if (outcome !== "rolled back") continue;
    await recordEvent(
      store,
      { runId, releaseVersion, stack, receiptSha256 },
      `${platform}-rolled-back`,
      `live: ${live ?? ""}`,
    );
  }
}

function verdictOf(sides: readonly SideResult[]): RollbackResult["verdict"] {
  const failed = sides.filter(({ outcome }) => outcome === "failed").length;
  if (failed === sides.length) return "failed";
  if (failed > 0) return "partial";
  return sides.every(({ outcome }) => outcome === "already") ? "nothing to do" : "rolled back";
}

/** 3 only where nothing but the way to the platforms was in the way, and nothing was changed. */
function exitCodeOf(sides: readonly EndedSide[], found: boolean): ExitCode {
  if (sides.every(({ error }) => error instanceof Unavailable)) return exitCode.unreachable;
  return found ? exitCode.refused : exitCode.pass;
}

async function checkVariables(
  store: Store,
  settings: OperationSettings,
): Promise<{ check: RollbackResult["environment"]; findings: readonly string[] }> {
  try {
    const { verdict, lines, findings } = await checkEnvironment({ store, settings: settings.environment });
    return { check: { verdict, lines }, findings: findings.map(({ message }) => `environment: ${message}`) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { check: null, findings: [`environment: not checked: ${error.message}`] };
  }
}
