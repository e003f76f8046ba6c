/**
 * The rights of the CI example against what the program registers: AWS's own resource schemas, which cfn-lint carries, say
 * which actions creating, reading, changing and deleting each type takes.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { findCfnLint } from "../../bin/setup/cfnLint.js";
import { record } from "./record";

interface Statement {
  readonly Sid: string;
  readonly Action: readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

/** The resource type of AWS's that stands for one of the provider's; null: its actions are those of the one it belongs to. */
const types: Readonly<Record<string, string | null>> = {
  "aws:cloudwatch/compositeAlarm:CompositeAlarm": "AWS::CloudWatch::CompositeAlarm",
  "aws:cloudwatch/dashboard:Dashboard": "AWS::CloudWatch::Dashboard",
  "aws:cloudwatch/eventApiDestination:EventApiDestination": "AWS::Events::ApiDestination",
  "aws:cloudwatch/eventConnection:EventConnection": "AWS::Events::Connection",
  "aws:cloudwatch/eventRule:EventRule": "AWS::Events::Rule",
  "aws:cloudwatch/eventTarget:EventTarget": "AWS::Events::Rule",
  "aws:cloudwatch/logGroup:LogGroup": "AWS::Logs::LogGroup",
  "aws:cloudwatch/metricAlarm:MetricAlarm": "AWS::CloudWatch::Alarm",
  "aws:ec2/securityGroup:SecurityGroup": "AWS::EC2::SecurityGroup",
  "aws:ecr/lifecyclePolicy:LifecyclePolicy": null,
  "aws:ecr/repository:Repository": "AWS::ECR::Repository",
  "aws:ecs/cluster:Cluster": "AWS::ECS::Cluster",
  "aws:ecs/taskDefinition:TaskDefinition": "AWS::ECS::TaskDefinition",
  "aws:iam/role:Role": "AWS::IAM::Role",
  "aws:iam/rolePolicy:RolePolicy": "AWS::IAM::RolePolicy",
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment": null,
  "aws:kms/key:Key": "AWS::KMS::Key",
  "aws:rds/instance:Instance": "AWS::RDS::DBInstance",
  "aws:rds/parameterGroup:ParameterGroup": "AWS::RDS::DBParameterGroup",
  "aws:rds/subnetGroup:SubnetGroup": "AWS::RDS::DBSubnetGroup",
  "aws:s3/bucket:Bucket": "AWS::S3::Bucket",
  "aws:s3/bucketPolicy:BucketPolicy": "AWS::S3::BucketPolicy",
  "aws:scheduler/schedule:Schedule": "AWS::Scheduler::Schedule",
  "aws:secretsmanager/secret:Secret": "AWS::SecretsManager::Secret",
  "aws:secretsmanager/secretVersion:SecretVersion": null,
  "aws:sfn/stateMachine:StateMachine": "AWS::StepFunctions::StateMachine",
  "aws:sns/topic:Topic": "AWS::SNS::Topic",
  "aws:sns/topicPolicy:TopicPolicy": "AWS::SNS::TopicPolicy",
  "aws:sns/topicSubscription:TopicSubscription": "AWS::SNS::Subscription",
};

/** Parts of a bucket that the provider has as resources of their own, and AWS's schema as properties of the bucket. */
const partOfBucket = /^aws:s3\/(bucket[A-Z]\w+|inventory):/;

