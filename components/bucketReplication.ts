/**
 * A second location of the backups: a bucket of its own in another region, on request in another account, to which S3
 * copies whatever the first one gets. What was there before is copied once by a job; three alarms tell when it falls behind.
 */
import * as cloudwatch from "@pulumi/aws/cloudwatch";
import * as iam from "@pulumi/aws/iam";
import type * as aws from "@pulumi/aws/provider";
import * as s3 from "@pulumi/aws/s3";
import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { BackupBucket, type BackupBucketArgs } from "./backupBucket";
import { commandLine, replicateExistingEnvironment } from "./commands";
import { trust } from "./dumpPolicies";
import { placeOf } from "./encryptionKey";
import {
  batchPolicy,
  replicatedKeys,
  replicationPolicy,
  replicationRules,
  returnedKeys,
  ruleId,
} from "./replicationRules";

/** What the second bucket may be like; the rest follows the first. */
export type SecondBucketArgs = Pick<
  BackupBucketArgs,
  | "accessLogBucket"
  | "coldAfterDays"
  | "coldStorage"
  | "expiredObjectDays"
  | "incompleteUploadDays"
  | "kmsKeyArn"
  | "noncurrentVersionDays"
  | "retention"
  | "tags"
>;

export interface BucketReplicationArgs {
  /** The first location. */
  readonly source: BackupBucket;
  /** Provider of the second one's region, and account where it is another. */
  readonly destinationProvider: aws.Provider;
  /** The second bucket. Defaults to the safe defaults of each; its own key unless `kmsKeyArn` names one that lets the role in. */
  readonly destination?: SecondBucketArgs | undefined;
  /** Object lock of the second bucket. Defaults to that of the first; required to be one where the first has one. Plain. */
  readonly lockMode?: "none" | "governance" | "compliance" | undefined;
  /** Days that whatever arrives there is locked for. Defaults to 7. Plain. */
  readonly lockDays?: number | undefined;
  /** Whether a job copies what the first location held before. Defaults to true. Plain. */
  readonly existingObjects?: boolean | undefined;
  /**
   * Whether what a drill of the second location writes is copied back, so that a gate sees it. Defaults to true; from another
   * account the first bucket and its key have to let that account's role in: `returningAccount` of theirs. Plain.
   */
  readonly returnDrills?: boolean | undefined;
  /** Bytes of backups that may wait for their copy. Defaults to 10 GiB. */
  readonly pendingBytes?: number | undefined;
  /** Seconds that copies may be behind. Defaults to 1800: twice what replication time control promises. */
  readonly latencySeconds?: number | undefined;
  /** Topics that are told of alarms; each only hears those of its own region. Defaults to none. */
  readonly topics?:
    | {
        /** In the first location's region. */
        readonly source?: pulumi.Input<string> | undefined;
        /** In the second location's region. */
        readonly destination?: pulumi.Input<string> | undefined;
      }
    | undefined;
  /** Shell words that start the operational program; see `CommandAccess.program`. */
  readonly program?: string | undefined;
}

/** Half an hour of five minutes each: one late copy is no news. */
const evaluation = { period: 300, evaluationPeriods: 6, datapointsToAlarm: 3 };

export class BucketReplication extends pulumi.ComponentResource {
  /** The second location; its `url` is known once everything that makes it safe is in place. */
  readonly destination: BackupBucket;
  /** In alarm while copies wait, are late, or failed. */
  readonly alarms: readonly cloudwatch.MetricAlarm[];

  constructor(name: string, args: BucketReplicationArgs, opts?: pulumi.ComponentResourceOptions) {
    const lockMode = args.lockMode ?? args.source.lockMode;
    demandSense(name, args, lockMode);
    super("database-protection:index:BucketReplication", name, {}, opts);
    const { source, destinationProvider } = args;
    const there = { parent: this, provider: destinationProvider };
    const outward = this.role(`${name}-outward`, this);
    this.destination = new BackupBucket(
      `${name}-second`,
      {
        ...args.destination,
        prefix: source.prefix,
        encryption: source.kmsKeyArn === undefined ? "s3" : "kms",
        lockMode,
        ...(lockMode === "none" ? {} : { lockArrivalsDays: args.lockDays ?? 7 }),
        replicatorArn: outward.arn,
      },
      there,
    );
    const second = this.destination;
    const configuration = this.replicate(`${name}-outward`, outward, source, second, replicatedKeys, { parent: this });
    if (args.returnDrills ?? true) {
      const back = this.role(`${name}-back`, second);
      this.replicate(`${name}-back`, back, second, source, returnedKeys, there);
    }
    if (args.existingObjects ?? true) this.copyExisting(`${name}-existing`, args, configuration);
    this.alarms = this.watch(name, args);
    this.registerOutputs({ url: second.url });
  }

  /** S3 assumes it from the bucket's own account only: whoever sets a rule must be allowed to hand the role on. */
  private role(name: string, account: pulumi.Resource): iam.Role {
    const assumeRolePolicy = pulumi.jsonStringify(trust("s3.amazonaws.com"));
    return new iam.Role(name, { assumeRolePolicy }, { parent: account });
  }

