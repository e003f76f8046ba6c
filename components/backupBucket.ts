/**
 * The S3 bucket that holds the backups: versioned, encrypted, closed to the public and to plain HTTP. Only
 * objects that were tagged for it expire, and nothing here can be deleted with the stack.
 */
import * as s3 from "@pulumi/aws/s3";
import type { input } from "@pulumi/aws/types";
import * as pulumi from "@pulumi/pulumi";

export interface BackupBucketArgs {
  /** Prefix of all keys, without slashes at its ends; one prefix belongs to one database. Defaults to the stack's name. */
  readonly prefix?: pulumi.Input<string>;
  /** ARN of the KMS key that encrypts the objects. Defaults to keys that S3 manages (AES256). Plain: decides the algorithm. */
  readonly kmsKeyArn?: pulumi.Input<string>;
  /** Days after which an object that was tagged `expire=yes` is removed. Defaults to 1. */
  readonly expiredObjectDays?: pulumi.Input<number>;
  /** Days that an overwritten or removed object can still be brought back. Defaults to 30. */
  readonly noncurrentVersionDays?: pulumi.Input<number>;
  /** Days after which the parts of an upload that never finished are removed. Defaults to 7. */
  readonly incompleteUploadDays?: pulumi.Input<number>;
  /** Tags of the bucket. Defaults to none but the provider's own. */
  readonly tags?: pulumi.Input<Record<string, pulumi.Input<string>>>;
}

export class BackupBucket extends pulumi.ComponentResource {
  /** `s3://bucket/prefix`; known once versioning, encryption, access block, lifecycle and policy are in place. */
  readonly url: pulumi.Output<string>;
  /** AWS region of the bucket. */
  readonly region: pulumi.Output<string>;
  readonly bucket: s3.Bucket;

  /**
   * @param name prefix of the children's names.
   * @param args every field is optional; the defaults are the safe ones.
   * @param opts `provider` decides account and region.
   */
  constructor(name: string, args: BackupBucketArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super("database-protection:index:BackupBucket", name, {}, opts);
    // Deleting any of these would either lose backups or leave them unversioned, in plain text or public.
    const keep = { parent: this, protect: true, retainOnDelete: true };
    const bucket = new s3.Bucket(`${name}-bucket`, { ...(args.tags === undefined ? {} : { tags: args.tags }) }, keep);
    const versioning = new s3.BucketVersioning(
      `${name}-versioning`,
      { bucket: bucket.bucket, versioningConfiguration: { status: "Enabled" } },
      keep,
    );
    const encryption = new s3.BucketServerSideEncryptionConfiguration(
      `${name}-encryption`,
      { bucket: bucket.bucket, rules: [encryptionRule(args.kmsKeyArn)] },
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
    const policy = new s3.BucketPolicy(
      `${name}-policy`,
      { bucket: bucket.bucket, policy: pulumi.jsonStringify(tlsOnlyPolicy(bucket.arn)) },
      // S3 answers 409 OperationAborted when both are written at once.
      { ...keep, dependsOn: [accessBlock] },
    );
    const lifecycle = new s3.BucketLifecycleConfiguration(
      `${name}-lifecycle`,
      { bucket: bucket.bucket, rules: lifecycleRules(args) },
      // A rule on noncurrent versions means nothing before there are versions.
      { ...keep, dependsOn: [versioning] },
    );
    this.bucket = bucket;
    this.region = bucket.region;
    const settled = [versioning, encryption, ownership, accessBlock, policy, lifecycle].map((child) => child.id);
    this.url = pulumi
      .all([bucket.bucket, args.prefix ?? pulumi.getStack(), ...settled])
      .apply(([bucketName, prefix]) => `s3://${bucketName}/${prefix}`);
    this.registerOutputs({ url: this.url, region: this.region });
  }
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

function tlsOnlyPolicy(bucketArn: pulumi.Output<string>): object {
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "TlsOnly",
        Effect: "Deny",
        Principal: "*",
        Action: "s3:*",
        Resource: [bucketArn, pulumi.interpolate`${bucketArn}/*`],
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
    ],
  };
}

/** Age alone removes nothing that is current: an outage of the backup schedule must not empty the store. */
function lifecycleRules(args: BackupBucketArgs): input.s3.BucketLifecycleConfigurationRule[] {
  return [
    {
      id: "expire-tagged",
      status: "Enabled",
      filter: { tag: { key: "expire", value: "yes" } },
      expiration: { days: args.expiredObjectDays ?? 1 },
    },
    {
      id: "remove-noncurrent-versions",
      status: "Enabled",
      filter: {},
      noncurrentVersionExpiration: { noncurrentDays: args.noncurrentVersionDays ?? 30 },
    },
    {
      id: "remove-leftovers",
      status: "Enabled",
      filter: {},
      expiration: { expiredObjectDeleteMarker: true },
      abortIncompleteMultipartUpload: { daysAfterInitiation: args.incompleteUploadDays ?? 7 },
    },
  ];
}
