/**
 * What the components register is what AWS takes: judged by cfn-lint, and by rules of our own where it knows none. Each
 * check is proven by a malformed twin, which differs in one place and is refused there.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { cfnLint } from "./cfnLint";
import { type CloudFormationDocument, cloudFormation } from "./cloudFormation";
import { ownRules } from "./ownRules";
import { record } from "./record";

type Properties = Record<string, any>;

const rule = (properties: Properties, name: string): Properties =>
  properties["LifecycleConfiguration"].Rules.find(({ Id }: Properties) => Id === name);

const copied = (p: Properties): Properties => p["ReplicationConfiguration"].Rules[0];

/** By the type of the resource that is spoilt (the first of it, or the first with that property), and what has to be spoken of. */
const twins: Readonly<
  Record<string, readonly [type: string, spoil: (properties: Properties) => unknown, found: RegExp]>
> = {
  "a versioning of no such state": ["S3::Bucket", (p) => (p["VersioningConfiguration"].Status = "On"), /Versioning/],
  "an encryption of no such kind": [
    "S3::Bucket",
    (p) =>
      (p["BucketEncryption"].ServerSideEncryptionConfiguration[0].ServerSideEncryptionByDefault.SSEAlgorithm = "rot13"),
    /SSEAlgorithm/,
  ],
  "an ownership of nobody": [
    "S3::Bucket",
    (p) => (p["OwnershipControls"].Rules[0].ObjectOwnership = "Nobody"),
    /ObjectOwnership/,
  ],
  "a public access block that is no boolean": [
    "S3::Bucket",
    (p) => (p["PublicAccessBlockConfiguration"].BlockPublicAcls = "maybe"),
    /BlockPublicAcls/,
  ],
  "a storage class of no such name": [
    "S3::Bucket",
    (p) =>
      (p["LifecycleConfiguration"].Rules.find((rule: Properties) => rule["Transitions"]).Transitions[0].StorageClass =
        "COLD"),
    /StorageClass/,
  ],
  "a lifecycle rule of no such state": [
    "S3::Bucket",
    (p) => (p["LifecycleConfiguration"].Rules[0].Status = "On"),
    /LifecycleConfiguration/,
  ],
  "an inventory of no such rhythm": [
    "S3::Bucket",
    (p) => (p["InventoryConfigurations"][0].ScheduleFrequency = "Hourly"),
    /ScheduleFrequency/,
  ],
  "a bucket's policy of nobody": [
    "S3::BucketPolicy",
    (p) => delete p["PolicyDocument"].Statement[0].Principal,
    /Principal/,
  ],
  "a policy's effect of no such name": [
    "IAM::Policy",
    (p) => (p["PolicyDocument"].Statement[0].Effect = "Permit"),
    /Effect/,
  ],
  "an action that does not exist": [
    "IAM::Policy",
    (p) => (p["PolicyDocument"].Statement[0].Action = ["s3:PutObjct"]),
    /putobjct/,
  ],
  "a role that trusts a service of no such form": [
    "IAM::Role",
    (p) => (p["AssumeRolePolicyDocument"].Statement[0].Principal = { Services: "ecs-tasks.amazonaws.com" }),
    /Principal/,
  ],
  "a key whose deletion waits too short": ["KMS::Key", (p) => (p["PendingWindowInDays"] = 3), /PendingWindow/],
  "a log that is kept for days that CloudWatch does not know": [
    "Logs::LogGroup",
    (p) => (p["RetentionInDays"] = 91),
    /RetentionInDays/,
  ],
  "a processor that Fargate does not have": ["ECS::TaskDefinition", (p) => (p["Cpu"] = "3000"), /Cpu|3000/],
  "memory that does not go with the processor": [
    "ECS::TaskDefinition",
    (p) => Object.assign(p, { Cpu: "256", Memory: "8192" }),
    /Memory|8192/,
  ],
  "a disk that Fargate does not have": [
    "ECS::TaskDefinition",
    (p) => (p["EphemeralStorage"].SizeInGiB = 300),
    /SizeInGiB|300/,
  ],
  "a container without an image": ["ECS::TaskDefinition", (p) => delete p["ContainerDefinitions"][0].Image, /Image/],
  "a log driver of no such name": [
    "ECS::TaskDefinition",
    (p) => (p["ContainerDefinitions"][0].LogConfiguration.LogDriver = "paper"),
    /LogDriver/,
  ],
  "a window that is flexible in no such way": [
    "Scheduler::Schedule",
    (p) => (p["FlexibleTimeWindow"].Mode = "SOMETIMES"),
    /FlexibleTimeWindow/,
  ],
  "a window that is too wide": [
    "Scheduler::Schedule",
    (p) => (p["FlexibleTimeWindow"] = { Mode: "FLEXIBLE", MaximumWindowInMinutes: 2000 }),
    /MaximumWindowInMinutes/,
  ],
  "a start that is tried again too often": [
    "Scheduler::Schedule",
    (p) => (p["Target"].RetryPolicy.MaximumRetryAttempts = 200),
    /MaximumRetryAttempts/,
  ],
  "a schedule that starts as a bucket": [
    "Scheduler::Schedule",
    (p) => (p["Target"].RoleArn = "arn:aws:s3:::bucket"),
    /RoleArn/,
  ],
  "a wire to a resource that is not there": [
    "Scheduler::Schedule",
    (p) => (p["Target"].Arn = { "Fn::GetAtt": ["Nowhere", "Arn"] }),
    /Nowhere/,
  ],
  "a wire to what a resource does not have": [
    "Scheduler::Schedule",
    (p) => (p["Target"].RoleArn["Fn::GetAtt"][1] = "Address"),
    /Address/,
  ],
  "a state machine that starts nowhere": [
    "StepFunctions::StateMachine",
    (p) => (p["Definition"].StartAt = "Nowhere"),
    /StartAt|Nowhere/,
  ],
  "a rule to nowhere": ["EC2::SecurityGroup", (p) => (p["SecurityGroupEgress"][0].CidrIp = "0.0.0.0/40"), /CidrIp/],
  "a schedule of five fields": [
    "Scheduler::Schedule",
    (p) => (p["ScheduleExpression"] = "cron(0 2 * * ?)"),
    /ScheduleE/,
  ],
  "two lifecycle rules of one name": ["S3::Bucket", (p) => (rule(p, "expire-daily")["Id"] = "expire-weekly"), /twice/],
  "a lifecycle rule for everything": [
    "S3::Bucket",
    (p) => (rule(p, "expire-daily")["Prefix"] = ""),
    /beyond the store/,
  ],
  "a lifecycle rule of no day": ["S3::Bucket", (p) => (rule(p, "expire-daily")["ExpirationInDays"] = 0), /daily: days/],
  "delete markers together with days": [
    "S3::Bucket",
    (p) => (rule(p, "remove-leftovers")["ExpirationInDays"] = 7),
    /delete markers apart/,
  ],
  "uploads with tags": [
    "S3::Bucket",
    (p) => (rule(p, "remove-leftovers")["TagFilters"] = [{ Key: "a", Value: "b" }]),
    /uploads have no tags/,
  ],
  "a move before S3 moves": [
    "S3::Bucket",
    (p) => (rule(p, "cold-monthly")["Transitions"] = [{ TransitionInDays: 7, StorageClass: "STANDARD_IA" }]),
    /nothing younger than 30 days/,
  ],
  "a move of what is gone": ["S3::Bucket", (p) => (rule(p, "cold-monthly")["ExpirationInDays"] = 30), /removed before/],
  "a replication rule of no such state": [
    "S3::Bucket.ReplicationConfiguration",
    (p) => (copied(p)["Status"] = "On"),
    /ReplicationConfiguration/,
  ],
  "a replication to no bucket": [
    "S3::Bucket.ReplicationConfiguration",
    (p) => delete copied(p)["Destination"].Bucket,
    /Destination|Bucket/,
  ],
  "a replication as nobody": [
    "S3::Bucket.ReplicationConfiguration",
    (p) => delete p["ReplicationConfiguration"].Role,
    /Role/,
  ],
  "two replication rules of one priority": [
    "S3::Bucket.ReplicationConfiguration",
    (p) => (copied(p)["Priority"] = 2),
    /Priority twice/,
  ],
  "a replication of everything": [
    "S3::Bucket.ReplicationConfiguration",
    (p) => (copied(p)["Filter"].Prefix = ""),
    /beyond the store/,
  ],
  "a copy of encrypted objects without a key": [
    "S3::Bucket.ReplicationConfiguration",
    (p) => delete copied(p)["Destination"].EncryptionConfiguration,
    /no key/,
  ],
  "time control without metrics": [
    "S3::Bucket.ReplicationConfiguration",
    (p) => (copied(p)["Destination"].Metrics.Status = "Disabled"),
    /without metrics/,
  ],
  "time control of five minutes": [
    "S3::Bucket.ReplicationConfiguration",
    (p) => (copied(p)["Destination"].ReplicationTime.Time.Minutes = 5),
    /other than 15/,
  ],
  "a subscription of no such protocol": ["SNS::Subscription", (p) => (p["Protocol"] = "pigeon"), /Protocol/],
  "an alarm that compares in no such way": [
    "CloudWatch::Alarm",
    (p) => (p["ComparisonOperator"] = "AboutThreshold"),
    /ComparisonOperator/,
  ],
  "an alarm that misses data in no such way": [
    "CloudWatch::Alarm",
    (p) => (p["TreatMissingData"] = "ok"),
    /TreatMissingData/,
  ],
  "a composite alarm without a rule": ["CloudWatch::CompositeAlarm", (p) => delete p["AlarmRule"], /AlarmRule/],
  "a server of no such class": [
    "RDS::DBInstance",
    (p) => (p["DBInstanceClass"] = "db.t4g.gigantic"),
    /DBInstanceClass/,
  ],
  "a server in a network of no such kind": ["RDS::DBInstance", (p) => (p["NetworkType"] = "IPV6"), /NetworkType/],
  "a server whose backups are kept for too long": [
    "RDS::DBInstance",
    (p) => (p["BackupRetentionPeriod"] = 36),
    /BackupRetentionPeriod/,
  ],
  "a server monitored at no such pace": [
    "RDS::DBInstance",
    (p) => (p["MonitoringInterval"] = 20),
    /MonitoringInterval/,
  ],
  "parameters of no such family": ["RDS::DBParameterGroup", (p) => delete p["Family"], /Family/],
  "a subnet group without subnets": ["RDS::DBSubnetGroup", (p) => delete p["SubnetIds"], /SubnetIds/],
  "a dashboard that is no JSON": [
    "CloudWatch::Dashboard",
    (p) => (p["DashboardBody"] = "{widgets"),
    /DashboardBody|JSON/i,
  ],
};

