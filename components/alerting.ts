/**
 * Who is told when backups stop: a topic, encrypted, an alarm for the dump that failed, and one for the dump that did not
 * happen, which nothing else would tell.
 */
import * as cloudwatch from "@pulumi/aws/cloudwatch";
import * as sns from "@pulumi/aws/sns";
import * as pulumi from "@pulumi/pulumi";
import { type AwsPlace, type PolicyStatement, encryptionKey, placeOf, useThrough } from "./encryptionKey";

export interface AlertTopicArgs {
  /** Addresses that get a mail, once each has confirmed the first one. Defaults to none. Plain. */
  readonly emails?: readonly string[] | undefined;
  /** Endpoints that get a POST, once each has confirmed the first one; without secrets. Defaults to none. Plain. */
  readonly httpsEndpoints?: readonly string[] | undefined;
}

/** The topic, apart from the alarms: the scheduled dumps tell it what failed, the alarms watch the scheduled dumps. */
export class AlertTopic extends pulumi.ComponentResource {
  readonly arn: pulumi.Output<string>;
  readonly kmsKeyArn: pulumi.Output<string>;

  constructor(name: string, args: AlertTopicArgs, opts?: pulumi.ComponentResourceOptions) {
    super("database-protection:index:AlertTopic", name, {}, opts);
    const child = { parent: this };
    const key = encryptionKey(
      `${name}-key`,
      { description: `${name}: messages of alarms`, usage: throughTopic },
      child,
    );
    const topic = new sns.Topic(`${name}-topic`, { kmsMasterKeyId: key.arn }, child);
    const policy = new sns.TopicPolicy(
      `${name}-topic`,
      {
        arn: topic.arn,
        policy: pulumi.jsonStringify(
          pulumi.output({ place: placeOf(this), topic: topic.arn }).apply((facts) => topicPolicy(facts)),
        ),
      },
      child,
    );
    const subscriptions = [
      ...(args.emails ?? []).map((endpoint) => ["email", endpoint] as const),
      ...(args.httpsEndpoints ?? []).map((endpoint) => ["https", endpoint] as const),
    ];
    for (const [protocol, endpoint] of subscriptions)
      new sns.TopicSubscription(`${name}-${protocol}-${endpoint}`, { topic: topic.arn, protocol, endpoint }, child);
    // Known once alarms may use it.
    this.arn = pulumi.all([topic.arn, policy.id]).apply(([arn]) => arn);
    this.kmsKeyArn = key.arn;
    this.registerOutputs({ arn: this.arn });
  }
}

export interface AlertingArgs {
  /** ARN of the topic that gets every alarm, and its end. */
  readonly topicArn: pulumi.Input<string>;
  /** ARN of the state machine of the scheduled dumps. */
  readonly stateMachineArn: pulumi.Input<string>;
  /** Hours without a dump that succeeded. Defaults to 26, as for the platform's own: a daily one, and two hours to take it. */
  readonly heartbeatHours?: number | undefined;
  /** Topic that wakes somebody when any of the alarms stands. Defaults to none: `topicArn` is told of each. Plain. */
  readonly pagingTopicArn?: pulumi.Input<string> | undefined;
}

export class Alerting extends pulumi.ComponentResource {
  /** In alarm while any other is. */
  readonly unprotected: cloudwatch.CompositeAlarm;

