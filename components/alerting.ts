/**
 * Who is told when backups stop or the database is unwell: a topic, encrypted, an alarm for the dump that failed, one for
 * the dump that did not happen, which nothing else would tell, and those of the signals that `db:health` measures.
 */
import * as cloudwatch from "@pulumi/aws/cloudwatch";
import * as sns from "@pulumi/aws/sns";
import * as pulumi from "@pulumi/pulumi";
import {
  type SignalGroup,
  type SignalName,
  type ThresholdChanges,
  metricDimensions,
  metricName,
  metricNamespace,
  signalDefinitions,
  signalNames,
  thresholdsOf,
} from "../scripts/thresholds";
import { alarmWebhook } from "./alarmWebhook";
import { stackName } from "./commands";
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

/** What `db:health` measures, as a `HealthSchedule` of the same stack runs it. */
export interface HealthAlarms {
  /** Minutes from one reading to the next. */
  readonly minutes: number;
  /** Thresholds of the stack's own. Defaults to those of docs/monitoring.md. */
  readonly thresholds?: ThresholdChanges | undefined;
}

export interface AlertingArgs {
  /** ARN of the topic that gets every alarm, and its end. */
  readonly topicArn: pulumi.Input<string>;
  /** ARN of the state machine of the scheduled dumps. */
  readonly stateMachineArn: pulumi.Input<string>;
  /** Hours without a dump that succeeded. Defaults to 26, as for the platform's own: a daily one, and two hours to take it. */
  readonly heartbeatHours?: number | undefined;
  /** Topic that wakes somebody when dumps fail or a signal is critical. Defaults to none: `topicArn` is told of each. Plain. */
  readonly pagingTopicArn?: pulumi.Input<string> | undefined;
  /** Incoming webhook of Slack, or of what takes the same: is told of every alarm. Defaults to none. Plain: decides that. */
  readonly webhookUrl?: pulumi.Input<string> | undefined;
  /** Alarms on the signals of `db:health`. Defaults to none. Plain. */
  readonly health?: HealthAlarms | undefined;
}

/** Of five readings three have to be bad: one that is says little, and neither is one that is well the end of it. */
const evaluation = { evaluationPeriods: 5, datapointsToAlarm: 3 } as const;

export class Alerting extends pulumi.ComponentResource {
  /** In alarm while any is that somebody has to be woken for. */
  readonly unprotected: cloudwatch.CompositeAlarm;

  constructor(name: string, args: AlertingArgs, opts?: pulumi.ComponentResourceOptions) {
    super("database-protection:index:Alerting", name, {}, opts);
    const child = { parent: this };
    // Named after the stack: a second alarm of the same name would replace the first, whoever has it.
    const prefix = `${pulumi.getProject()}-${pulumi.getStack()}-`;
    const alarm = (alarmName: string, alarmArgs: cloudwatch.MetricAlarmArgs): cloudwatch.MetricAlarm =>
      new cloudwatch.MetricAlarm(
        `${name}-${alarmName}`,
        {
          name: `${prefix}${name}-${alarmName}`,
          ...alarmArgs,
          alarmActions: [args.topicArn],
          okActions: [args.topicArn],
        },
        child,
      );
    const dumps = dumpAlarms(args, alarm);
    const health = args.health === undefined ? { warn: [], critical: [] } : healthAlarms(args.health, alarm);
    const waking = [...dumps, ...health.critical];
    const paging = args.pagingTopicArn === undefined ? [] : [args.pagingTopicArn];
    this.unprotected = new cloudwatch.CompositeAlarm(
      `${name}-unprotected`,
      {
        alarmName: `${prefix}${name}-unprotected`,
        alarmDescription: "The database has no fresh verified backup, its dump fails, or a signal is critical",
        alarmRule: pulumi
          .all(waking.map((each) => each.name))
          .apply((names) => names.map((each) => `ALARM("${each}")`).join(" OR ")),
        alarmActions: paging,
        okActions: paging,
      },
      child,
    );
    if (args.webhookUrl !== undefined)
      alarmWebhook(`${name}-webhook`, { url: args.webhookUrl, alarmPrefix: `${prefix}${name}-` }, child);
    new cloudwatch.Dashboard(
      `${name}-dashboard`,
      {
        dashboardName: `${prefix}${name}`,
        dashboardBody: pulumi.jsonStringify(
          pulumi
            .output({
              machine: args.stateMachineArn,
              verdict: [this.unprotected.arn, ...dumps.map(({ arn }) => arn)],
              signals: [...health.critical, ...health.warn].map(({ arn }) => arn),
              place: placeOf(this),
            })
            .apply((facts) => dashboard({ ...facts, health: args.health, stack: stackName() })),
        ),
      },
      child,
    );
    this.registerOutputs({ unprotected: this.unprotected.arn });
  }
}

type MakeAlarm = (name: string, args: cloudwatch.MetricAlarmArgs) => cloudwatch.MetricAlarm;

function dumpAlarms({ stateMachineArn, heartbeatHours }: AlertingArgs, alarm: MakeAlarm): cloudwatch.MetricAlarm[] {
  const machine = { StateMachineArn: stateMachineArn };
  return [
    alarm("no-dump", {
      alarmDescription: "No scheduled dump has succeeded for too long: docs/schedules.md",
      namespace: "AWS/States",
      metricName: "ExecutionsSucceeded",
      dimensions: machine,
      statistic: "Sum",
      period: 3600,
      evaluationPeriods: heartbeatHours ?? 26,
      threshold: 1,
      comparisonOperator: "LessThanThreshold",
      // A schedule that no longer exists sends no zeros.
      treatMissingData: "breaching",
    }),
    alarm("dump-failed", {
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
    }),
  ];
}

