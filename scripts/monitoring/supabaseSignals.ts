/**
 * The signals that a hosted project's platform tells: the disk, authentication, requests to the API. Its metrics are read
 * where `SUPABASE_SERVICE_ROLE_KEY` is set, its Management API where `SUPABASE_ACCESS_TOKEN` is.
 */
import type { Pace } from "../platforms/http";
import { Supabase, supabaseFromEnvironment } from "../platforms/supabase";
import {
  type SupabaseMetrics,
  type SupabaseMetricsAccess,
  readSupabaseMetrics,
  supabaseMetricsFromEnvironment,
} from "../platforms/supabaseMetrics";
import { messageOf } from "../contract/failure";
import type { Counters } from "./counters";
import { type Reading, absent, attempt, found, unread } from "./reading";

export interface SupabaseSignals {
  readonly readings: readonly Reading[];
  /** What is told by difference; null: not configured, or could not be read. */
  readonly counters: Counters["supabase"];
}

/** It is run every few minutes: what does not answer soon is reported as not readable. */
const pace: Pace = { attempt: 10_000, total: 25_000, firstPause: 300 };

/** Minutes of the newest window that the Management API counts requests in. */
const requestMinutes = 15;

/** What there is to say of signals that are differences, when there is nothing to subtract. */
const rates = ["apiPoolTimeouts", "authRequests", "authErrors", "failedLogins"] as const;

/** @throws UsageError when what is configured is wrong. */
export async function readSupabaseSignals(
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<SupabaseSignals> {
  const metricsAccess = supabaseMetricsFromEnvironment(env);
  const access = env["SUPABASE_ACCESS_TOKEN"] ? supabaseFromEnvironment(env) : undefined;
  const options = { pace, ...(signal === undefined ? {} : { signal }) };
  const api = access === undefined ? undefined : new Supabase(access, options);
  const [metrics, requests] = await Promise.all([
    metricsAccess === undefined ? undefined : readMetrics(metricsAccess, options),
    api === undefined
      ? [absent("apiRequests", "SUPABASE_ACCESS_TOKEN is not set; the platform's metrics do not count them")]
      : attempt(["apiRequests"], () => apiRequests(api)),
  ]);
  if (metrics === undefined) {
    const why = "SUPABASE_SERVICE_ROLE_KEY and SUPABASE_PROJECT_REF are not both set";
    const disk = await diskOf(undefined, api);
    return { readings: [...rates.map((name) => absent(name, why)), ...requests, ...disk], counters: null };
  }
  if ("why" in metrics) {
    const disk = await diskOf(undefined, api);
    return { readings: [...rates.map((name) => unread(name, metrics.why)), ...requests, ...disk], counters: null };
  }
  const { authRequests, authErrors, failedLogins, poolTimeouts = 0 } = metrics;
  return {
    readings: [...requests, ...(await diskOf(metrics.diskPercent, api))],
    counters: { authRequests, authErrors, failedLogins, poolTimeouts },
  };
}

async function readMetrics(
  access: SupabaseMetricsAccess,
  options: { readonly pace: Pace; readonly signal?: AbortSignal },
): Promise<SupabaseMetrics | { readonly why: string }> {
  try {
    return await readSupabaseMetrics(access, options);
  } catch (error) {
    return { why: messageOf(error) };
  }
}

async function diskOf(percent: number | undefined, api: Supabase | undefined): Promise<readonly Reading[]> {
  if (percent !== undefined) return [found("disk", percent, "by the platform's metrics")];
  if (api === undefined) return [absent("disk", "PostgreSQL does not tell, and no platform is configured that does")];
  return attempt(["disk"], async () => {
    const { size, used } = await api.disk();
    return [found("disk", (100 * used) / size, `${(used / 1e9).toFixed(1)} of ${(size / 1e9).toFixed(1)} GB`)];
  });
}

async function apiRequests(api: Supabase): Promise<Reading[]> {
  const { rest, auth, storage, realtime } = await api.apiRequests();
  const total = rest + auth + storage + realtime;
  const parts = `of ${requestMinutes} min: rest ${rest}, auth ${auth}, storage ${storage}, realtime ${realtime}`;
  return [found("apiRequests", total / requestMinutes, parts)];
}
