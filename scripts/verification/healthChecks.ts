/** Does the released application answer? The strategy's "Application Health Check", with retries and a deadline. */
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { UsageError, codeOf, messageOf } from "../contract/failure";
import { registerSecret } from "../contract/redaction";
import type { HealthSettings } from "../settings";

const healthResultSchema = z.object({
  /** Without user name and password. */
  url: z.string(),
  ok: z.boolean(),
  /** HTTP status of the last answer; absent when the last request got none. */
  status: z.int().optional(),
  /** Why it is not ok. */
  error: z.string().optional(),
  attempts: z.int(),
  milliseconds: z.number(),
});

export type HealthResult = z.infer<typeof healthResultSchema>;

export const healthReportSchema = z.object({
  /** `not configured`: neither APP_URL nor FRONTEND_URL is set, so nothing was asked. */
  outcome: z.enum(["pass", "fail", "not configured"]),
  results: z.array(healthResultSchema),
});

export type HealthReport = z.infer<typeof healthReportSchema>;

export interface HealthInput {
  /** `APP_URL`: `appPaths` are below it. A user name and password in it are sent as basic authentication. */
  readonly appUrl?: string | undefined;
  /** `FRONTEND_URL`: `frontendPaths` are below it. */
  readonly frontendUrl?: string | undefined;
  /** Sent along to `FRONTEND_URL`: during a maintenance it gets our requests past the redirection. */
  readonly frontendHeaders?: Readonly<Record<string, string>>;
  readonly settings: HealthSettings;
  readonly signal?: AbortSignal;
}

/** Seconds for one request, its body included. */
const requestSeconds = 10;

/** Milliseconds before the second request; doubled each time up to the longest, and jittered by half. */
const firstPause = 250;
const longestPause = 2000;

/** What is read of a body before the connection is closed. */
const longestBody = 64 * 1024;

const mostRedirects = 5;

/**
 * Asks every path, all at once, again and again until it answered 2xx or the deadline passed.
 *
 * @throws UsageError when a URL is not one of http or https; the signal's reason when it is aborted.
 */
export async function runHealthChecks(input: HealthInput): Promise<HealthReport> {
  const { settings } = input;
  const endpoints = healthEndpoints(input);
  if (endpoints.length === 0) return { outcome: "not configured", results: [] };
  const deadline = performance.now() + settings.deadlineSeconds * 1000;
  const results = await Promise.all(endpoints.map((endpoint) => untilHealthy(endpoint, deadline, input.signal)));
  return { outcome: results.every(({ ok }) => ok) ? "pass" : "fail", results };
}

/**
 * Every health path; none where neither address is set.
 *
 * @throws UsageError when an address is not one of a web server.
 */
export function healthEndpoints(input: Omit<HealthInput, "signal">): Endpoint[] {
  const { appUrl, frontendUrl, frontendHeaders = {}, settings } = input;
  return [
    ...endpointsBelow("APP_URL", appUrl, settings.appPaths),
    ...endpointsBelow("FRONTEND_URL", frontendUrl, settings.frontendPaths).map((endpoint) => ({
      ...endpoint,
      headers: frontendHeaders,
    })),
  ];
}

/** @throws UsageError when an address is not one of a web server. */
export function demandAddresses(addresses: Pick<HealthInput, "appUrl" | "frontendUrl">): void {
  endpointsBelow("APP_URL", addresses.appUrl, []);
  endpointsBelow("FRONTEND_URL", addresses.frontendUrl, []);
}

export interface Endpoint {
  /** Without user name and password. */
  readonly url: URL;
  readonly authorization: string | undefined;
  /** Further ones. */
  readonly headers?: Readonly<Record<string, string>>;
}

function endpointsBelow(variable: string, base: string | undefined, paths: readonly string[]): Endpoint[] {
  if (base === undefined || base === "") return [];
  const root = URL.canParse(base) ? new URL(base) : undefined;
  if (root === undefined || !/^https?:$/.test(root.protocol)) {
    const found = root === undefined ? "something that is not a URL" : `the scheme ${root.protocol}//`;
    throw new UsageError(`${variable}: found ${found}: expected http:// or https://`);
  }
  const authorization = authorizationOf(variable, root);
  const folder = root.pathname.replace(/\/+$/, "");
  return paths.map((path) => ({ url: new URL(`${root.protocol}//${root.host}${folder}${path}`), authorization }));
}

