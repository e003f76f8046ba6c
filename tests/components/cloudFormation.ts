/**
 * Renders what the components registered of AWS as a CloudFormation document, for AWS's own linter to judge. Where one
 * resource was given another's ARN, id or name the document refers to that resource, so that a wrong wire shows.
 */
import { unwrapSecrets } from "../../scripts/rehearsal/engine/wire";
import type { RegisteredResource } from "./record";

type Json = Record<string, any>;

export interface CloudFormationDocument {
  readonly AWSTemplateFormatVersion: "2010-09-09";
  readonly Resources: Record<string, { Type: string; Properties: Json }>;
}

/** How one type of the Pulumi provider is written in CloudFormation. */
interface Rendering {
  readonly type: string;
  /** Whether its ARN is had by Ref; default: by Fn::GetAtt. */
  readonly arnByRef?: true;
  readonly properties: (inputs: Json) => Json;
}

/** Names and values that people chose: no names of properties. */
const verbatim = new Set(["Dimensions", "Tags", "Statement", "PolicyDocument", "Definition", "KeyPolicy"]);

/** Both spell nearly all properties alike, but for the first letter. */
function pascal(value: unknown): any {
  if (Array.isArray(value)) return value.map(pascal);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const spelt = name === "okActions" ? "OKActions" : `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
      return [spelt, verbatim.has(spelt) ? inner : pascal(inner)];
    }),
  );
}

const tagsOf = (tags: unknown): Json =>
  tags === undefined ? {} : { Tags: Object.entries(tags as Json).map(([Key, Value]) => ({ Key, Value })) };
const dimensionsOf = (dimensions: Json = {}): Json[] =>
  Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value }));
const without = (inputs: Json, ...names: string[]): Json =>
  Object.fromEntries(Object.entries(inputs).filter(([name]) => !names.includes(name)));

/** CloudFormation has one rule for each block of addresses, or group. */
function accessRules({ protocol, cidrBlocks = [], ipv6CidrBlocks = [], securityGroups = [], ...rule }: Json): Json[] {
  const whom = [
    ...cidrBlocks.map((CidrIp: string) => ({ CidrIp })),
    ...ipv6CidrBlocks.map((CidrIpv6: string) => ({ CidrIpv6 })),
    ...securityGroups.map((SourceSecurityGroupId: string) => ({ SourceSecurityGroupId })),
  ];
  return whom.map((each: Json) => ({ ...pascal(rule), IpProtocol: protocol, ...each }));
}

/** Where the provider has another name. */
const databaseNames = {
  parameterGroupName: "DBParameterGroupName",
  dbSubnetGroupName: "DBSubnetGroupName",
  dbName: "DBName",
  instanceClass: "DBInstanceClass",
  username: "MasterUsername",
  password: "MasterUserPassword",
  vpcSecurityGroupIds: "VPCSecurityGroups",
  multiAz: "MultiAZ",
  performanceInsightsEnabled: "EnablePerformanceInsights",
  performanceInsightsKmsKeyId: "PerformanceInsightsKMSKeyId",
  iamDatabaseAuthenticationEnabled: "EnableIAMDatabaseAuthentication",
  enabledCloudwatchLogsExports: "EnableCloudwatchLogsExports",
} as const;

const renderings: Readonly<Record<string, Rendering>> = {
  "aws:kms/key:Key": {
    type: "AWS::KMS::Key",
    properties: ({ description, enableKeyRotation, deletionWindowInDays, policy, tags }) => ({
      Description: description,
      EnableKeyRotation: enableKeyRotation,
      PendingWindowInDays: deletionWindowInDays,
      KeyPolicy: JSON.parse(policy),
      ...tagsOf(tags),
    }),
  },
  "aws:s3/bucketPolicy:BucketPolicy": {
    type: "AWS::S3::BucketPolicy",
    properties: ({ bucket, policy }) => ({ Bucket: bucket, PolicyDocument: JSON.parse(policy) }),
  },
  "aws:cloudwatch/logGroup:LogGroup": {
    type: "AWS::Logs::LogGroup",
    properties: ({ retentionInDays, kmsKeyId }) => ({ RetentionInDays: retentionInDays, KmsKeyId: kmsKeyId }),
  },
  "aws:ecs/cluster:Cluster": { type: "AWS::ECS::Cluster", properties: () => ({}) },
  "aws:ecs/taskDefinition:TaskDefinition": {
    type: "AWS::ECS::TaskDefinition",
    arnByRef: true,
    properties: ({ containerDefinitions, ephemeralStorage, ...inputs }) => ({
      ...pascal(without(inputs, "skipDestroy")),
      EphemeralStorage: { SizeInGiB: ephemeralStorage.sizeInGib },
      ContainerDefinitions: (JSON.parse(containerDefinitions) as Json[]).map(({ logConfiguration, ...container }) => ({
        ...pascal(container),
        // The options have names of their own.
        LogConfiguration: { LogDriver: logConfiguration.logDriver, Options: logConfiguration.options },
      })),
    }),
  },
  "aws:ec2/securityGroup:SecurityGroup": {
    type: "AWS::EC2::SecurityGroup",
    properties: ({ vpcId, description, ingress, egress }) => ({
      VpcId: vpcId,
      GroupDescription: description,
      ...((ingress as Json[]).length === 0 ? {} : { SecurityGroupIngress: (ingress as Json[]).flatMap(accessRules) }),
      SecurityGroupEgress: (egress as Json[]).flatMap(accessRules),
    }),
  },
  "aws:secretsmanager/secret:Secret": { type: "AWS::SecretsManager::Secret", arnByRef: true, properties: pascal },
  "aws:iam/role:Role": {
    type: "AWS::IAM::Role",
    properties: ({ assumeRolePolicy }) => ({ AssumeRolePolicyDocument: JSON.parse(assumeRolePolicy) }),
  },
  "aws:iam/rolePolicy:RolePolicy": {
    type: "AWS::IAM::Policy",
    properties: ({ role, policy }) => ({
      PolicyName: "rights",
      Roles: [{ Ref: logicalName(role, "aws:iam/role:Role") }],
      PolicyDocument: JSON.parse(policy),
    }),
  },
  "aws:sfn/stateMachine:StateMachine": {
    type: "AWS::StepFunctions::StateMachine",
    properties: ({ roleArn, definition }) => ({ RoleArn: roleArn, Definition: JSON.parse(definition) }),
  },
  "aws:scheduler/schedule:Schedule": { type: "AWS::Scheduler::Schedule", properties: pascal },
  "aws:sns/topic:Topic": { type: "AWS::SNS::Topic", arnByRef: true, properties: pascal },
  "aws:sns/topicPolicy:TopicPolicy": {
    type: "AWS::SNS::TopicPolicy",
    properties: ({ arn, policy }) => ({ Topics: [arn], PolicyDocument: JSON.parse(policy) }),
  },
  "aws:sns/topicSubscription:TopicSubscription": {
    type: "AWS::SNS::Subscription",
    properties: ({ topic, protocol, endpoint }) => ({ TopicArn: topic, Protocol: protocol, Endpoint: endpoint }),
  },
  "aws:cloudwatch/metricAlarm:MetricAlarm": {
    type: "AWS::CloudWatch::Alarm",
    properties: ({ metricQueries, dimensions, name, ...inputs }) => ({
      ...pascal(inputs),
      ...(name === undefined ? {} : { AlarmName: name }),
      ...(dimensions === undefined ? {} : { Dimensions: dimensionsOf(dimensions) }),
      ...(metricQueries === undefined ? {} : { Metrics: (metricQueries as Json[]).map(metricQuery) }),
    }),
  },
  "aws:cloudwatch/compositeAlarm:CompositeAlarm": {
    type: "AWS::CloudWatch::CompositeAlarm",
    properties: pascal,
  },
  "aws:cloudwatch/dashboard:Dashboard": { type: "AWS::CloudWatch::Dashboard", properties: pascal },
  "aws:ecr/repository:Repository": {
    type: "AWS::ECR::Repository",
    properties: ({ encryptionConfigurations, imageTagMutability, imageScanningConfiguration }) => ({
      ImageTagMutability: imageTagMutability,
      ImageScanningConfiguration: pascal(imageScanningConfiguration),
      EncryptionConfiguration: pascal(encryptionConfigurations[0]),
    }),
  },
  "aws:rds/subnetGroup:SubnetGroup": {
    type: "AWS::RDS::DBSubnetGroup",
    properties: ({ subnetIds, description }) => ({ SubnetIds: subnetIds, DBSubnetGroupDescription: description }),
  },
  "aws:rds/parameterGroup:ParameterGroup": {
    type: "AWS::RDS::DBParameterGroup",
    properties: ({ family, description, parameters }) => ({
      Family: family,
      Description: description,
      Parameters: Object.fromEntries((parameters as Json[]).map(({ name, value }) => [name, value])),
    }),
  },
  "aws:rds/instance:Instance": {
    type: "AWS::RDS::DBInstance",
    properties: ({ skipFinalSnapshot, finalSnapshotIdentifier, applyImmediately, ...inputs }) => {
      const named = new Map(Object.entries(databaseNames));
      return Object.fromEntries(
        Object.entries(inputs).map(([name, value]) => [
          named.get(name) ?? `${name.charAt(0).toUpperCase()}${name.slice(1)}`,
          // As a template would have it; the linter refuses a password in clear.
          name === "password"
            ? "{{resolve:secretsmanager:replica}}"
            : name === "allocatedStorage" || name === "port"
              ? String(value)
              : value,
        ]),
      );
    },
  },
};

/** In CloudFormation a part of the repository, role or secret; `docker-build` is none of AWS's. */
const ofAnother = new Set([
  "aws:ecr/lifecyclePolicy:LifecyclePolicy",
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
  "aws:secretsmanager/secretVersion:SecretVersion",
  "docker-build:index:Image",
]);

function metricQuery({ metric, ...query }: Json): Json {
  if (metric === undefined) return pascal(query);
  const { dimensions, namespace, metricName, ...stat } = metric;
  const named = { Namespace: namespace, MetricName: metricName, Dimensions: dimensionsOf(dimensions) };
  return { ...pascal(query), MetricStat: { ...pascal(stat), Metric: named } };
}

/** The bucket and all that the provider keeps apart from it. */
function bucketOf(bucket: RegisteredResource, parts: readonly RegisteredResource[]): Json {
  const part = (type: string): Json | undefined => parts.find((each) => each.type === `aws:s3/${type}`)?.inputs;
  const encryption = part("bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration");
  const [lock, log, list] = [
    part("bucketObjectLockConfiguration:BucketObjectLockConfiguration"),
    part("bucketLogging:BucketLogging"),
    part("inventory:Inventory"),
  ];
  return {
    ...tagsOf(bucket.inputs["tags"]),
    VersioningConfiguration: pascal(part("bucketVersioning:BucketVersioning")?.["versioningConfiguration"]),
    BucketEncryption: {
      ServerSideEncryptionConfiguration: (encryption?.["rules"] as Json[]).map((rule) => ({
        ServerSideEncryptionByDefault: {
          SSEAlgorithm: rule["applyServerSideEncryptionByDefault"].sseAlgorithm,
          KMSMasterKeyID: rule["applyServerSideEncryptionByDefault"].kmsMasterKeyId,
        },
        BucketKeyEnabled: rule["bucketKeyEnabled"],
      })),
    },
    OwnershipControls: { Rules: [pascal(part("bucketOwnershipControls:BucketOwnershipControls")?.["rule"])] },
    PublicAccessBlockConfiguration: pascal(
      without(part("bucketPublicAccessBlock:BucketPublicAccessBlock") ?? {}, "bucket"),
    ),
    LifecycleConfiguration: {
      Rules: (part("bucketLifecycleConfiguration:BucketLifecycleConfiguration")?.["rules"] as Json[]).map(
        lifecycleRule,
      ),
    },
    ...(lock === undefined
      ? {}
      : {
          ObjectLockEnabled: true,
          ObjectLockConfiguration: { ObjectLockEnabled: lock["objectLockEnabled"], Rule: pascal(lock["rule"]) },
        }),
    ...(log === undefined
      ? {}
      : { LoggingConfiguration: { DestinationBucketName: log["targetBucket"], LogFilePrefix: log["targetPrefix"] } }),
    ...(list === undefined
      ? {}
      : {
          InventoryConfigurations: [
            {
              Id: "all",
              Enabled: true,
              IncludedObjectVersions: list["includedObjectVersions"],
              ScheduleFrequency: list["schedule"].frequency,
              OptionalFields: list["optionalFields"],
              Destination: pascal(list["destination"].bucket),
            },
          ],
        }),
    ...(part("bucketNotification:BucketNotification")?.["eventbridge"] === true
      ? { NotificationConfiguration: { EventBridgeConfiguration: { EventBridgeEnabled: true } } }
      : {}),
  };
}

/**
 * Two buckets that are copied to each other would refer to each other, which a document may not: the configuration stands
 * on a bucket of its own that nobody refers to.
 */
function replicationOf({ role, rules }: Json): Json {
  return {
    VersioningConfiguration: { Status: "Enabled" },
    ReplicationConfiguration: {
      Role: role,
      Rules: (rules as Json[]).map(({ destination, ...rule }) => {
        const { encryptionConfiguration, ...to } = destination as Json;
        const key = encryptionConfiguration?.replicaKmsKeyId;
        return {
          ...pascal(rule),
          Destination: {
            ...pascal(to),
            ...(key === undefined ? {} : { EncryptionConfiguration: { ReplicaKmsKeyID: key } }),
          },
        };
      }),
    },
  };
}

function lifecycleRule(rule: Json): Json {
  const { id, status, filter, expiration, transitions, noncurrentVersionExpiration: old } = rule;
  const { prefix, tags } = filter.and ?? filter;
  return {
    Id: id,
    Status: status,
    Prefix: prefix,
    ...(tags === undefined ? {} : { TagFilters: tagsOf(tags)["Tags"] }),
    ...(expiration?.days === undefined ? {} : { ExpirationInDays: expiration.days }),
    ...(expiration?.expiredObjectDeleteMarker === undefined ? {} : { ExpiredObjectDeleteMarker: true }),
    ...(transitions === undefined
      ? {}
      : {
          Transitions: (transitions as Json[]).map(({ days, storageClass }) => ({
            TransitionInDays: days,
            StorageClass: storageClass,
          })),
        }),
    ...(old === undefined ? {} : { NoncurrentVersionExpiration: pascal(old) }),
    ...(rule["abortIncompleteMultipartUpload"] === undefined
      ? {}
      : { AbortIncompleteMultipartUpload: pascal(rule["abortIncompleteMultipartUpload"]) }),
  };
}

function logicalName(name: string, type: string): string {
  const kind = type.split(":").at(-1) ?? "";
  return `${name.replace(/[^a-zA-Z0-9]+(.)?/g, (_, next: string = "") => next.toUpperCase())}${kind}`;
}

/**
 * @param registered of a declaration that `record` ran: its ARNs and ids are those that `recordHost.ts` makes up.
 * @throws for a type of AWS that has no rendering here: add it.
 */
export function cloudFormation(registered: readonly RegisteredResource[]): CloudFormationDocument {
  const ours = registered
    .filter(({ type }) => type.startsWith("aws:") || type.startsWith("docker-build:"))
    .map((resource) => ({ ...resource, inputs: unwrapSecrets(resource.inputs) as Json }));
  const Resources: CloudFormationDocument["Resources"] = {};
  const wires = new Map<string, object>();
  for (const { type, name, inputs, parent } of ours) {
    const logical = logicalName(name, type);
    if (type === "aws:s3/bucket:Bucket") {
      const parts = ours.filter((each) => each.parent === parent);
      Resources[logical] = { Type: "AWS::S3::Bucket", Properties: bucketOf({ inputs } as RegisteredResource, parts) };
      wires
        .set(`${name}-1a2b3c4`, { Ref: logical })
        .set(`arn:aws:s3:::${name}-1a2b3c4`, { "Fn::GetAtt": [logical, "Arn"] });
      continue;
    }
    if (type === "aws:s3/bucketReplicationConfig:BucketReplicationConfig") {
      Resources[logical] = { Type: "AWS::S3::Bucket", Properties: replicationOf(inputs) };
      continue;
    }
    if (ofAnother.has(type) || (type.startsWith("aws:s3/") && !type.endsWith(":BucketPolicy"))) continue;
    const rendering = renderings[type];
    if (rendering === undefined) throw new Error(`${type} (${name}) has no rendering in cloudFormation.ts`);
    Resources[logical] = { Type: rendering.type, Properties: rendering.properties(inputs) };
    // The provider has no ARN of them; what they belong to has.
    if (/Policy$|Subscription$/.test(type)) continue;
    const service = type.split(":")[1]?.split("/")[0] ?? "";
    wires.set(`${name}-id`, { Ref: logical });
    wires.set(
      `arn:aws:${service}:eu-central-1:111122223333:${name}`,
      rendering.arnByRef ? { Ref: logical } : { "Fn::GetAtt": [logical, "Arn"] },
    );
    if (
      [
        "aws:cloudwatch/logGroup:LogGroup",
        "aws:rds/subnetGroup:SubnetGroup",
        "aws:rds/parameterGroup:ParameterGroup",
      ].includes(type)
    )
      wires.set(name, { Ref: logical });
  }
  const linked = Object.entries(Resources).map(([own, resource]) => {
    // A resource that mentions itself, as in the prefix of its log, cannot refer to itself.
    const others = [...wires].filter(([, reference]) => !JSON.stringify(reference).includes(`"${own}"`));
    return [own, wired(resource, others)];
  });
  return { AWSTemplateFormatVersion: "2010-09-09", Resources: Object.fromEntries(linked) };
}

/** Every mention of another resource becomes a reference to it; inside of a longer text by Fn::Sub. */
function wired<T>(value: T, wires: readonly (readonly [string, object])[]): T {
  // The longest first: a name can begin another one.
  const longest = [...wires].sort(([a], [b]) => b.length - a.length);
  const visit = (inner: unknown, key = ""): unknown => {
    if (Array.isArray(inner)) return inner.map((each) => visit(each, key));
    if (typeof inner === "object" && inner !== null) {
      if ("Ref" in inner) return inner;
      return Object.fromEntries(Object.entries(inner).map(([name, each]) => [name, visit(each, name)]));
    }
    if (typeof inner !== "string") return inner;
    const whole = longest.find(([text]) => text === inner)?.[1];
    if (whole !== undefined) return whole;
    const variables: Json = {};
    let text = inner;
    for (const [mention, reference] of longest) {
      if (!/[:]|-1a2b3c4$|-id$/.test(mention) || !text.includes(mention)) continue;
      const variable = `V${Object.keys(variables).length}`;
      variables[variable] = reference;
      text = text.split(mention).join(`\${${variable}}`);
    }
    return Object.keys(variables).length === 0 ? inner : { "Fn::Sub": [text, variables] };
  };
  return visit(value) as T;
}
