/**
 * How every service of AWS but the store's own bucket is asked: within a time, whatever the network does. By default the
 * SDK's requests have no limit, and none of its own limits covers the search for credentials.
 */
import { Unavailable, UsageError, codeOf, messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";

/** What every client is made with. One attempt: milliseconds to connect, and until the whole answer is there. */
export const awsBounds = {
  maxAttempts: 3,
  requestHandler: { connectionTimeout: 3_000, requestTimeout: 8_000, throwOnRequestTimeout: true },
} as const;

/** Milliseconds for one question: all attempts, and the credentials before the first. */
export const awsMilliseconds = 20_000;

export interface AwsPatience {
  /** Default `awsMilliseconds`. */
  readonly milliseconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What the SDK takes beside a command. */
export interface AwsRequestOptions {
  readonly abortSignal: AbortSignal;
}

/**
 * The answer to `ask`, which hands its options on to the client's `send`.
 *
 * @throws the SDK's error; the reason of `signal`; Error naming the milliseconds when nothing came within them.
 */
export async function askAws<T>(
  ask: (options: AwsRequestOptions) => Promise<T>,
  { milliseconds = awsMilliseconds, signal }: AwsPatience = {},
): Promise<T> {
  const silence = new AbortController();
  const limit = signal === undefined ? silence.signal : AbortSignal.any([silence.signal, signal]);
  const timer = setTimeout(() => silence.abort(), milliseconds);
  let giveUp = (): void => undefined;
  const givenUp = new Promise<never>((_, reject) => {
    giveUp = () => reject(new Error(`no answer within ${milliseconds} ms`));
    limit.addEventListener("abort", giveUp, { once: true });
  });
  try {
    signal?.throwIfAborted();
    return await Promise.race([ask({ abortSignal: limit }), givenUp]);
  } catch (error) {
    signal?.throwIfAborted();
    if (silence.signal.aborted) throw new Error(`no answer within ${milliseconds} ms`, { cause: error });
    throw error;
  } finally {
    clearTimeout(timer);
    limit.removeEventListener("abort", giveUp);
  }
}

/**
 * What the SDK threw, as a failure of the contract. The SDK's error is not kept as the cause: its response holds request
 * headers with credentials.
 *
 * @param what what does not work: `KMS in eu-central-1`.
 */
export function awsFailure(error: unknown, what: string, hint: string): Unavailable | UsageError {
  const name = error instanceof Error && error.name !== "Error" ? error.name : codeOf(error);
  const text = `${name === undefined ? "" : `${name}: `}${redact(messageOf(error)).split("\n")[0] ?? ""}`;
  if (messageOf(error) === "Region is missing")
    return new UsageError(`AWS_REGION: found nothing: ${what} needs a region, e.g. eu-central-1`);
  if (name === "CredentialsProviderError" || name === "TokenProviderError")
    return new Unavailable(`${what}: no credentials: ${redact(messageOf(error)).split("\n")[0] ?? ""}`, {
      hint: "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE, of this environment",
    });
  return new Unavailable(`${what}: ${text}`, { hint });
}