/** What AWS's handlers can do and the program never asks for, and why not. */
const unneeded: readonly (readonly [RegExp, string])[] = [
  [
    /^s3:Delete|^kms:(Disable|Enable(Key)$|ScheduleKeyDeletion)|^logs:Delete/,
    "nothing that a backup, or its trace, is lost by",
  ],
  [/^s3tables:|^s3:\w*MetadataTable|^s3:UpdateBucketMetadata/, "no tables of metadata"],
  [/^s3:(Get|Put)(Analytics|Metrics|IntelligentTiering)Configuration$/, "none of these configurations"],
  [/^s3:(Get|Put)BucketAbac$|^s3:(ListTagsForResource|TagResource|UntagResource)$/, "tags by s3:PutBucketTagging"],
  [/^s3:Put(Accelerate|BucketAcl|BucketCORS|BucketWebsite|ObjectAcl)/, "no ACLs, no website, nothing for browsers"],
  [
    /^s3:Put(BucketReplication|ObjectLockConfiguration)$/,
    "no actions of IAM's: s3:Put(Replication|BucketObjectLock)Configuration are",
  ],
  [/^s3:GetObjectVersion$|^s3:REST/, "definitions of state machines travel in the request"],
  [/^ecs:Put(AccountSetting|AccountSettingDefault|ClusterCapacityProviders)$/, "Fargate without providers of capacity"],
  [/^iam:(Put|Delete)RolePermissionsBoundary$/, "no boundaries"],
  [
    /^rds:(DeleteDBInstance$|\w*DBSnapshot|\w*ReadReplica|RestoreDBInstance|\w*AutomatedBackup|RebootDBInstance$|\w*RoleToDBInstance|\w*RoleFromDBInstance)/,
    "a server that is made once, and stays",
  ],
  [
    /^rds:Describe(DBCluster|DBEngineVersions|Events|EngineDefaultParameters)|^ec2:Describe(AccountAttributes|AvailabilityZones|InternetGateways)$|^iam:ListRoles$/,
    "what CloudFormation looks at for itself",
  ],
  [
    /^firehose:|^logs:.*(Delivery|IndexPolic|ResourcePolic|DataProtection|Bearer|DeletionProtection)/,
    "a log and its days",
  ],
  [/^logs:DisassociateKmsKey$/, "no log without its key"],
  [/^sns:\w*DataProtectionPolicy$|^sns:ListSubscriptionsByTopic$/, "subscriptions are resources of their own"],
  [/^ec2:UpdateSecurityGroupRule|^ec2:DescribeInstances$/, "rules are made and taken away, not changed"],
  [/^secretsmanager:(GetRandomPassword|\w*Replicat\w*)$/, "the value is given, in one region"],
  [
    /^ecr:(Delete|Set|Get)\w*RepositoryPolicy$|^ecr:Delete|^ecr:PutImageTagMutability$/,
    "the repository stays, with the account's own rights",
  ],
  [/^kms:(RetireGrant|Encrypt)$/, "the registry and EventBridge encrypt with AWS's own keys"],
];

/** What no handler names: the provider's own reading, pushing an image, and what the commands do with the store. */
const besides =
  /^ec2:Describe(NetworkInterfaces|Subnets|VpcAttribute|Vpcs)$|^ecr:(BatchCheckLayerAvailability|BatchGetImage|CompleteLayerUpload|GetAuthorizationToken|GetDownloadUrlForLayer|InitiateLayerUpload|PutImage|UploadLayerPart)$|^iam:ListInstanceProfilesForRole$|^s3:(AbortMultipartUpload|CreateJob|DescribeJob|GetBucketRequestPayment|GetObject|GetObjectLegalHold|GetObjectRetention|GetObjectTagging|ListBucketMultipartUploads|PutObject|PutObjectRetention|PutObjectTagging)$|^secretsmanager:GetResourcePolicy$|^states:(ListStateMachineVersions|ValidateStateMachineDefinition)$/;

const { Statement: statements } = JSON.parse(
  readFileSync(path.resolve(__dirname, "../../examples/ci/rights.json"), "utf8"),
) as { Statement: readonly Statement[] };
const granted = new Set(statements.flatMap(({ Action }) => Action));

