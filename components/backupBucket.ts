/**
 * The S3 bucket that holds the backups: versioned, encrypted by a key of its own, closed to the public and to plain
 * HTTP, on request locked. Only objects that were tagged for it expire, and nothing here can be deleted with the stack.
 */
import type * as kms from "@pulumi/aws/kms";
import * as s3 from "@pulumi/aws/s3";
import type { input } from "@pulumi/aws/types";
import * as pulumi from "@pulumi/pulumi";
import { type RetentionSettings, retentionSettingsSchema } from "../scripts/settings";
import { type ColdStorage, earliestColdDays, lifecycleRules, promisedDays, tiers } from "./bucketLifecycle";
import { type LockSettings, lockParameters, lockedDays } from "./bucketLock";
import { bucketPolicy } from "./bucketPolicy";
import { type AwsPlace, type PolicyStatement, encryptionKey, useForEnvironment, useThrough } from "./encryptionKey";

export interface BackupBucketArgs {
  /** Prefix of all keys, without slashes at its ends; one prefix belongs to one database. Defaults to the stack's name. */
  readonly prefix?: pulumi.Input<string> | undefined;
  /**
   * Name of a bucket that exists. Defaults to none: one is created. It must serve nothing else: its versioning,
   * encryption, access block, lifecycle rules and policy are replaced by those of here. Plain: decides what is created.
   */
  readonly existing?: string | undefined;
  /** `kms`: a KMS key; `s3`: keys that S3 manages (AES256). Defaults to `kms`. Plain: decides what is created. */
  readonly encryption?: "kms" | "s3" | undefined;
  /** ARN of the KMS key that encrypts the objects. Defaults to a key that is created here. Plain: decides that. */
  readonly kmsKeyArn?: pulumi.Input<string> | undefined;
  /**
   * `tag`: only what `db:prune` tagged is removed, so that an outage of the schedule removes nothing. `age`: also every
   * backup that is older than its tier promises, even if it is the last one. Defaults to `tag`.
   */
  readonly expiry?: "tag" | "age" | undefined;
  /** Days after which an object that was tagged `expire=yes` is removed. Defaults to 1. */
  readonly expiredObjectDays?: pulumi.Input<number> | undefined;
  /** Days that an overwritten or removed object can still be brought back. Defaults to 30. */
  readonly noncurrentVersionDays?: pulumi.Input<number> | undefined;
  /** Days after which the parts of an upload that never finished are removed. Defaults to 7. */
  readonly incompleteUploadDays?: pulumi.Input<number> | undefined;
  /** Class that backups move to which stay long enough for that to be cheaper. Defaults to `none`: they stay in STANDARD. */
  readonly coldStorage?: ColdStorage | undefined;
  /** Days after which they move, 30 or more. Defaults to 30. */
  readonly coldAfterDays?: number | undefined;
  /**
   * Object lock, set on each object as it is written: until its end nobody removes that version; with `governance` nobody
   * without a right of its own, which the bucket's policy denies, with `compliance` nobody at all, AWS included.
   * Defaults to `governance`; for an existing bucket to `none`, because a lock, once on, stays on. Plain.
   */
  readonly lockMode?: "none" | "governance" | "compliance" | undefined;
  /** Days that an object is locked at most, and never longer than its tier promises. Defaults to what its tier promises. */
  readonly lockDays?: number | undefined;
  /**
   * Days that every version is locked for from its arrival on, in `lockMode`, unless it brings a lock of its own: for a bucket
   * that another one is copied to, where nobody says so for each object. Defaults to none. Plain.
   */
  readonly lockArrivalsDays?: number | undefined;
  /** ARN of the role in which S3 copies objects in here from another bucket. Defaults to none. Plain: decides that. */
  readonly replicatorArn?: pulumi.Input<string> | undefined;
  /**
   * Another account, twelve digits, where drills of the second location run: S3 may bring what they recorded back to here, as
   * that account's own roles allow. Defaults to none. Plain: decides whether it comes back.
   */
  readonly returningAccount?: string | undefined;
  /** Topic that S3 tells when a copy of an object fails or is late. Defaults to none. Plain: decides that. */
  readonly replicationTopicArn?: pulumi.Input<string> | undefined;
  /** Bucket that gets the log of all requests, below `<bucket>/`. Defaults to none. Plain: decides whether there is one. */
  readonly accessLogBucket?: pulumi.Input<string> | undefined;
  /** Bucket that gets a list of all versions, weekly, below `<bucket>/`. Defaults to none. Plain: decides that. */
  readonly inventoryBucket?: pulumi.Input<string> | undefined;
  /** Whether S3 tells EventBridge of each object. Defaults to true, for an existing bucket to false. Plain. */
  readonly eventBridge?: boolean | undefined;
  /** Whether the key that is created also gives the data keys of environment snapshots. Defaults to false. Plain. */
  readonly environmentSnapshots?: boolean | undefined;
  /** What the tiers promise: `expiry: age`, `coldStorage` and the lock follow it. Defaults to the settings' defaults. */
  readonly retention?: RetentionSettings | undefined;
  /** Tags of bucket and key. Defaults to none but the provider's own. */
  readonly tags?: pulumi.Input<Record<string, pulumi.Input<string>>> | undefined;
}

