/** One message to a topic of Amazon SNS, which hands it on to whoever subscribed: by mail, by HTTPS, to a pager. */
import { codeOf, messageOf } from "../contract/failure";
import { askAws, awsBounds } from "./awsRequest";
import type { Delivery } from "./webhook";

export interface TopicMessage {
  /** Shown by mail. */
  readonly subject: string;
  readonly text: string;
  /** For filter policies of subscriptions. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** Milliseconds for all attempts: whoever releases or rolls back waits for it. */
const defaultTopicMilliseconds = 11_000;

/** SNS takes a subject of less than 100 characters without line breaks (API_Publish, Subject); mail wants printable ASCII. */
const longestSubject = 99;

/**
 * Credentials are those that the AWS SDK finds; `sns:Publish` on the topic is needed, and for one encrypted with a key of
 * one's own `kms:GenerateDataKey` and `kms:Decrypt` on it. Never throws: that nobody could be told is no reason to stop what
 * they were to be told of.
 */
export async function publishToTopic(
  arn: string,
  { subject, text, attributes }: TopicMessage,
  milliseconds = defaultTopicMilliseconds,
): Promise<Delivery> {
  const [, region, topic] = /^arn:aws[\w-]*:sns:([\w-]+):\d+:([\w-]+)$/.exec(arn) ?? [];
  if (region === undefined || topic === undefined) {
    return {
      delivered: false,
      detail: `NOTIFY_SNS_TOPIC_ARN: found ${JSON.stringify(arn)}: expected arn:aws:sns:<region>:<account>:<topic>, not FIFO`,
    };
  }
  const { PublishCommand, SNSClient } = await import("@aws-sdk/client-sns");
  const client = new SNSClient({ ...awsBounds, region, maxAttempts: 2 });
  try {
    const command = new PublishCommand({
      TopicArn: arn,
      Subject: subject
        .replace(/[^ -~]/g, "?")
        .trimStart()
        .slice(0, longestSubject),
      Message: text,
      MessageAttributes: Object.fromEntries(
        Object.entries(attributes).map(([name, value]) => [name, { DataType: "String", StringValue: value }]),
      ),
    });
    await askAws((options) => client.send(command, options), { milliseconds });
    return { delivered: true, detail: `SNS topic ${topic} took it` };
  } catch (error) {
    const name = error instanceof Error && error.name !== "Error" ? error.name : codeOf(error);
    const why = `${name === undefined ? "" : `${name}: `}${messageOf(error)}`;
    return { delivered: false, detail: `SNS topic ${topic}: ${why}` };
  } finally {
    client.destroy();
  }
}
