/**
 * What an S3 server or the way to it said, as a failure of the contract: which bucket, which host, what to
 * do. The SDK's error itself is not kept as the cause: its response holds request headers with credentials.
 */
import { Unavailable, UsageError, codeOf, messageOf } from "../contract/failure";
import { redact } from "../contract/redaction";

export interface S3Place {
  /** `s3://bucket/prefix`. */
  readonly url: string;
  readonly bucket: string;
  /** Host (and port) of the endpoint; `AWS S3` where the SDK derives it from the region. */
  readonly host: string;
}

/** HTTP status of an answer, or undefined when there was none. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("$metadata" in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== "object" || metadata === null || !("httpStatusCode" in metadata)) return undefined;
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined;
}

/** Whether the server refused because the condition did not hold, or because another write was under way. */
export function isConditionRefused(error: unknown): boolean {
  return statusOf(error) === 412 || statusOf(error) === 409;
}

export function isAbsent(error: unknown): boolean {
  return statusOf(error) === 404 && nameOf(error) !== "NoSuchBucket" && nameOf(error) !== "NoSuchUpload";
}

const expiredNames: readonly string[] = [
  "ExpiredToken",
  "ExpiredTokenException",
  "TokenRefreshRequired",
  "RequestExpired",
];

/** Whether other credentials of the same source could help. The answer to HEAD has no body and thus no name. */
export function isExpired(error: unknown): boolean {
  return expiredNames.includes(nameOf(error)) || (statusOf(error) === 400 && !hasCode(error));
}

/** Whether the same request may succeed a moment later: the server is overloaded or stumbled, the connection broke. */
export function isTransient(error: unknown): boolean {
  const status = statusOf(error);
  if (status === undefined) return isNetworkError(error);
  if (["SlowDown", "RequestTimeout", "RequestLimitExceeded", "Throttling"].includes(nameOf(error))) return true;
  return status === 429 || (status >= 500 && status !== 501 && status !== 507);
}

const credentialsHint =
  "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE, of this environment";

/** A Failure, or, when the error is a bug of ours, the error as it is. */
export function s3Failure(error: unknown, place: S3Place): unknown {
  const name = nameOf(error);
  const status = statusOf(error);
  const at = `store ${place.url}`;
  switch (name) {
    case "NoSuchBucket":
      return new Unavailable(`${at}: ${place.host} has no bucket ${place.bucket}`, {
        hint: "create the bucket, or correct BACKUP_STORE or AWS_ENDPOINT_URL_S3",
      });
    case "CredentialsProviderError":
    case "TokenProviderError":
      return new Unavailable(`${at}: no credentials for ${place.host}: ${plain(error)}`, { hint: credentialsHint });
    case "ExpiredToken":
    case "ExpiredTokenException":
    case "TokenRefreshRequired":
    case "RequestExpired":
      return new Unavailable(`${at}: the session credentials for ${place.host} have expired`, {
        hint: "get new ones (aws sso login, or a new AWS_SESSION_TOKEN) and run again",
      });
    case "InvalidAccessKeyId":
    case "SignatureDoesNotMatch":
    case "InvalidToken":
      return new Unavailable(`${at}: ${place.host} does not accept these credentials (${name})`, {
        hint: credentialsHint,
      });
    case "NoSuchUpload":
      return new Unavailable(`${at}: the unfinished upload is gone: somebody else has taken it back`, {
        hint: "does another backup run into this store, or does its lifecycle remove unfinished uploads at once?",
      });
    case "RequestTimeTooSkewed":
      return new Unavailable(`${at}: this machine's clock differs too much from that of ${place.host}`, {
        hint: "set the clock (NTP)",
      });
    case "PermanentRedirect":
    case "AuthorizationHeaderMalformed":
    case "IllegalLocationConstraintException":
      return new Unavailable(`${at}: the bucket is in another region (${name})`, {
        hint: "set AWS_REGION to the bucket's region",
      });
  }
  if (status === 401 || status === 403)
    return new Unavailable(`${at}: ${place.host} denies access to bucket ${place.bucket}`, {
      hint: "the role needs s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:AbortMultipartUpload below it (and the use of its KMS key); db:list and db:prune need more: docs/settings.md, Retention",
    });
  if (status === 507 || /StorageFull|QuotaExceeded|InsufficientStorage/i.test(name))
    return new Unavailable(`${at}: ${place.host} has no space left (${name})`);
  if (status === 409)
    return new Unavailable(`${at}: another write of the same object was under way (${name})`, { hint: "run again" });
  if (status !== undefined)
    return new Unavailable(`${at}: ${place.host} answered ${status} ${name}: ${plain(error)}`, {
      hint: status >= 500 ? "try again later" : "does AWS_ENDPOINT_URL_S3 name an S3 server?",
    });
  if (messageOf(error) === "Region is missing")
    return new UsageError(
      "AWS_REGION: found nothing: an s3:// store needs the region of its bucket, e.g. eu-central-1",
    );
  return isNetworkError(error)
    ? new Unavailable(`${at}: cannot reach ${place.host}: ${codeOf(error) ?? plain(error)}`, {
        hint: /CERT|SIGNED|TLS|SSL|UNABLE_TO/.test(codeOf(error) ?? "")
          ? "for a private certificate authority set NODE_EXTRA_CA_CERTS"
          : "check AWS_ENDPOINT_URL_S3, the network and its proxy",
      })
    : error;
}

function isNetworkError(error: unknown): boolean {
  if (error instanceof TypeError) return false;
  return codeOf(error) !== undefined || nameOf(error) === "TimeoutError" || messageOf(error) === "aborted";
}

function hasCode(error: unknown): boolean {
  return typeof error === "object" && error !== null && "Code" in error;
}

/** What the server calls it, first: the SDK names some errors after its own classes. */
export function nameOf(error: unknown): string {
  if (typeof error === "object" && error !== null && "Code" in error && typeof error.Code === "string")
    return error.Code;
  return error instanceof Error ? error.name : "";
}

function plain(error: unknown): string {
  return redact(messageOf(error)).split("\n")[0] ?? "";
}