export class BackupBucket extends pulumi.ComponentResource {
  /** `s3://bucket/prefix`, with a lock's parameters; known once everything that makes the bucket safe is in place. */
  readonly url: pulumi.Output<string>;
  /** AWS region of the bucket. */
  readonly region: pulumi.Output<string>;
  readonly bucket: s3.Bucket;
  /** Without slashes at its ends. */
  readonly prefix: pulumi.Output<string>;
  readonly lockMode: "none" | "governance" | "compliance";
  /** The account that may bring records of drills back; undefined: none but its own. */
  readonly returningAccount: string | undefined;
  /** ARN of the KMS key that encrypts the objects; undefined with `encryption: s3`. */
  readonly kmsKeyArn: pulumi.Output<string> | undefined;

  /**
   * @param name prefix of the children's names.
   * @param args every field is optional; the defaults are the safe ones.
   * @param opts `provider` decides account and region.
   */
  constructor(name: string, args: BackupBucketArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    const retention = args.retention ?? retentionSettingsSchema.parse({});
    demandSense(name, args, retention);
    super("database-protection:index:BackupBucket", name, {}, opts);
    // Deleting any of these would either lose backups or leave them unversioned, in plain text or public.
    const keep = { parent: this, protect: true, retainOnDelete: true };
    const tags = args.tags === undefined ? {} : { tags: args.tags };
    const bucket =
      args.existing === undefined
        ? new s3.Bucket(`${name}-bucket`, tags, keep)
        : s3.Bucket.get(`${name}-bucket`, args.existing, undefined, { parent: this });
    const prefix = pulumi.output(args.prefix ?? pulumi.getStack());
    const lock: LockSettings = { mode: lockModeOf(args), mostDays: args.lockDays, retention };
    this.bucket = bucket;
    this.prefix = prefix;
    this.lockMode = lock.mode;
    this.returningAccount = args.returningAccount;
    this.region = bucket.region;
    this.kmsKeyArn = this.keyArn(name, args);

    const versioning = new s3.BucketVersioning(
      `${name}-versioning`,
      { bucket: bucket.bucket, versioningConfiguration: { status: "Enabled" } },
      keep,
    );
    const encryption = new s3.BucketServerSideEncryptionConfiguration(
      `${name}-encryption`,
      { bucket: bucket.bucket, rules: [encryptionRule(this.kmsKeyArn)] },
      keep,
    );
    const ownership = new s3.BucketOwnershipControls(
      `${name}-ownership`,
      { bucket: bucket.bucket, rule: { objectOwnership: "BucketOwnerEnforced" } },
      keep,
    );
    const accessBlock = new s3.BucketPublicAccessBlock(
      `${name}-access-block`,
      {
        bucket: bucket.bucket,
        blockPublicAcls: true,
        blockPublicPolicy: true,
        ignorePublicAcls: true,
        restrictPublicBuckets: true,
      },
      keep,
    );
    const mostLocked = lock.mode === "none" ? null : Math.max(0, ...lockedDays(lock).values());
    const policyFacts = pulumi.output({
      bucketArn: bucket.arn,
      kmsKeyArn: this.kmsKeyArn ?? null,
      lockedDays: mostLocked,
      replicator: args.replicatorArn ?? null,
      returningAccount: args.returningAccount ?? null,
      prefix,
    });
    const policy = new s3.BucketPolicy(
      `${name}-policy`,
      { bucket: bucket.bucket, policy: pulumi.jsonStringify(policyFacts.apply(bucketPolicy)) },
      // S3 answers 409 OperationAborted when both are written at once.
      { ...keep, dependsOn: [accessBlock] },
    );
    const lifecycle = new s3.BucketLifecycleConfiguration(
      `${name}-lifecycle`,
      { bucket: bucket.bucket, rules: lifecycleOf(args, prefix, retention) },
      // A rule on noncurrent versions means nothing before there are versions.
      { ...keep, dependsOn: [versioning] },
    );
    const children: pulumi.CustomResource[] = [versioning, encryption, ownership, accessBlock, policy, lifecycle];
    if (lock.mode !== "none") {
      const { lockArrivalsDays: days } = args;
      const rule = days === undefined ? {} : { rule: { defaultRetention: { mode: lock.mode.toUpperCase(), days } } };
      children.push(
        new s3.BucketObjectLockConfiguration(
          `${name}-lock`,
          // Without a rule for all objects: it would lock what is replaced as well.
          { bucket: bucket.bucket, objectLockEnabled: "Enabled", ...rule },
          // S3 locks versions only.
          { ...keep, dependsOn: [versioning] },
        ),
      );
    }
    if (args.accessLogBucket !== undefined) {
      new s3.BucketLogging(
        `${name}-access-log`,
        {
          bucket: bucket.bucket,
          targetBucket: args.accessLogBucket,
          targetPrefix: pulumi.interpolate`${bucket.bucket}/`,
        },
        keep,
      );
    }
    if (args.inventoryBucket !== undefined) inventory(`${name}-inventory`, bucket, args.inventoryBucket, keep);
    const eventbridge = args.eventBridge ?? args.existing === undefined;
    if (eventbridge || args.replicationTopicArn !== undefined) {
      const topics =
        args.replicationTopicArn === undefined
          ? {}
          : { topics: [{ topicArn: args.replicationTopicArn, events: [...replicationEvents] }] };
      new s3.BucketNotification(`${name}-events`, { bucket: bucket.bucket, eventbridge, ...topics }, { parent: this });
    }
    const settled = children.map((child) => child.id);
    this.url = pulumi
      .all([bucket.bucket, prefix, ...settled])
      .apply(([bucketName, below]) => `s3://${bucketName}/${below}${lockParameters(lock)}`);
    this.registerOutputs({ url: this.url, region: this.region });
  }