  /** From one bucket to the other; both have versions by then, for their addresses are known only after that. */
  private replicate(
    name: string,
    role: iam.Role,
    from: BackupBucket,
    to: BackupBucket,
    keys: readonly string[],
    opts: pulumi.CustomResourceOptions,
  ): s3.BucketReplicationConfig {
    const facts = pulumi.output({
      prefix: from.prefix,
      sourceArn: from.bucket.arn,
      destinationArn: to.bucket.arn,
      sourceKey: from.kmsKeyArn ?? null,
      destinationKey: to.kmsKeyArn ?? null,
      sourceRegion: from.region,
      destinationRegion: to.region,
      settled: [from.url, to.url],
    });
    const rights = new iam.RolePolicy(
      name,
      { role: role.name, policy: pulumi.jsonStringify(facts.apply((known) => replicationPolicy({ ...known, keys }))) },
      opts,
    );
    return new s3.BucketReplicationConfig(
      name,
      {
        bucket: from.bucket.bucket,
        role: role.arn,
        rules: facts.apply((known) => replicationRules({ ...known, keys })),
      },
      { ...opts, dependsOn: [rights] },
    );
  }

  /** No provider has a resource for such a job; the command starts the same one once, however often it is run. */
  private copyExisting(
    name: string,
    { source, program }: BucketReplicationArgs,
    configuration: s3.BucketReplicationConfig,
  ): void {
    const place = placeOf(this);
    const assumeRolePolicy = pulumi.jsonStringify(
      place.apply(({ account }) => trust("batchoperations.s3.amazonaws.com", account)),
    );
    const role = new iam.Role(name, { assumeRolePolicy }, { parent: this });
    const rights = new iam.RolePolicy(
      name,
      {
        role: role.name,
        policy: pulumi.jsonStringify(
          pulumi.all([source.bucket.arn, source.prefix]).apply(([arn, prefix]) => batchPolicy(arn, prefix)),
        ),
      },
      { parent: this },
    );
    new local.Command(
      name,
      {
        create: commandLine("replicateExisting", program),
        environment: replicateExistingEnvironment({
          backupStore: source.url,
          account: place.account,
          region: source.region,
          sourceBucketArn: source.bucket.arn,
          destinationBucketArn: this.destination.bucket.arn,
          roleArn: role.arn,
        }),
        addPreviousOutputInEnv: false,
      },
      { parent: this, dependsOn: [configuration, rights] },
    );
  }

  /** Bytes and latency are published where the copies arrive, failures where they leave: docs, repl-metrics. */
  private watch(name: string, args: BucketReplicationArgs): cloudwatch.MetricAlarm[] {
    const { source, topics = {} } = args;
    const here = { parent: this };
    const there = { parent: this, provider: args.destinationProvider };
    const told = (topic: pulumi.Input<string> | undefined) =>
      topic === undefined ? {} : { alarmActions: [topic], okActions: [topic] };
    const dimensions = (key: string) => ({
      SourceBucket: source.bucket.bucket,
      DestinationBucket: this.destination.bucket.bucket,
      RuleId: ruleId(key),
    });
    const backups = { namespace: "AWS/S3", dimensions: dimensions("backups/"), statistic: "Maximum" };
    // Nothing waits in most minutes.
    const above = { comparisonOperator: "GreaterThanThreshold", treatMissingData: "notBreaching" };
    return [
      new cloudwatch.MetricAlarm(
        `${name}-pending`,
        {
          alarmDescription: "Backups wait for their copy in the second location: docs/settings.md",
          ...{ ...backups, ...above, ...evaluation, ...told(topics.destination) },
          metricName: "BytesPendingReplication",
          threshold: args.pendingBytes ?? 10 * 2 ** 30,
        },
        there,
      ),
      new cloudwatch.MetricAlarm(
        `${name}-latency`,
        {
          alarmDescription: "The second location is behind the first: docs/settings.md",
          ...{ ...backups, ...above, ...evaluation, ...told(topics.destination) },
          metricName: "ReplicationLatency",
          threshold: args.latencySeconds ?? 1800,
        },
        there,
      ),
      new cloudwatch.MetricAlarm(
        `${name}-failed`,
        {
          alarmDescription:
            "Objects were not copied to the second location: store:compare names them, store:sync copies them",
          metricQueries: [
            { id: "failed", expression: "SUM(METRICS())", label: "objects that were not copied", returnData: true },
            ...replicatedKeys.map((key) => ({
              id: ruleId(key).replace(/\W/g, "_"),
              metric: {
                ...{ namespace: "AWS/S3", metricName: "OperationsFailedReplication", dimensions: dimensions(key) },
                ...{ stat: "Sum", period: 300 },
              },
              returnData: false,
            })),
          ],
          ...{ ...above, evaluationPeriods: 1, threshold: 0, ...told(topics.source) },
        },
        here,
      ),
    ];
  }
}

/** @throws pulumi.RunError naming what was found and what is expected. */
function demandSense(name: string, { source, destination = {} }: BucketReplicationArgs, lockMode: string): void {
  if (source.lockMode !== "none" && lockMode === "none")
    throw new pulumi.RunError(
      `${name}: found lockMode: none: expected governance or compliance: S3 copies nothing from a locked bucket to one without a lock`,
    );
  if (source.kmsKeyArn === undefined && destination.kmsKeyArn !== undefined)
    throw new pulumi.RunError(
      `${name}: found kmsKeyArn for the second bucket, and keys that S3 manages in the first: expected the same kind in both: remove one`,
    );
}
