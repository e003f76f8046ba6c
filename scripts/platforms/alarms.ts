/** CloudWatch's alarms that tell one topic, and how each stands. */
import { Unavailable, UsageError, messageOf } from "../contract/failure";

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
export async function readAlarms(topicArn: string, signal?: AbortSignal): Promise<Alarm[]> {
  const [, region] = /^arn:aws[\w-]*:sns:([\w-]+):\d*:[\w.-]+$/.exec(topicArn) ?? [];
  if (region === undefined)
    throw new UsageError(
      `ALERT_TOPIC_ARN: found ${JSON.stringify(topicArn)}: expected arn:aws:sns:<region>:<account>:<topic>`,
    );
  const { CloudWatchClient, DescribeAlarmsCommand } = await import("@aws-sdk/client-cloudwatch");
  const client = new CloudWatchClient({ region });
  try {
    const found = await client.send(
      new DescribeAlarmsCommand({
        ActionPrefix: topicArn,
        AlarmTypes: ["MetricAlarm", "CompositeAlarm"],
        MaxRecords: mostAlarms,
      }),
      signal === undefined ? {} : { abortSignal: signal },
    );
    return [...(found.MetricAlarms ?? []), ...(found.CompositeAlarms ?? [])].map((alarm) => ({
      name: alarm.AlarmName ?? "",
      state: alarm.StateValue ?? "INSUFFICIENT_DATA",
      reason: alarm.StateReason ?? "",
    }));
  } catch (error) {
    throw new Unavailable(`CloudWatch in ${region}: ${messageOf(error)}`, {
      cause: error,
      hint: "expected credentials that may call cloudwatch:DescribeAlarms",
    });
  } finally {
    client.destroy();
  }
}
