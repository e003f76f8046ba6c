/** What stand-ins for AWS's JSON services share: a server that checks the signature's scope, and what leads the SDK there. */
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { type LoopbackServer, listenOnLoopback } from "../../scripts/rehearsal/loopbackServer";

export const awsRegion = "eu-central-1";

export const awsCredentials = {
  AWS_REGION: awsRegion,
  AWS_ACCESS_KEY_ID: "test",
  AWS_SECRET_ACCESS_KEY: "test",
  // No credentials of the machine's: a request to its metadata would take seconds.
  AWS_EC2_METADATA_DISABLED: "true",
} as const;

/** An error as these services answer it. */
export class AwsRefusal extends Error {
  constructor(
    readonly type: string,
    message: string,
    readonly status = 400,
  ) {
    super(message);
  }
}

export interface AwsService {
  /** As it is signed for: `kms`. */
  readonly service: string;
  /** Of errors, before `#`. */
  readonly namespace: string;
  readonly contentType: "application/x-amz-json-1.0" | "application/x-amz-json-1.1";
  /** @param target what `x-amz-target` says. @throws AwsRefusal. */
  answer(target: string, body: unknown): unknown;
}

export async function startAwsFake({ service, namespace, contentType, answer }: AwsService): Promise<LoopbackServer> {
  const scope = new RegExp(
    `^AWS4-HMAC-SHA256 Credential=test/\\d{8}/${awsRegion}/${service}/aws4_request, SignedHeaders=\\S+, Signature=[0-9a-f]{64}$`,
  );
  const server = createServer((request, response) => {
    void (async () => {
      const raw = await buffer(request);
      try {
        const { authorization = "", "x-amz-target": target, "content-encoding": encoding } = request.headers;
        if (!scope.test(authorization))
          throw new AwsRefusal("AccessDeniedException", "not signed for this service and region");
        if (request.headers["content-type"] !== contentType)
          throw new AwsRefusal("UnknownOperationException", "another content type");
        const body: unknown = JSON.parse(String(encoding === "gzip" ? gunzipSync(raw) : raw));
        const answered = JSON.stringify(answer(String(target), body));
        response.writeHead(200, { "content-type": contentType }).end(answered);
      } catch (error) {
        const { type, message, status } =
          error instanceof AwsRefusal ? error : new AwsRefusal("InternalFailure", String(error), 500);
        response
          .writeHead(status, { "content-type": contentType, "x-amzn-query-error": `${type};Sender` })
          .end(JSON.stringify({ __type: `${namespace}#${type}`, message }));
      }
    })();
  });
  return listenOnLoopback(server);
}