  private keyArn(name: string, args: BackupBucketArgs): pulumi.Output<string> | undefined {
    if (args.encryption === "s3") return undefined;
    if (args.kmsKeyArn !== undefined) return pulumi.output(args.kmsKeyArn);
    const key: kms.Key = encryptionKey(
      `${name}-key`,
      {
        description: `${name}: backups of a database`,
        usage: (place) =>
          pulumi
            .output(args.replicatorArn)
            .apply((role) => [
              ...keyUsage(place, role, args.returningAccount),
              ...(args.environmentSnapshots === true ? [useForEnvironment(place)] : []),
            ]),
        tags: args.tags,
      },
      { parent: this },
    );
    return key.arn;
  }
}

/** Locked unless somebody says otherwise; what cannot be taken back is not switched on in somebody else's bucket. */
function lockModeOf({ lockMode, existing }: BackupBucketArgs): "none" | "governance" | "compliance" {
  return lockMode ?? (existing === undefined ? "governance" : "none");
}

/** @throws pulumi.RunError naming what contradicts what. */
function demandSense(name: string, args: BackupBucketArgs, retention: RetentionSettings): void {
  if (args.encryption === "s3" && args.kmsKeyArn !== undefined)
    throw mistake(name, "both kmsKeyArn and encryption: s3", "one of the two", "remove one");
  const { coldAfterDays = earliestColdDays, lockDays } = args;
  const lockMode = lockModeOf(args);
  if (coldAfterDays < earliestColdDays)
    throw mistake(name, `coldAfterDays: ${coldAfterDays}`, `${earliestColdDays} or more`, "S3 moves nothing younger");
  const { lockArrivalsDays } = args;
  const shortest = Math.min(...tiers.map((tier) => promisedDays(tier, retention)).filter((promised) => promised > 0));
  if (lockArrivalsDays !== undefined && (lockMode === "none" || lockArrivalsDays > shortest))
    throw mistake(
      name,
      `lockArrivalsDays: ${lockArrivalsDays}, lockMode: ${lockMode}`,
      `governance or compliance, and at most ${shortest} days, what the tier that is kept shortest is promised`,
      "shorten the lock or lengthen retention: a lock that outlives its promise cannot be taken back",
    );
  if (lockDays !== undefined && lockMode === "none")
    throw mistake(
      name,
      `lockDays: ${lockDays} with lockMode: none`,
      "governance or compliance",
      "set lockMode or remove lockDays",
    );
}

