/** Measures how the application answers now: latency and error rate of every health path, before something is released. */
import type { EndpointBaseline } from "../record/healthBaseline";
import { type Endpoint, probe } from "./healthChecks";
import { percentile } from "./latency";

/** Seconds for all requests to a path: one that hangs must not hold up a gate. */
const longestSeconds = 30;

/**
 * One request after the other to each path, all paths at once. A first one is not counted: it may wake a service that slept.
 *
 * @param requests to each path, fewer where it takes too long.
 * @throws the signal's reason when it is aborted.
 */
export function measureBaseline(
  endpoints: readonly Endpoint[],
  requests: number,
  signal: AbortSignal,
): Promise<EndpointBaseline[]> {
  return Promise.all(endpoints.map((endpoint) => measure(endpoint, requests, signal)));
}

async function measure(endpoint: Endpoint, requests: number, signal: AbortSignal): Promise<EndpointBaseline> {
  const deadline = performance.now() + longestSeconds * 1000;
  await probe(endpoint, signal);
  const latencies: number[] = [];
  let failures = 0;
  do {
    const { ok, milliseconds } = await probe(endpoint, signal);
    if (ok) latencies.push(milliseconds);
    else failures++;
  } while (latencies.length + failures < requests && performance.now() < deadline);
  return {
    url: endpoint.url.href,
    requests: latencies.length + failures,
    failures,
    medianMilliseconds: percentile(latencies, 0.5),
    p95Milliseconds: percentile(latencies, 0.95),
  };
}

/** One line for a person. */
export function describeBaseline({
  url,
  requests,
  failures,
  medianMilliseconds,
  p95Milliseconds,
}: EndpointBaseline): string {
  const errors = `${failures} of ${requests} requests failed`;
  if (medianMilliseconds === null) return `${url}: ${errors}`;
  return `${url}: median ${medianMilliseconds} ms, 95 % within ${p95Milliseconds} ms; ${errors}`;
}