describe("what AWS would say of it", function () {
  this.timeout(300_000);
  let sound: CloudFormationDocument;
  let found: Record<string, string[]>;
  let ofTwins: Record<string, string[]>;
  const names = Object.keys(twins).map((what, place) => [what, `Twin${place}`] as const);

  before(async () => {
    const recordings = await Promise.all([
      ...[record("levelThree"), record("everythingInAws"), record("level2Example"), record("replicaOnRds")],
    ]);
    assert.deepEqual(
      recordings.flatMap(({ errors }) => errors),
      [],
    );
    sound = { AWSTemplateFormatVersion: "2010-09-09", Resources: { ReleaseRights: releaseRights() } };
    for (const { registered } of recordings) Object.assign(sound.Resources, cloudFormation(registered).Resources);
    // All twins beside the sound ones in one document: they find what they refer to, and it is judged once.
    const spoilt: CloudFormationDocument = structuredClone(sound);
    for (const [what, name] of names) {
      const [type, spoil] = twins[what]!;
      const [kind, property = ""] = type.split(".");
      const original = Object.values(sound.Resources).find(
        ({ Type, Properties }) => Type === `AWS::${kind}` && (property === "" || property in Properties),
      );
      assert.ok(original !== undefined, `nothing of the type ${type}`);
      const twin = structuredClone(original);
      spoil(twin.Properties);
      spoilt.Resources[name] = twin;
    }
    [found, ofTwins] = await Promise.all([judge(sound), judge(spoilt)]);
  });

  it("nothing is said against what is registered", () => {
    assert.ok(Object.keys(sound.Resources).length > 25);
    assert.deepEqual(found, {});
  });

  it("one resource's ARN, name or id in another is a reference, nowhere left as text", () => {
    // The bucket's own name is in the prefixes of its log and inventory: to itself it cannot refer.
    const text = JSON.stringify(sound).replaceAll(/"[a-z-]+-bucket-1a2b3c4\/?"/g, "");
    assert.deepEqual(text.match(/[^"]*(-1a2b3c4|"[a-z-]+-id")/g) ?? [], []);
    assert.ok((text.match(/"Fn::GetAtt"|"Ref"/g) ?? []).length > 40);
  });

  for (const [what, name] of names)
    it(`refuses ${what}`, () => assert.match((ofTwins[name] ?? []).join("\n").slice(0, 500), twins[what]![2]));
});

/** What the role of the CI example may do, whose actions have to exist as well. */
function releaseRights(): { Type: string; Properties: Properties } {
  const file = path.resolve(__dirname, "../../examples/ci/rights.json");
  return { Type: "AWS::IAM::ManagedPolicy", Properties: { PolicyDocument: JSON.parse(readFileSync(file, "utf8")) } };
}

async function judge(document: CloudFormationDocument): Promise<Record<string, string[]>> {
  const [linted, own] = [await cfnLint(document), ownRules(document)];
  const names = new Set([...Object.keys(linted), ...Object.keys(own)]);
  return Object.fromEntries([...names].map((name) => [name, [...(linted[name] ?? []), ...(own[name] ?? [])]]));
}