function mistake(name: string, found: string, expected: string, fix: string): pulumi.RunError {
  return new pulumi.RunError(`${name}: found ${found}: expected ${expected}: ${fix}`);
}

/** What there is, how it is encrypted and until when it is locked: without a request for each object. */
function inventory(
  name: string,
  bucket: s3.Bucket,
  target: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): s3.Inventory {
  const partition = bucket.arn.apply((arn) => arn.split(":")[1] ?? "aws");
  return new s3.Inventory(
    name,
    {
      bucket: bucket.bucket,
      includedObjectVersions: "All",
      schedule: { frequency: "Weekly" },
      optionalFields: [
        "Size",
        "LastModifiedDate",
        "StorageClass",
        "EncryptionStatus",
        "ObjectLockMode",
        "ObjectLockRetainUntilDate",
        "ReplicationStatus",
        "ChecksumAlgorithm",
      ],
      destination: {
        bucket: {
          bucketArn: pulumi.interpolate`arn:${partition}:s3:::${target}`,
          format: "CSV",
          prefix: bucket.bucket,
        },
      },
    },
    opts,
  );
}

/** What EventBridge is not told of, and topics are: docs, s3-event-types-and-destinations. */
const replicationEvents = [
  "s3:Replication:OperationFailedReplication",
  "s3:Replication:OperationMissedThreshold",
] as const;

/** Nobody decrypts a copy elsewhere; who copies objects in here may encrypt them. */
function keyUsage(place: AwsPlace, replicator: string | undefined, returning: string | undefined): PolicyStatement[] {
  // Encrypt: a role of S3's own, which copies objects in here, asks for it.
  const through = useThrough(place, "ThroughS3", "s3.*.amazonaws.com", ["kms:Encrypt"]);
  const encrypts = (Sid: string, AWS: string): PolicyStatement => ({
    ...{ Sid, Effect: "Allow", Principal: { AWS } },
    ...{ Action: ["kms:Encrypt", "kms:GenerateDataKey"], Resource: "*" },
    Condition: { StringEquals: { "kms:ViaService": `s3.${place.region}.amazonaws.com` } },
  });
  return [
    through,
    ...(replicator === undefined ? [] : [encrypts("Replicas", replicator)]),
    ...(returning === undefined ? [] : [encrypts("ReturnedRecords", `arn:${place.partition}:iam::${returning}:root`)]),
  ];
}

function encryptionRule(
  kmsKeyArn: pulumi.Input<string> | undefined,
): input.s3.BucketServerSideEncryptionConfigurationRule {
  if (kmsKeyArn === undefined) return { applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } };
  return {
    applyServerSideEncryptionByDefault: { sseAlgorithm: "aws:kms", kmsMasterKeyId: kmsKeyArn },
    // One data key per bucket and time span instead of one KMS call per object.
    bucketKeyEnabled: true,
  };
}

function lifecycleOf(
  args: BackupBucketArgs,
  prefix: pulumi.Output<string>,
  retention: RetentionSettings,
): pulumi.Output<input.s3.BucketLifecycleConfigurationRule[]> {
  return pulumi
    .output({
      prefix,
      expiredObjectDays: args.expiredObjectDays ?? 1,
      noncurrentVersionDays: args.noncurrentVersionDays ?? 30,
      incompleteUploadDays: args.incompleteUploadDays ?? 7,
    })
    .apply((known) =>
      lifecycleRules({
        ...known,
        expiry: args.expiry ?? "tag",
        coldStorage: args.coldStorage ?? "none",
        coldAfterDays: args.coldAfterDays ?? earliestColdDays,
        retention,
      }),
    );
}