  constructor(name: string, args: AlertingArgs, opts?: pulumi.ComponentResourceOptions) {
    super("database-protection:index:Alerting", name, {}, opts);
    const child = { parent: this };
    // Names are left to Pulumi, which makes them unique: a second alarm of the same name would replace the first.
    const told = { alarmActions: [args.topicArn], okActions: [args.topicArn] };
    const machine = { StateMachineArn: args.stateMachineArn };
    const missing = new cloudwatch.MetricAlarm(
      `${name}-no-dump`,
      {
        alarmDescription: "No scheduled dump has succeeded for too long: docs/schedules.md",
        namespace: "AWS/States",
        metricName: "ExecutionsSucceeded",
        dimensions: machine,
        statistic: "Sum",
        period: 3600,
        evaluationPeriods: args.heartbeatHours ?? 26,
        threshold: 1,
        comparisonOperator: "LessThanThreshold",
        // A schedule that no longer exists sends no zeros.
        treatMissingData: "breaching",
        ...told,
      },
      child,
    );
    const failed = new cloudwatch.MetricAlarm(
      `${name}-dump-failed`,
      {
        alarmDescription: "A scheduled dump failed, after being repeated: see its log",
        metricQueries: [
          { id: "ended", expression: "SUM(METRICS())", label: "executions without success", returnData: true },
          ...["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"].map((metricName) => ({
            id: metricName.replace("Executions", "").toLowerCase(),
            metric: { namespace: "AWS/States", metricName, dimensions: machine, stat: "Sum", period: 300 },
            returnData: false,
          })),
        ],
        evaluationPeriods: 1,
        threshold: 1,
        comparisonOperator: "GreaterThanOrEqualToThreshold",
        // Most minutes have no execution.
        treatMissingData: "notBreaching",
        ...told,
      },
      child,
    );
    const paging = args.pagingTopicArn === undefined ? [] : [args.pagingTopicArn];
    this.unprotected = new cloudwatch.CompositeAlarm(
      `${name}-unprotected`,
      {
        alarmName: `${pulumi.getProject()}-${pulumi.getStack()}-${name}-unprotected`,
        alarmDescription: "The database has no fresh verified backup, or its dump fails",
        alarmRule: pulumi.interpolate`ALARM("${missing.name}") OR ALARM("${failed.name}")`,
        alarmActions: paging,
        okActions: paging,
      },
      child,
    );
    new cloudwatch.Dashboard(
      `${name}-dashboard`,
      {
        dashboardName: `${pulumi.getProject()}-${pulumi.getStack()}-${name}`,
        dashboardBody: pulumi.jsonStringify(
          pulumi
            .output({
              machine: args.stateMachineArn,
              alarms: [this.unprotected.arn, missing.arn, failed.arn],
              place: placeOf(this),
            })
            .apply(dashboard),
        ),
      },
      child,
    );
    this.registerOutputs({ unprotected: this.unprotected.arn });
  }
}

interface DashboardFacts {
  readonly machine: string;
  readonly alarms: readonly string[];
  readonly place: AwsPlace;
}

/** The verdict first, then what led to it. */
function dashboard({ machine, alarms, place: { region } }: DashboardFacts): object {
  const metrics = (title: string, names: readonly string[], stat: string, period: number): object => ({
    type: "metric",
    width: 12,
    height: 6,
    properties: {
      title,
      region,
      stat,
      period,
      metrics: names.map((metricName) => ["AWS/States", metricName, "StateMachineArn", machine]),
    },
  });
  return {
    widgets: [
      { type: "alarm", width: 24, height: 3, properties: { title: "Verdict", alarms } },
      metrics("Scheduled dumps", ["ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut"], "Sum", 86_400),
      metrics("Milliseconds of a run", ["ExecutionTime"], "Maximum", 86_400),
    ],
  };
}

/** CloudWatch, which the key of AWS itself would refuse, and the account's own roles; both through SNS. */
function throughTopic(place: AwsPlace): PolicyStatement[] {
  return [
    {
      Sid: "Alarms",
      Effect: "Allow",
      Principal: { Service: "cloudwatch.amazonaws.com" },
      Action: ["kms:Decrypt", "kms:GenerateDataKey"],
      Resource: "*",
      Condition: { StringEquals: { "aws:SourceAccount": place.account } },
    },
    useThrough(place, "ThroughSns", `sns.${place.region}.amazonaws.com`),
  ];
}

function topicPolicy({ place, topic }: { readonly place: AwsPlace; readonly topic: string }): object {
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "Alarms",
        Effect: "Allow",
        Principal: { Service: "cloudwatch.amazonaws.com" },
        Action: "sns:Publish",
        Resource: topic,
        Condition: { StringEquals: { "aws:SourceAccount": place.account } },
      },
      {
        Sid: "TlsOnly",
        Effect: "Deny",
        Principal: "*",
        Action: "sns:Publish",
        Resource: topic,
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
    ],
  };
}
