/**
 * One call of a platform's HTTP API: a deadline, repetition where it is harmless, and messages that name the call and
 * the host, never a token. What an answer means is the platform's client's business.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Unavailable, UsageError, messageOf } from "../contract/failure";
import { type ApiName, hintWithLinks } from "../contract/links";
import { redact } from "../contract/redaction";

export interface Pace {
  /** Milliseconds that one attempt may take. */
  readonly attempt: number;
  /** Milliseconds that a call may take with all its repetitions. */
  readonly total: number;
  /** Milliseconds before the first repetition; doubled for each further one, and drawn at random below that. */
  readonly firstPause: number;
}

const defaultPace: Pace = { attempt: 15_000, total: 60_000, firstPause: 500 };

/** Statuses by which a call is rejected for its rate. */
const rateRejections: readonly number[] = [420, 429];

export interface PlatformCall {
  /** As messages name it. */
  readonly platform: Capitalize<ApiName>;
  readonly method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  readonly url: URL;
  /** With the token; never shown. */
  readonly headers: Readonly<Record<string, string>>;
  /** Sent as JSON. Default: no body. */
  readonly body?: unknown;
  /**
   * Whether asking twice does no more than asking once. Only then a call is repeated whose outcome is unknown (5xx, no
   * answer); one that was rejected for its rate (429, of Statuspage also 420) was not carried out and is always repeated. Default: GET only.
   */
  readonly repeatable?: boolean;
  /** What a success is written in; `text` is handed on as it is. Default `json`. */
  readonly answers?: "json" | "text";
  /** Default `defaultPace`. */
  readonly pace?: Pace | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PlatformAnswer {
  /** 2xx, or 4xx but 420 and 429. */
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON, undefined when there was none; the text itself where `answers` is `text` and it is a success. */
  readonly body: unknown;
}

/** How a call that is not worth repeating, or was not answered in time, is described in one place. */
export function describeCall({ platform, method, url }: Pick<PlatformCall, "platform" | "method" | "url">): string {
  return `${platform}: ${method} ${url.pathname} at ${url.host}`;
}

/**
 * @throws Unavailable when there is no answer, or still a 429 or a 5xx, after the repetitions; or when the pause that
 *   the platform asks for is longer than what is left of the call's time.
 */
export async function callPlatform(call: PlatformCall): Promise<PlatformAnswer> {
  const pace = call.pace ?? defaultPace;
  const repeatable = call.repeatable ?? call.method === "GET";
  const deadline = performance.now() + pace.total;
  for (let attempt = 0; ; attempt++) {
    const outcome = await once(call, pace.attempt);
    const unknown = outcome.answer === undefined || outcome.answer.status >= 500;
    const rejected = outcome.answer !== undefined && rateRejections.includes(outcome.answer.status);
    if (outcome.answer !== undefined && !unknown && !rejected) return outcome.answer;
    const asked = outcome.answer === undefined ? undefined : pauseAsked(outcome.answer.headers, Date.now());
    const backoff = Math.random() * pace.firstPause * 2 ** Math.min(attempt, 16);
    // Never before the platform wants to be asked again, and not all clients in the same instant.
    const pause = asked === undefined ? backoff : asked + Math.random() * pace.firstPause;
    if ((rejected || repeatable) && performance.now() + pause < deadline) {
      await sleep(pause, undefined, call.signal === undefined ? {} : { signal: call.signal });
      continue;
    }
    const wait = rejected && asked !== undefined ? `; it may be called again in ${Math.ceil(asked / 1000)} s` : "";
    throw new Unavailable(`${describeCall(call)}: ${outcome.reason}${wait}`, {
      cause: outcome.cause,
      hint: platformHint(call.platform),
    });
  }
}

/** @param hint what to do about it; default: nothing but to look. */
export function platformHint(platform: PlatformCall["platform"], hint?: string): string {
  return hintWithLinks(hint, platform.toLowerCase() as ApiName);
}

interface Outcome {
  readonly answer: PlatformAnswer | undefined;
  /** Why it is not what was asked for. */
  readonly reason: string;
  readonly cause?: unknown;
}

async function once(call: PlatformCall, milliseconds: number): Promise<Outcome> {
  const timeout = AbortSignal.timeout(milliseconds);
  const { body, headers, method, signal, answers = "json" } = call;
  try {
    const response = await fetch(call.url, {
      method,
      headers: {
        accept: answers === "json" ? "application/json" : "text/plain",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      // A token must not follow to wherever a redirection leads.
      redirect: "manual",
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
    });
    const text = await response.text();
    const { status } = response;
    if (status >= 300 && status < 400) {
      return { answer: undefined, reason: `answered ${status}, a redirection, which is not followed` };
    }
    const parsed = answers === "text" && response.ok ? text : parseJson(text);
    const reason = `answered ${status}${sayingOf(parsed)}`;
    if (response.ok && text !== "" && parsed === undefined) return { answer: undefined, reason: `${reason}, not JSON` };
    return { answer: { status, headers: response.headers, body: parsed }, reason };
  } catch (error) {
    if (signal?.aborted === true) throw error;
    const reason = timeout.aborted ? `no answer within ${milliseconds / 1000} s` : reasonOf(error);
    return { answer: undefined, reason, cause: error };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What `fetch` wraps: "fetch failed" alone tells nobody anything. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return redact(messageOf(cause));
}

const sayingSchemas = [
  z.object({ message: z.string() }).transform(({ message }) => message),
  z.object({ error: z.object({ message: z.string() }) }).transform(({ error }) => error.message),
  z.object({ err: z.object({ message: z.string() }) }).transform(({ err }) => err.message),
  z.object({ error: z.string() }).transform(({ error }) => error),
  z.object({ error: z.array(z.string()).min(1) }).transform(({ error }) => error.join("; ")),
  z.object({ errors: z.array(z.object({ message: z.string() })).min(1) }).transform(({ errors }) => errors[0]!.message),
];

/** The platform's own words about an error, wherever it puts them; undefined when it says nothing. */
export function messageIn(body: unknown): string | undefined {
  for (const schema of sayingSchemas) {
    const said = schema.safeParse(body).data;
    if (said !== undefined && said !== "") return redact(said.replace(/\s+/g, " ").trim().slice(0, 300));
  }
  return undefined;
}

function sayingOf(body: unknown): string {
  const said = messageIn(body);
  return said === undefined ? "" : ` (${said})`;
}

/**
 * Milliseconds from `now` that the answer asks to wait: `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3),
 * else `X-RateLimit-Reset` of a used-up limit, which Supabase gives in seconds from now and Vercel as a Unix time.
 */
function pauseAsked(headers: Headers, now: number): number | undefined {
  const after = headers.get("retry-after")?.trim();
  if (after !== undefined && after !== "") {
    if (/^\d+(\.\d+)?$/.test(after)) return Number(after) * 1000;
    const date = Date.parse(after);
    if (!Number.isNaN(date)) return Math.max(0, date - now);
  }
  const reset = headers.get("x-ratelimit-reset")?.trim() ?? "";
  if (!/^\d+$/.test(reset) || headers.get("x-ratelimit-remaining") !== "0") return undefined;
  const seconds = Number(reset);
  // No limit lasts 30 years: larger numbers are points in time, in seconds or in milliseconds.
  if (seconds < 1e9) return seconds * 1000;
  return Math.max(0, (seconds < 1e12 ? seconds * 1000 : seconds) - now);
}

/**
 * An answer in the form that the caller relies on.
 *
 * @throws Unavailable naming the field: an API that changed must not look like a project that is well.
 */
export function parseAnswer<T extends z.ZodType>(
  schema: T,
  answer: PlatformAnswer,
  call: Pick<PlatformCall, "platform" | "method" | "url">,
): z.output<T> {
  const result = schema.safeParse(answer.body);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue === undefined || issue.path.length === 0 ? "the answer" : issue.path.join(".");
  throw new Unavailable(`${describeCall(call)}: an answer of unknown form: ${field}: ${issue?.message ?? "invalid"}`, {
    hint: platformHint(call.platform, "the API may have changed: update this program"),
  });
}

/**
 * The base address of a platform's API: `variable` of the environment, for a proxy or a fake, else `standard`.
 *
 * @throws UsageError for anything but https, or http to this machine: a token would travel in the clear.
 */
export function apiAddress(env: NodeJS.ProcessEnv, variable: string, standard: string): string {
  const text = env[variable] || standard;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const local = url?.protocol === "http:" && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  if (url !== undefined && url.username === "" && url.password === "" && (url.protocol === "https:" || local)) {
    return text.replace(/\/+$/, "");
  }
  throw new UsageError(`${variable}: found ${redact(JSON.stringify(text))}: expected an https URL without credentials`);
}