function authorizationOf(variable: string, { username, password }: URL): string | undefined {
  if (username === "" && password === "") return undefined;
  try {
    registerSecret(decodeURIComponent(password));
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return `Basic ${Buffer.from(credentials).toString("base64")}`;
  } catch {
    throw new UsageError(`${variable}: its user name or password is not percent-encoded: write % as %25`);
  }
}

async function untilHealthy(
  endpoint: Endpoint,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<HealthResult> {
  const start = performance.now();
  for (let attempts = 1; ; attempts++) {
    const answer = await ask(endpoint, Math.min(requestSeconds * 1000, deadline - performance.now()), signal);
    const pause = Math.min(firstPause * 2 ** (attempts - 1), longestPause) * (0.5 + Math.random() / 2);
    if (answer.ok || performance.now() + pause >= deadline) {
      return { url: endpoint.url.href, ...answer, attempts, milliseconds: Math.round(performance.now() - start) };
    }
    await sleep(pause, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
  }
}

type Answer = Pick<HealthResult, "ok" | "status" | "error">;

/**
 * One request, on a connection of its own, so that requests hours apart can be compared with such in a row.
 *
 * @throws the signal's reason when it is aborted.
 */
export async function probe(
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Answer & { readonly milliseconds: number }> {
  const start = performance.now();
  const answer = await ask(endpoint, requestSeconds * 1000, signal);
  return { ...answer, milliseconds: Math.round(performance.now() - start) };
}

async function ask(endpoint: Endpoint, milliseconds: number, signal: AbortSignal | undefined): Promise<Answer> {
  signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(Math.max(1, Math.ceil(milliseconds)));
  try {
    return await follow(endpoint, signal === undefined ? timeout : AbortSignal.any([timeout, signal]));
  } catch (error) {
    signal?.throwIfAborted();
    return {
      ok: false,
      error: timeout.aborted ? `no answer within ${Math.round(milliseconds)} ms` : describeError(error),
    };
  }
}

/** Redirects within the host are part of answering; those that lead elsewhere say nothing about this application. */
async function follow(endpoint: Endpoint, signal: AbortSignal): Promise<Answer> {
  let url = endpoint.url;
  for (let redirects = 0; ; redirects++) {
    const credentials = endpoint.authorization === undefined ? {} : { authorization: endpoint.authorization };
    // A connection that was kept may lead to what was live before, and is quicker than a new one.
    const headers = { ...endpoint.headers, ...credentials, connection: "close" };
    const response = await fetch(url.href, { redirect: "manual", signal, headers });
    await drain(response);
    const { status } = response;
    const location = response.headers.get("location");
    if (status < 300 || status > 399 || location === null) {
      return response.ok ? { ok: true, status } : { ok: false, status, error: `HTTP ${status}` };
    }
    const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
    if (next === undefined || !staysAtHost(url, next)) {
      return {
        ok: false,
        status,
        error: `HTTP ${status} redirects to ${next?.origin ?? "something that is not a URL"}`,
      };
    }
    if (redirects === mostRedirects) return { ok: false, status, error: `more than ${mostRedirects} redirects` };
    url = next;
  }
}

/** The same host and port, and never from https back to http. */
function staysAtHost(from: URL, to: URL): boolean {
  return from.host === to.host && (to.protocol === from.protocol || to.protocol === "https:");
}

/** Reads the body, because a server that breaks off in it is not healthy; but not endlessly. */
async function drain(response: Response): Promise<void> {
  if (response.body === null) return;
  let bytes = 0;
  // Leaving the loop early cancels the body, which closes the connection.
  for await (const chunk of response.body) {
    bytes += (chunk as Uint8Array).byteLength;
    if (bytes >= longestBody) break;
  }
}

/** `fetch failed` says nothing: the reason is its cause. */
function describeError(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = codeOf(cause);
  return code === undefined || messageOf(cause).includes(code)
    ? messageOf(cause)
    : `${code} ${messageOf(cause)}`.trim();
}
