/** CloudWatch's alarms that tell one topic, and how each stands. */
import { UsageError } from "../contract/failure";
import { type AwsPatience, askAws, awsBounds, awsFailure } from "./awsRequest";

export interface Alarm {
  readonly name: string;
  /** `OK`, `ALARM`, `INSUFFICIENT_DATA`. */
  readonly state: string;
  /** Why, as CloudWatch says it. */
  readonly reason: string;
}

/** Alarms of one request; CloudWatch gives at most as many. */
const mostAlarms = 100;

/**
 * @param topicArn `arn:aws:sns:<region>:…`, whose region is asked.
 * @throws UsageError when it is none; Unavailable when CloudWatch cannot be reached or refuses.
 */
export async function readAlarms(topicArn: string, patience: AwsPatience = {}): Promise<Alarm[]> {
  const [, region] = /^arn:aws[\w-]*:sns:([\w-]+):\d*:[\w.-]+$/.exec(topicArn) ?? [];
  if (region === undefined)
    throw new UsageError(
      `ALERT_TOPIC_ARN: found ${JSON.stringify(topicArn)}: expected arn:aws:sns:<region>:<account>:<topic>`,
    );
  const { CloudWatchClient, DescribeAlarmsCommand } = await import("@aws-sdk/client-cloudwatch");
  const client = new CloudWatchClient({ ...awsBounds, region });
  try {
    const command = new DescribeAlarmsCommand({
      ActionPrefix: topicArn,
      AlarmTypes: ["MetricAlarm", "CompositeAlarm"],
      MaxRecords: mostAlarms,
    });
    const found = await askAws((options) => client.send(command, options), patience);
    return [...(found.MetricAlarms ?? []), ...(found.CompositeAlarms ?? [])].map((alarm) => ({
      name: alarm.AlarmName ?? "",
      state: alarm.StateValue ?? "INSUFFICIENT_DATA",
      reason: alarm.StateReason ?? "",
    }));
  } catch (error) {
    patience.signal?.throwIfAborted();
    throw awsFailure(error, `CloudWatch in ${region}`, "expected credentials that may call cloudwatch:DescribeAlarms");
  } finally {
    client.destroy();
  }
}
