/**
 * The metrics that Supabase publishes of each project, in Prometheus's format: about 200 series, every 60 seconds, in beta.
 * Names and labels: github.com/supabase/supabase-grafana, docs/metrics.md and metrics.md (2026-11).
 */
import { z } from "zod";
import { UsageError } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import { type Pace, type PlatformCall, apiAddress, callPlatform, describeCall, parseAnswer } from "./http";
import { demandSuccess } from "./platformRefusal";
import { type Sample, parsePrometheusText, sumOf } from "./prometheusText";
import { projectRefPattern } from "./supabase";

export interface SupabaseMetricsAccess {
  /** Scheme and host. */
  readonly url: string;
  /** The secret key of the project, or the service role's. */
  readonly key: string;
}

/**
 * @returns undefined where the project or its key is not set: then nobody asked for its metrics.
 * @throws UsageError when the project's reference is none.
 */
export function supabaseMetricsFromEnvironment(
  env: NodeJS.ProcessEnv = process.env,
): SupabaseMetricsAccess | undefined {
  const projectRef = env["SUPABASE_PROJECT_REF"] || undefined;
  const key = env["SUPABASE_SERVICE_ROLE_KEY"] || undefined;
  registerSecret(key);
  if (projectRef === undefined || key === undefined) return undefined;
  if (!projectRefPattern.test(projectRef)) {
    throw new UsageError(
      `SUPABASE_PROJECT_REF: found ${JSON.stringify(projectRef)}: expected the project's 20 lower-case letters`,
      { hint: "it is the first part of SUPABASE_URL" },
    );
  }
  return { url: apiAddress(env, "SUPABASE_METRICS_URL", `https://${projectRef}.supabase.co`), key };
}

export interface SupabaseMetrics {
  /** Requests to the authentication service since it started, without those for its health. */
  readonly authRequests: number;
  /** Of these, those answered 5xx. */
  readonly authErrors: number;
  /** Passwords that were compared and were wrong. */
  readonly failedLogins: number;
  /** Requests to the API that waited for a connection until their time was over; undefined: it is not told. */
  readonly poolTimeouts: number | undefined;
  /** Percent of the fullest file system; undefined: it is not told. */
  readonly diskPercent: number | undefined;
}

/** @throws Unavailable when it does not answer in Prometheus's format; UsageError for a wrong key. */
export async function readSupabaseMetrics(
  access: SupabaseMetricsAccess,
  options: { readonly pace?: Pace; readonly signal?: AbortSignal | undefined } = {},
): Promise<SupabaseMetrics> {
  const call: PlatformCall = {
    platform: "Supabase",
    method: "GET",
    url: new URL("/customer/v1/privileged/metrics", access.url),
    headers: { authorization: `Basic ${Buffer.from(`service_role:${access.key}`).toString("base64")}` },
    answers: "text",
    ...options,
  };
  const answer = await callPlatform(call);
  demandSuccess(answer, call, "SUPABASE_SERVICE_ROLE_KEY");
  return interpret(parsePrometheusText(parseAnswer(z.string(), answer, call), describeCall(call)));
}

function interpret(samples: readonly Sample[]): SupabaseMetrics {
  const requests = (code: RegExp): number =>
    sumOf(
      samples,
      "http_status_codes_total",
      (labels) =>
        labels["service_type"] === "gotrue" && labels["http_route"] !== "/health" && code.test(labels["code"] ?? ""),
    ) ?? 0;
  return {
    authRequests: requests(/^\d+$/),
    authErrors: requests(/^5/),
    failedLogins:
      sumOf(samples, "gotrue_compare_hash_and_password_completed_total", ({ match }) => match === "false") ?? 0,
    poolTimeouts: sumOf(samples, "pgrst_db_pool_timeouts_total"),
    diskPercent: fullestDisk(samples),
  };
}

/** What an unprivileged process may still write decides, as in supabase-grafana's dashboard. */
function fullestDisk(samples: readonly Sample[]): number | undefined {
  const percents = samples
    .filter(({ name, labels }) => name === "node_filesystem_size_bytes" && labels["fstype"] !== "rootfs")
    .flatMap(({ labels, value: size }) => {
      const same = (other: Sample["labels"]): boolean =>
        other["mountpoint"] === labels["mountpoint"] && other["device"] === labels["device"];
      const free = sumOf(samples, "node_filesystem_avail_bytes", same);
      return free === undefined || !(size > 0) ? [] : [100 - (100 * free) / size];
    });
  return percents.length === 0 ? undefined : Math.max(...percents);
}
