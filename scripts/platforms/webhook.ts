/** One JSON POST to the team's webhook. Its address is a secret: no message names more than the host. */
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf, messageOf } from "../contract/failure";
import { registerSecret } from "../contract/redaction";

export interface WebhookPace {
  /** Milliseconds that one attempt may take. */
  readonly attempt: number;
  /** Milliseconds before the one repetition. */
  readonly pause: number;
}

/** With its repetition at most 11 seconds: whoever releases or rolls back waits for it. */
const defaultWebhookPace: WebhookPace = { attempt: 5_000, pause: 1_000 };

export interface Delivery {
  readonly delivered: boolean;
  /** `hooks.example.com answered 200`, or why it was not delivered. */
  readonly detail: string;
}

/** Never throws: that nobody could be told is no reason to stop what they were to be told of. */
export async function postWebhook(
  address: string,
  body: object,
  pace: WebhookPace = defaultWebhookPace,
): Promise<Delivery> {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    return { delivered: false, detail: "NOTIFY_WEBHOOK_URL: expected an http:// or https:// URL" };
  }
  for (const part of [address, url.href, url.pathname.length > 1 ? url.pathname : ""]) registerSecret(part);
  const first = await attempt(url, body, pace.attempt);
  if (!first.passing) return first;
  await sleep(pace.pause);
  return attempt(url, body, pace.attempt);
}

/** `passing`: it may succeed if it is tried again. */
async function attempt(url: URL, body: object, milliseconds: number): Promise<Delivery & { passing: boolean }> {
  const timeout = AbortSignal.timeout(milliseconds);
  try {
    const headers = { "content-type": "application/json; charset=utf-8" };
    const request = {
      method: "POST",
      headers,
      body: JSON.stringify(body),
      redirect: "manual",
      signal: timeout,
    } as const;
    const response = await fetch(url, request);
    await response.body?.cancel();
    const { ok, status } = response;
    const detail = `${url.host} answered ${status}`;
    return { delivered: ok, detail, passing: !ok && (status === 429 || status >= 500) };
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const why = timeout.aborted ? `did not answer within ${milliseconds} ms` : (codeOf(cause) ?? messageOf(cause));
    return { delivered: false, detail: `${url.host}: ${why}`, passing: true };
  }
}
