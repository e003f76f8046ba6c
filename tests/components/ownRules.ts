/** What AWS demands of a CloudFormation document and cfn-lint does not know: schedules, lifecycle rules, and what it passes over. */
import { isScheduleExpression } from "../../components/scheduleExpression";
import type { CloudFormationDocument } from "./cloudFormation";

type Properties = Record<string, any>;

const rules: Readonly<Record<string, (properties: Properties) => string[]>> = {
  "AWS::Scheduler::Schedule": ({ ScheduleExpression }) =>
    isScheduleExpression(ScheduleExpression) ? [] : [`ScheduleExpression: ${ScheduleExpression}`],
  "AWS::S3::Bucket": ({ LifecycleConfiguration: { Rules } = { Rules: [] }, ReplicationConfiguration: copies }) => [
    ...(new Set(Rules.map(({ Id }: Properties) => Id)).size === Rules.length
      ? []
      : ["LifecycleConfiguration: an Id twice"]),
    ...(Rules as Properties[]).flatMap(lifecycleMistakes),
    ...(copies === undefined ? [] : replicationMistakes(copies.Rules)),
  ],
  // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EphemeralStorage.html
  "AWS::ECS::TaskDefinition": ({ EphemeralStorage: { SizeInGiB } }) =>
    SizeInGiB >= 21 && SizeInGiB <= 200 ? [] : [`EphemeralStorage: SizeInGiB: ${SizeInGiB}`],
  // https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
  "AWS::SNS::Subscription": ({ Protocol, Endpoint }) => {
    const forms: Record<string, RegExp> = {
      email: /^[^@\s]+@[^@\s]+$/,
      https: /^https:\/\//,
      lambda: /^arn:/,
      sqs: /^arn:/,
    };
    return forms[Protocol]?.test(Endpoint) === true ? [] : [`Protocol: ${Protocol} to ${Endpoint}`];
  },
  "AWS::IAM::Role": ({ AssumeRolePolicyDocument: { Statement } }) =>
    (Statement as Properties[]).every(({ Principal }) => /\.amazonaws\.com$/.test(Principal?.Service ?? ""))
      ? []
      : ["Principal: no service of AWS"],
  // https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
  "AWS::RDS::DBInstance": ({ NetworkType, MonitoringInterval, AllocatedStorage, MaxAllocatedStorage }) => [
    ...(["IPV4", "DUAL"].includes(NetworkType) ? [] : [`NetworkType: ${NetworkType}`]),
    ...([0, 1, 5, 10, 15, 30, 60].includes(MonitoringInterval) ? [] : [`MonitoringInterval: ${MonitoringInterval}`]),
    // It must exceed what there is by a tenth.
    ...(MaxAllocatedStorage >= 1.1 * Number(AllocatedStorage) ? [] : [`MaxAllocatedStorage: ${MaxAllocatedStorage}`]),
  ],
  "AWS::CloudWatch::Dashboard": ({ DashboardBody }) => {
    try {
      const { widgets } = JSON.parse(typeof DashboardBody === "string" ? DashboardBody : DashboardBody["Fn::Sub"][0]);
      return (widgets as Properties[]).flatMap(({ type, width, height }, place) =>
        ["alarm", "metric", "text", "log"].includes(type) && width <= 24 && height >= 1
          ? []
          : [`DashboardBody: widget ${place}`],
      );
    } catch {
      return ["DashboardBody: no JSON"];
    }
  },
};

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html */
function lifecycleMistakes(rule: Properties): string[] {
  const { Id, Prefix, TagFilters, ExpirationInDays, ExpiredObjectDeleteMarker, Transitions = [] } = rule;
  const say = (wrong: boolean, what: string): string[] => (wrong ? [`LifecycleConfiguration: ${Id}: ${what}`] : []);
  return [
    ...say(typeof Prefix !== "string" || Prefix === "", "reaches beyond the store"),
    ...say(ExpirationInDays !== undefined && !(Number.isInteger(ExpirationInDays) && ExpirationInDays >= 1), "days"),
    ...say(
      ExpiredObjectDeleteMarker === true && (ExpirationInDays ?? TagFilters) !== undefined,
      "delete markers apart",
    ),
    ...say(rule["AbortIncompleteMultipartUpload"] !== undefined && TagFilters !== undefined, "uploads have no tags"),
    ...(Transitions as Properties[]).flatMap(({ TransitionInDays, StorageClass }) => [
      ...say(StorageClass === "STANDARD_IA" && TransitionInDays < 30, "S3 moves nothing younger than 30 days"),
      ...say(ExpirationInDays !== undefined && TransitionInDays >= ExpirationInDays, "moves what is removed before"),
    ]),
  ];
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-add-config.html */
function replicationMistakes(rules: readonly Properties[]): string[] {
  const twice = (name: "Id" | "Priority"): string[] =>
    new Set(rules.map((rule) => rule[name])).size === rules.length ? [] : [`ReplicationConfiguration: ${name} twice`];
  return [
    ...twice("Id"),
    ...twice("Priority"),
    ...rules.flatMap(({ Id, Filter, Destination, SourceSelectionCriteria, DeleteMarkerReplication }) => {
      const { ReplicationTime, Metrics, EncryptionConfiguration } = Destination as Properties;
      const encrypted = SourceSelectionCriteria?.SseKmsEncryptedObjects?.Status === "Enabled";
      const say = (wrong: boolean, what: string): string[] =>
        wrong ? [`ReplicationConfiguration: ${Id}: ${what}`] : [];
      return [
        ...say(Filter?.Prefix === undefined || Filter.Prefix === "", "copies beyond the store"),
        ...say(Filter !== undefined && DeleteMarkerReplication === undefined, "says nothing of delete markers"),
        ...say(
          encrypted !== (EncryptionConfiguration !== undefined),
          "encrypted objects and no key, or a key and none",
        ),
        ...say(ReplicationTime?.Status === "Enabled" && Metrics?.Status !== "Enabled", "time control without metrics"),
        ...say(
          [ReplicationTime?.Time, Metrics?.EventThreshold].some((time) => time !== undefined && time.Minutes !== 15),
          "minutes other than 15",
        ),
      ];
    }),
  ];
}

/** @returns what is wrong with each resource, by logical name; those that are right are left out. */
export function ownRules({ Resources }: CloudFormationDocument): Record<string, string[]> {
  const judged = Object.entries(Resources).map(
    ([name, { Type, Properties }]) => [name, rules[Type]?.(Properties) ?? []] as const,
  );
  return Object.fromEntries(judged.filter(([, found]) => found.length > 0));
}
