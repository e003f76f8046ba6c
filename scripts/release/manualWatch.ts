/** Watching by hand: what is live now, against how it answered before its release, or, without a receipt, against now. */
import { Unavailable, UsageError } from "../contract/failure";
import type { EndpointBaseline } from "../record/healthBaseline";
import { type Receipt, listReceipts } from "../record/receipt";
import type { OperationSettings } from "../settings";
import type { Store } from "../store/store";
import { describeBaseline, measureBaseline } from "../verification/measureBaseline";
import { type PostDeployInput, addressesOf, chooseReceipt } from "./postDeploy";
import type { Platform, Platforms } from "./rollbackTargets";
import { type WatchReport, hasNothing, watch, watchScope } from "./watch";

export interface ManualWatchInput {
  readonly store: Store;
  /** Which release's baseline; default: the newest open one's, else the newest. */
  readonly receiptRunId: string | undefined;
  /** Default: the receipt's `watch.soakMinutes`. */
  readonly minutes: number | undefined;
  /** Where there is no receipt. */
  readonly settings: OperationSettings;
  readonly addresses: PostDeployInput["addresses"];
  /** Those that can be asked. */
  readonly configured: readonly Platform[];
  readonly clients: Platforms;
  readonly signal: AbortSignal;
  readonly onLine: (line: string) => void;
}

export interface ManualWatch extends WatchReport {
  readonly verdict: "pass" | "fail";
  /** Of the receipt; null: there is none. */
  readonly runId: string | null;
}

/**
 * Looks only: nothing is recorded, rolled back or frozen.
 *
 * @throws UsageError when there is nothing to watch; Unavailable when nothing of it ever answered for its platform.
 */
export async function watchByHand(input: ManualWatchInput): Promise<ManualWatch> {
  const { store, configured, clients, signal, onLine } = input;
  const receipt = await receiptOf(store, input.receiptRunId);
  const settings = receipt?.settings ?? input.settings;
  const minutes = input.minutes ?? settings.watch.soakMinutes;
  const addresses = receipt === undefined ? input.addresses : addressesOf(input, receipt);
  const scope = watchScope({ settings, addresses, baseline: [], platforms: configured, clients, onLine });
  if (hasNothing(scope) || minutes === 0) {
    throw new UsageError(
      minutes === 0
        ? "watch.soakMinutes: found 0: expected minutes to watch for"
        : "there is nothing to watch: expected APP_URL, FRONTEND_URL, RAILWAY_TOKEN or VERCEL_TOKEN",
      { hint: minutes === 0 ? "say how long: --minutes 5" : "see docs/reference.md, Environment variables" },
    );
  }
  const baseline = await completeBaseline(scope.endpoints, receipt, { ...input, requests: settings.watch.requests });
  const seconds = minutes * 60;
  onLine(`watching for ${Math.round(seconds)} s`);
  const report = await watch({ ...scope, baseline }, { mode: "release", seconds, signal, onLine });
  const unseen = report.deployments.find(({ id }) => id === null)?.unseen;
  if (report.endpoints.length === 0 && report.deployments.every(({ id }) => id === null)) {
    throw new Unavailable(unseen ?? "there is no deployment to watch");
  }
  return { verdict: report.findings.length === 0 ? "pass" : "fail", runId: receipt?.runId ?? null, ...report };
}

async function receiptOf(store: Store, runId: string | undefined): Promise<Receipt | undefined> {
  if (runId === undefined && (await listReceipts(store)).length === 0) return undefined;
  return (await chooseReceipt({ store, ...(runId === undefined ? {} : { runId }) })).receipt;
}

async function completeBaseline(
  endpoints: Parameters<typeof measureBaseline>[0],
  receipt: Receipt | undefined,
  { requests, signal, onLine }: { requests: number; signal: AbortSignal; onLine: (line: string) => void },
): Promise<EndpointBaseline[]> {
  const known = receipt?.baseline ?? [];
  const unknown = endpoints.filter(({ url }) => !known.some((each) => each.url === url.href));
  const measured = await measureBaseline(unknown, requests, signal);
  for (const each of measured)
    onLine(`no receipt knows how it answered before, so this is what counts: ${describeBaseline(each)}`);
  return [...known, ...measured];
}