/** Actions of each type's handlers, of those that the stack runs. */
function handlerActions(): ReadonlyMap<string, ReadonlySet<string>> {
  const packages = findCfnLint();
  if (packages === undefined) throw new Error("no cfn-lint on this machine; run: npm run setup -- --for test");
  const schemas = path.join(packages, "cfnlint/data/schemas");
  const index = JSON.parse(readFileSync(path.join(schemas, "providers/eu-central-1.json"), "utf8"));
  const wanted = new Set(Object.values(types).filter((type) => type !== null));
  return new Map(
    [...wanted].map((type) => {
      const { handlers } = JSON.parse(readFileSync(path.join(schemas, `resources/${index[type]}.json`), "utf8")) as {
        handlers: Readonly<Record<string, { permissions?: string[] }>>;
      };
      const run = ["create", "read", "update", "delete"].map((handler) => handlers[handler]?.permissions ?? []);
      return [type, new Set(run.flat())];
    }),
  );
}

describe("examples/ci/rights.json", function () {
  this.timeout(120_000);

  it("has every action that what the program registers takes, but those that are named as not needed", async () => {
    const recordings = await Promise.all([record("production"), record("programWithChannel")]);
    const registered = recordings.flatMap((each) => each.registered).filter(({ type }) => type.startsWith("aws:"));
    for (const { errors } of recordings) assert.deepEqual(errors, []);
    const unknown = registered
      .filter(({ type }) => !(type in types) && !partOfBucket.test(type))
      .map(({ type }) => type);
    assert.deepEqual([...new Set(unknown)], [], "types without a schema here");
    const actions = handlerActions();
    assert.ok([...actions.values()].every((each) => each.size > 0));
    const needed = new Set(registered.flatMap(({ type }) => [...(actions.get(types[type] ?? "") ?? [])]));
    const missing = [...needed].filter(
      (action) => !granted.has(action) && !unneeded.some(([pattern]) => pattern.test(action)),
    );
    assert.deepEqual(missing.sort(), []);
  });

  it("has no action that no handler, the provider's own reading and no command takes", () => {
    const known = new Set([...handlerActions().values()].flatMap((each) => [...each]));
    assert.deepEqual(
      [...granted].filter((action) => !known.has(action) && !besides.test(action)),
      [],
    );
  });

  it("grants nothing that is named as not needed, and every name there means something", () => {
    const known = [...handlerActions().values()].flatMap((each) => [...each]);
    for (const [pattern, why] of unneeded) {
      assert.ok(
        known.some((action) => pattern.test(action)),
        `${String(pattern)}: ${why}: no handler takes it`,
      );
      assert.deepEqual(
        [...granted].filter((action) => pattern.test(action)),
        [],
        why,
      );
    }
  });

  it("uses keys through services, and for snapshots of the environment, only", () => {
    const using = statements.filter(({ Action }) =>
      Action.some((each) => /^kms:(Decrypt|Encrypt|GenerateDataKey)/.test(each)),
    );
    assert.deepEqual(
      using.map(({ Sid }) => Sid),
      ["UseKeysThroughServices", "EnvironmentSnapshots"],
    );
    assert.ok(using[0]?.Condition?.["StringLike"]?.["kms:ViaService"]);
    assert.deepEqual(using[1]?.Condition, {
      StringEquals: { "kms:EncryptionContext:dbprotect-purpose": "environment-snapshots" },
    });
  });

  it("hands roles on to the services that what is registered names, and to no other", async () => {
    const { registered } = await record("production");
    const channel = (await record("programWithChannel")).registered;
    const trusted = [...registered, ...channel]
      .filter(({ type }) => type === "aws:iam/role:Role")
      .flatMap(({ inputs }) => [...String(inputs["assumeRolePolicy"]).matchAll(/"Service":"([^"]+)"/g)])
      .map(([, service]) => service);
    const passed = statements.find(({ Sid }) => Sid === "HandOnRoles")?.Condition?.["StringEquals"]?.[
      "iam:PassedToService"
    ];
    assert.deepEqual([...new Set(trusted)].sort(), [passed].flat().sort());
  });
});