type AlarmsByLevel = Readonly<Record<"warn" | "critical", readonly cloudwatch.MetricAlarm[]>>;

/** One for each threshold that there is. */
function healthAlarms({ minutes, thresholds }: HealthAlarms, alarm: MakeAlarm): AlarmsByLevel {
  const ofLevel = (level: "warn" | "critical"): cloudwatch.MetricAlarm[] =>
    signalNames.flatMap((signal) => {
      const { bad, [level]: threshold } = thresholdsOf(signal, thresholds);
      if (threshold === null) return [];
      const { title, unit, advice, heartbeat } = signalDefinitions[signal];
      const side = bad === "above" ? "at or above" : "below";
      return [
        alarm(`${kebab(signal)}-${level}`, {
          alarmDescription: `${title}: ${side} ${threshold} ${unit}`.trimEnd() + `: ${advice ?? "docs/monitoring.md"}`,
          namespace: metricNamespace,
          metricName: metricName(signal),
          dimensions: { ...metricDimensions(stackName()) },
          statistic: bad === "above" ? "Maximum" : "Minimum",
          period: minutes * 60,
          ...evaluation,
          threshold,
          comparisonOperator: bad === "above" ? "GreaterThanOrEqualToThreshold" : "LessThanThreshold",
          // A signal that this database does not have (no replica, no Supabase) must not stand for ever.
          treatMissingData: heartbeat === true ? "breaching" : "missing",
        }),
      ];
    });
  return { warn: ofLevel("warn"), critical: ofLevel("critical") };
}

/** `backup-age` of `backupAge`. */
function kebab(signal: SignalName): string {
  return signal.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

interface DashboardFacts {
  readonly machine: string;
  readonly verdict: readonly string[];
  readonly signals: readonly string[];
  readonly place: AwsPlace;
  readonly health: HealthAlarms | undefined;
  /** `project/stack`: whose metrics. */
  readonly stack: string;
}

const groupTitles: Readonly<Record<SignalGroup, string>> = {
  verdict: "Verdict",
  golden: "Traffic, errors, latency",
  saturation: "Saturation",
  replica: "Live replica",
  backup: "Backups",
};

/** The verdict first, then whether it serves, what runs full, and whether it could be brought back. */
function dashboard({ machine, verdict, signals, place: { region }, health, stack }: DashboardFacts): object {
  const metrics = (title: string, names: readonly string[], stat: string, period: number): object => ({
    type: "metric",
    width: 12,
    height: 6,
    properties: {
      title,
      region,
      stat,
      period,
      metrics: names.map((metric) => ["AWS/States", metric, "StateMachineArn", machine]),
    },
  });
  const group = (name: SignalGroup): object[] =>
    health === undefined
      ? []
      : signalNames
          .filter((signal) => signalDefinitions[signal].group === name)
          .map((signal) => signalWidget(signal, health, region, stack));
  const heading = (name: SignalGroup): object => ({
    type: "text",
    width: 24,
    height: 1,
    properties: { markdown: `## ${groupTitles[name]}` },
  });
  const alarms = (title: string, arns: readonly string[], height: number): object[] =>
    arns.length === 0 ? [] : [{ type: "alarm", width: 24, height, properties: { title, alarms: arns } }];
  return {
    widgets: [
      ...alarms("Verdict", verdict, 3),
      ...alarms("Signals", signals, 8),
      ...group("verdict"),
      ...(health === undefined ? [] : [heading("golden"), ...group("golden"), heading("saturation")]),
      ...group("saturation"),
      heading("backup"),
      ...group("backup"),
      metrics("Scheduled dumps", ["ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut"], "Sum", 86_400),
      metrics("Milliseconds of a run", ["ExecutionTime"], "Maximum", 86_400),
    ],
  };
}

function signalWidget(
  signal: SignalName,
  { minutes, thresholds }: HealthAlarms,
  region: string,
  stack: string,
): object {
  const { title, unit } = signalDefinitions[signal];
  const { bad, warn, critical } = thresholdsOf(signal, thresholds);
  const line = (label: string, value: number | null, color: string): object[] =>
    value === null ? [] : [{ label, value, color }];
  const dimensions = Object.entries(metricDimensions(stack)).flat();
  return {
    type: "metric",
    width: 6,
    height: 5,
    properties: {
      title: unit === "" ? title : `${title}, ${unit}`,
      region,
      stat: bad === "above" ? "Maximum" : "Minimum",
      period: minutes * 60,
      metrics: [[metricNamespace, metricName(signal), ...dimensions]],
      annotations: { horizontal: [...line("warn", warn, "#ff9900"), ...line("critical", critical, "#d13212")] },
    },
  };
}

/** CloudWatch and S3, which the key of AWS itself would refuse, and the account's own roles; all through SNS. */
function throughTopic(place: AwsPlace): PolicyStatement[] {
  return [
    {
      Sid: "Alarms",
      Effect: "Allow",
      Principal: { Service: ["cloudwatch.amazonaws.com", "s3.amazonaws.com"] },
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
        Principal: { Service: ["cloudwatch.amazonaws.com", "s3.amazonaws.com"] },
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
