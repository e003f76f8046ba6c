/**
 * The last part of a release before its verification: what was released is watched for a while. What goes wrong then has
 * the consequences of a step that failed.
 */
import { extendLease } from "../control/lease";
import { Refusal } from "../contract/failure";
import type { DatabaseTarget } from "../database/target";
import { isReleased } from "../record/releaseEvents";
import { recordNote } from "../record/releaseNotes";
import type { Store } from "../store/store";
import { type ReleaseRequest, demandReceipt } from "./admission";
import { type FailureContext, endFailedRelease } from "./failedRelease";
import { addressesOf } from "./postDeploy";
import { platforms as allPlatforms } from "./rollbackTargets";
import { type WatchReport, hasNothing, watch, watchScope } from "./watch";

export interface ReleaseWatchContext extends ReleaseRequest, FailureContext {
  readonly store: Store;
  readonly target: DatabaseTarget;
}

export interface ReleaseWatch {
  readonly outcome: "watched" | "released before" | "nothing to watch";
  /** Null: it was released before. */
  readonly runId: string | null;
  /** Null: nothing was watched. */
  readonly report: WatchReport | null;
}

/** Seconds for what follows it until the verification has ended. */
const afterwardsSeconds = 3600;

/**
 * @throws Refusal when it is not admitted or something spikes or ends; by then the application was rolled back, where the
 *   settings say so, and the rows were compared.
 */
export async function watchRelease(context: ReleaseWatchContext): Promise<ReleaseWatch> {
  const { store, target, clients, signal, onLine } = context;
  if (await isReleased(store, context, [])) return { outcome: "released before", runId: null, report: null };
  const trusted = await demandReceipt(store, target, context);
  const { receipt } = trusted;
  const { runId, settings, baseline } = receipt;
  const seconds = settings.watch.soakMinutes * 60;
  const platforms = allPlatforms.filter((platform) => settings[platform] !== undefined);
  const addresses = addressesOf(context, receipt);
  const scope = watchScope({ settings, addresses, baseline, platforms, clients, onLine });
  if (seconds === 0 || hasNothing(scope)) return { outcome: "nothing to watch", runId, report: null };
  await extendLease(store, runId, seconds + afterwardsSeconds);
  try {
    const report = await watch(scope, { mode: "soak", seconds, signal, onLine });
    await recordWatch(store, runId, report);
    const [first, ...more] = report.findings;
    if (first !== undefined) throw new Refusal(first, { details: [...more, describeWatch(report)] });
    return { outcome: "watched", runId, report };
  } catch (error) {
    const input = { store, ...trusted, live: target, onProgress: onLine };
    throw await endFailedRelease(context, input, { what: "watch", platforms, error });
  }
}

/** For the checklists, and for the next gate: what was not watched to a good end is no baseline. */
async function recordWatch(store: Store, runId: string, report: WatchReport): Promise<void> {
  const { findings, endpoints, deployments } = report;
  const ok = findings.length === 0;
  const detail = [...findings, describeWatch(report)].join("; ");
  const lines = deployments.reduce((sum, each) => sum + each.logLines, 0);
  const errors = deployments.reduce((sum, each) => sum + each.errorLines, 0);
  if (endpoints.length > 0) {
    const latency = endpoints.map(({ url, baseline, course }) => {
      return { url, usualMilliseconds: baseline?.medianMilliseconds ?? null, points: [...course] };
    });
    await recordNote(store, runId, { kind: "watched", item: "health", ok, detail, latency });
  }
  if (deployments.some(({ id, unseen }) => id !== null && unseen === null)) {
    const told = `${errors} of ${lines} lines of the deployments' logs are errors`;
    await recordNote(store, runId, { kind: "watched", item: "logs", ok: ok && errors === 0, detail: told });
  }
  await recordNote(store, runId, { kind: "watched", ok, detail });
}

/** One line for records and people. */
function describeWatch({ seconds, endpoints, deployments }: WatchReport): string {
  const requests = endpoints.reduce((sum, each) => sum + each.requests, 0);
  const failures = endpoints.reduce((sum, each) => sum + each.failures, 0);
  const health =
    endpoints.length === 0
      ? "no health path"
      : `${failures} of ${requests} requests to ${endpoints.length} paths failed`;
  const states = deployments.map(
    ({ platform, id, status, logLines, errorLines, unseen }) =>
      `${platform} ${id ?? "unknown"} ${unseen === null ? status : `not known: ${unseen}`}, ${logLines} lines of its log (${errorLines} errors)`,
  );
  return [`watched for ${seconds} s: ${health}`, ...states].join("; ");
}
