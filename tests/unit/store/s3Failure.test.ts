/** What an S3 server's errors mean: exit code, what to do, no secret. */
import assert from "node:assert/strict";
import { Unavailable, UsageError } from "../../../scripts/contract/failure";
import { registerSecret } from "../../../scripts/contract/redaction";
import { s3Failure } from "../../../scripts/store/s3Failure";

const place = { url: "s3://bucket/crm", bucket: "bucket", host: "s3.example.com:9000" };

function answer(status: number, name: string, message = "text"): Error {
  return Object.assign(new Error(message), { name, Code: name, $metadata: { httpStatusCode: status } });
}

describe("failures of an S3 store", () => {
  const cases: [string, Error, RegExp, RegExp][] = [
    ["no such bucket", answer(404, "NoSuchBucket"), /has no bucket bucket/, /create the bucket/],
    ["expired session", answer(400, "ExpiredToken"), /expired/, /AWS_SESSION_TOKEN/],
    [
      "wrong secret key",
      answer(403, "SignatureDoesNotMatch"),
      /does not accept these credentials/,
      /AWS_SECRET_ACCESS_KEY/,
    ],
    ["missing right", answer(403, "AccessDenied"), /denies access to bucket bucket/, /s3:PutObject/],
    ["missing right, HEAD", answer(403, "Unknown"), /denies access/, /s3:ListBucket/],
    ["another region", answer(301, "PermanentRedirect"), /another region/, /AWS_REGION/],
    ["overloaded", answer(503, "SlowDown"), /answered 503 SlowDown/, /later/],
    [
      "nobody listens",
      Object.assign(new Error("connect"), { code: "ECONNREFUSED" }),
      /cannot reach s3\.example\.com:9000: ECONNREFUSED/,
      /AWS_ENDPOINT_URL_S3/,
    ],
    [
      "no answer",
      Object.assign(new Error("timed out"), { name: "TimeoutError" }),
      /cannot reach .*timed out/,
      /network/,
    ],
    [
      "private CA",
      Object.assign(new Error("self-signed"), { code: "SELF_SIGNED_CERT_IN_CHAIN" }),
      /cannot reach/,
      /NODE_EXTRA_CA_CERTS/,
    ],
    [
      "no credentials",
      Object.assign(new Error("Could not load credentials"), { name: "CredentialsProviderError" }),
      /no credentials/,
      /AWS_PROFILE/,
    ],
  ];
  for (const [what, error, message, hint] of cases)
    it(`${what}: exit 3, with what to do`, () => {
      const failure = s3Failure(error, place);
      assert.ok(failure instanceof Unavailable);
      assert.equal(failure.exitCode, 3);
      assert.match(failure.message, message);
      assert.match(failure.message, /s3:\/\/bucket\/crm/);
      assert.match(failure.hint ?? "", hint);
      assert.equal(failure.cause, undefined, "the SDK's error holds request headers");
    });

  it("a missing region is a mistake of configuration", () => {
    const failure = s3Failure(new Error("Region is missing"), place);
    assert.ok(failure instanceof UsageError);
    assert.match(failure.message, /^AWS_REGION: /);
  });

  it("never repeats a secret that the server echoes", () => {
    registerSecret("s3cr3t-session-token");
    const failure = s3Failure(answer(400, "BadRequest", "token s3cr3t-session-token is odd"), place) as Error;
    assert.doesNotMatch(failure.message, /s3cr3t/);
    assert.match(failure.message, /\[redacted\]/);
  });

  it("leaves a bug of ours as it is", () => {
    const bug = new TypeError("x is not a function");
    assert.equal(s3Failure(bug, place), bug);
  });
});
