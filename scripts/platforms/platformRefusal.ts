/** What a platform's 4xx becomes: whose mistake it is, and which variable to look at. */
import { Refusal, UsageError } from "../contract/failure";
import { type PlatformAnswer, type PlatformCall, describeCall, messageIn, platformHint } from "./http";

/** The platform understood and said no. */
export class PlatformRefusal extends Refusal {
  constructor(
    message: string,
    /** HTTP status. */
    readonly status: number,
    options: { readonly hint?: string } = {},
  ) {
    super(message, options);
  }
}

/**
 * @param tokenVariable the environment variable that the token came from.
 * @throws UsageError for a token that the platform does not know; PlatformRefusal for every other 4xx.
 */
export function demandSuccess(
  answer: PlatformAnswer,
  call: Pick<PlatformCall, "platform" | "method" | "url">,
  tokenVariable: string,
): void {
  const { status, body } = answer;
  if (status < 400) return;
  const { platform } = call;
  const told = `answered ${status} (${messageIn(body) ?? "no reason given"})`;
  if (status === 401 || (status === 403 && isInvalidToken(body))) {
    throw new UsageError(`${tokenVariable}: ${platform} does not know this token: ${told}`, {
      hint: platformHint(platform, `create a new one at ${platform} and set ${tokenVariable}`),
    });
  }
  if (status === 403) {
    throw new PlatformRefusal(`${tokenVariable}: the token may not do this: ${describeCall(call)}: ${told}`, status, {
      hint: platformHint(platform, "give it the right, or use one of a member who has it"),
    });
  }
  throw new PlatformRefusal(`${describeCall(call)}: ${told}`, status, { hint: platformHint(platform) });
}

/** Vercel answers 403, not 401, to a token that it does not know. */
function isInvalidToken(body: unknown): boolean {
  const error = typeof body === "object" && body !== null && "error" in body ? body.error : undefined;
  return typeof error === "object" && error !== null && "invalidToken" in error && error.invalidToken === true;
}
