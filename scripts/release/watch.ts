/**
 * Watching: health paths against how they answered before the release, and the platforms' deployments with their logs,
 * until a time is over, something else is done, or something goes wrong.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Failure, Refusal, messageOf } from "../contract/failure";
import type { EndpointBaseline } from "../record/healthBaseline";
import type { OperationSettings, WatchSettings } from "../settings";
import { type Endpoint, healthEndpoints, probe } from "../verification/healthChecks";
import { type EndpointWatch, SpikeDetector } from "../verification/spike";
import { type DeploymentReport, DeploymentWatch, type WatchMode } from "./deploymentWatch";
import type { Platform, Platforms } from "./rollbackTargets";
import { type DeploymentSource, railwaySource, vercelSource } from "./watchedDeployment";

/** What there is to watch. */
export interface WatchScope {
  readonly endpoints: readonly Endpoint[];
  readonly baseline: readonly EndpointBaseline[];
  readonly deployments: readonly DeploymentSource[];
  readonly settings: WatchSettings;
}

export interface WatchReport {
  /** The first is what ended it; empty: nothing went wrong. */
  readonly findings: readonly string[];
  readonly seconds: number;
  readonly endpoints: readonly EndpointWatch[];
  readonly deployments: readonly DeploymentReport[];
}

export interface WatchOptions {
  readonly mode: WatchMode;
  /** Ends it early and well. */
  readonly until?: AbortSignal;
  /** Default: no end but `until`. */
  readonly seconds?: number;
  readonly signal: AbortSignal;
  readonly onLine: (line: string) => void;
}

/** The platforms are asked after so many intervals: the smaller plans' limits are 100 to 1,000 requests an hour. */
const platformIntervals = 2;

export interface ScopeInput {
  readonly settings: Pick<OperationSettings, "health" | "watch">;
  readonly addresses: { readonly appUrl?: string | undefined; readonly frontendUrl?: string | undefined };
  readonly baseline: readonly EndpointBaseline[];
  /** Whose deployments. */
  readonly platforms: readonly Platform[];
  readonly clients: Platforms;
  readonly onLine: (line: string) => void;
}

/** A platform that cannot be asked, for want of a token, is a line. @throws UsageError when an address is none. */
export function watchScope(input: ScopeInput): WatchScope {
  const { settings, addresses, baseline, platforms, clients, onLine } = input;
  const deployments = platforms.flatMap((platform) => {
    try {
      return [platform === "railway" ? railwaySource(clients.railway()) : vercelSource(clients.vercel())];
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      onLine(`${platform}: not watched: ${error.message}`);
      return [];
    }
  });
  const endpoints = healthEndpoints({ ...addresses, settings: settings.health });
  return { endpoints, baseline, deployments, settings: settings.watch };
}

export function hasNothing({ endpoints, deployments }: WatchScope): boolean {
  return endpoints.length === 0 && deployments.length === 0;
}

/** @throws the signal's reason when it is aborted. */
export async function watch(scope: WatchScope, options: WatchOptions): Promise<WatchReport> {
  const { mode, seconds, until, signal, onLine } = options;
  const started = performance.now();
  const ending = new AbortController();
  const timer = seconds === undefined ? undefined : setTimeout(() => ending.abort(), seconds * 1000);
  const stop = AbortSignal.any([signal, ending.signal, ...(until === undefined ? [] : [until])]);
  const findings: string[] = [];
  const note = (finding: string | undefined): void => {
    if (finding === undefined || stop.aborted) return;
    findings.push(finding);
    ending.abort();
  };
  const { intervalSeconds } = scope.settings;
  const detectors = scope.endpoints.map((endpoint) => ({ endpoint, detector: detectorFor(endpoint, scope) }));
  const watches = scope.deployments.map((source) => new DeploymentWatch(source, mode, onLine));
  try {
    await Promise.all([
      ...detectors.map(({ endpoint, detector }) =>
        repeat(intervalSeconds, stop, async () => note(detector.add(await probe(endpoint, stop)))),
      ),
      ...watches.map((each) => repeat(intervalSeconds * platformIntervals, stop, async () => note(await each.look()))),
    ]);
  } finally {
    clearTimeout(timer);
  }
  signal.throwIfAborted();
  // Once more at the end of a soak: what happened in the last interval counts.
  if (mode === "soak" && findings.length === 0) {
    const last = await Promise.all(watches.map(async (each) => (await each.look()) ?? each.conclude()));
    findings.push(...last.filter((finding) => finding !== undefined));
  }
  return {
    findings,
    seconds: Math.round((performance.now() - started) / 100) / 10,
    endpoints: detectors.map(({ detector }) => detector.summary()),
    deployments: watches.map((each) => each.report()),
  };
}

function detectorFor({ url }: Endpoint, { baseline, settings }: WatchScope): SpikeDetector {
  const usual = baseline.find((each) => each.url === url.href);
  return new SpikeDetector(url.href, usual, settings);
}

/** Until `stop`, which waits for nobody: a look that is under way then is left to itself. */
async function repeat(seconds: number, stop: AbortSignal, look: () => Promise<void>): Promise<void> {
  const stopped = new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }));
  while (!stop.aborted) {
    const looking = look().catch((error: unknown) => {
      if (!stop.aborted) throw error;
    });
    await Promise.race([looking, stopped]);
    await sleep(seconds * 1000, undefined, { signal: stop }).catch(() => undefined);
  }
}

/**
 * Watches while something else is done, and ends that when something goes wrong.
 *
 * @throws Refusal with the finding; else whatever the work throws.
 */
export async function watchWhile<T>(
  scope: WatchScope,
  { signal, onLine }: Pick<WatchOptions, "signal" | "onLine">,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (hasNothing(scope)) return work(signal);
  const done = new AbortController();
  const wrong = new AbortController();
  const watching = watch(scope, { mode: "release", until: done.signal, signal, onLine }).then(({ findings }) => {
    if (findings.length > 0) wrong.abort();
    return findings;
  });
  // It is awaited when the work is done, which may be long after it failed.
  watching.catch(() => undefined);
  const ended = await work(AbortSignal.any([signal, wrong.signal])).then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  done.abort();
  if (signal.aborted && "error" in ended) throw ended.error;
  const findings = await watching;
  const first = findings[0];
  if (first !== undefined) {
    const more = "error" in ended ? [messageOf(ended.error)] : [];
    throw new Refusal(first, {
      details: [...findings.slice(1), ...more],
      ...("error" in ended ? { cause: ended.error } : {}),
    });
  }
  if ("error" in ended) throw ended.error;
  return ended.result;
}
