/** What SNS answers and checks of Publish: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html. */
import { type LoopbackServer, serveLoopback } from "../../scripts/rehearsal/loopbackServer";

export const snsTopic = "arn:aws:sns:eu-central-1:111122223333:releases";

export interface SnsFake extends LoopbackServer {
  readonly published: URLSearchParams[];
  /** A code with which every request is refused; `silent`: no answer. */
  refuse: string | undefined;
  /** For the SDK, which reads the process's environment. */
  readonly env: Readonly<Record<string, string>>;
}

export async function startSns(): Promise<SnsFake> {
  const published: URLSearchParams[] = [];
  const failure = (status: number, code: string, message: string) => ({
    status,
    headers: { "content-type": "text/xml" },
    body: `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error><RequestId>r</RequestId></ErrorResponse>`,
  });
  const server = await serveLoopback(async ({ method, headers, body }) => {
    if (fake.refuse === "silent") return new Promise(() => undefined);
    if (fake.refuse !== undefined) return failure(403, fake.refuse, "is not authorized to perform: SNS:Publish");
    const signed =
      /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d{8}\/eu-central-1\/sns\/aws4_request, .*Signature=[0-9a-f]{64}$/;
    if (method !== "POST" || !signed.test(headers.authorization ?? "")) {
      return failure(403, "SignatureDoesNotMatch", "the request is not signed");
    }
    const form = new URLSearchParams(body);
    if (form.get("Action") !== "Publish" || form.get("Version") !== "2010-03-31") {
      return failure(400, "InvalidAction", "expected Publish of 2010-03-31");
    }
    if (form.get("TopicArn") !== snsTopic) return failure(404, "NotFound", "Topic does not exist");
    // ASCII that begins with no blank, no line breaks, less than 100 characters.
    if (!/^[!-~][ -~]{0,98}$/.test(form.get("Subject") ?? "")) return failure(400, "InvalidParameter", "Subject");
    if ((form.get("Message") ?? "") === "") return failure(400, "InvalidParameter", "Empty message");
    published.push(form);
    return {
      status: 200,
      headers: { "content-type": "text/xml" },
      body: `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishResponse>`,
    };
  });
  const env = {
    ...{ AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "not-a-real-secret-key" },
    ...{ AWS_ENDPOINT_URL_SNS: server.url, AWS_EC2_METADATA_DISABLED: "true" },
  };
  const fake: SnsFake = { ...server, published, refuse: undefined, env };
  return fake;
}
