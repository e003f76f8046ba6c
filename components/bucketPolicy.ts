/**
 * What the bucket refuses whoever asks, administrators too: plain HTTP, other encryption than its own, and removing a
 * version for good. Each is a `Deny`, for an `Allow` of somebody's own cannot outdo that.
 */
import type { PolicyStatement } from "./encryptionKey";
import { returnedKeys } from "./replicationRules";

export interface BucketPolicyFacts {
  readonly bucketArn: string;
  /** Null: keys that S3 manages. */
  readonly kmsKeyArn: string | null;
  /** Days that the program locks objects for at most; null: it locks none, and nobody else is told how long. */
  readonly lockedDays: number | null;
  /** The role in which S3 copies objects in here from another bucket; null: it does not. */
  readonly replicator: string | null;
  /** Another account whose own roles S3 may take to bring back the records of drills; null: none. */
  readonly returningAccount: string | null;
  /** Without slashes at its ends. */
  readonly prefix: string;
}

export function bucketPolicy(facts: BucketPolicyFacts): object {
  const { bucketArn, kmsKeyArn, lockedDays, replicator, returningAccount } = facts;
  const objects = `${bucketArn}/*`;
  const deny = (Sid: string, rest: object): PolicyStatement => ({ Sid, Effect: "Deny", Principal: "*", ...rest });
  return {
    Version: "2012-10-17",
    Statement: [
      deny("TlsOnly", {
        Action: "s3:*",
        Resource: [bucketArn, objects],
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      }),
      deny("RecentTlsOnly", {
        Action: "s3:*",
        Resource: [bucketArn, objects],
        Condition: { NumericLessThan: { "s3:TlsVersion": "1.2" } },
      }),
      // IfExists: an upload that names no encryption gets the bucket's own.
      deny("EncryptedOnly", {
        Action: "s3:PutObject",
        Resource: objects,
        Condition: {
          StringNotEqualsIfExists: {
            "s3:x-amz-server-side-encryption": kmsKeyArn === null ? "AES256" : "aws:kms",
          },
        },
      }),
      ...(kmsKeyArn === null
        ? []
        : [
            deny("OwnKeyOnly", {
              Action: "s3:PutObject",
              Resource: objects,
              Condition: { StringNotEqualsIfExists: { "s3:x-amz-server-side-encryption-aws-kms-key-id": kmsKeyArn } },
            }),
          ]),
      // Lifecycle rules are S3's own doing and no request: old versions still go when their days are over.
      deny("NothingForGood", {
        Action: ["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"],
        Resource: objects,
      }),
      // A lock of a hundred years could be taken back by nobody, and would be paid for.
      ...(lockedDays === null
        ? []
        : [
            deny("NotLockedForLonger", {
              Action: ["s3:PutObject", "s3:PutObjectRetention"],
              Resource: objects,
              Condition: { NumericGreaterThan: { "s3:object-lock-remaining-retention-days": String(lockedDays) } },
            }),
          ]),
      ...(replicator === null ? [] : replicas(bucketArn, replicator)),
      ...(returningAccount === null ? [] : returns(facts, returningAccount)),
      deny("BucketStays", { Action: "s3:DeleteBucket", Resource: bucketArn }),
    ],
  };
}

const allow = (Sid: string, AWS: string, Action: readonly string[], Resource: string | string[]): PolicyStatement => ({
  ...{ Sid, Effect: "Allow", Principal: { AWS }, Action, Resource },
});

/** What drills there found, and nothing that a backup is made of: which role brings it, that account decides. */
function returns({ bucketArn, prefix }: BucketPolicyFacts, account: string): PolicyStatement[] {
  const principal = `arn:${bucketArn.split(":")[1] ?? "aws"}:iam::${account}:root`;
  const records = returnedKeys.map((key) => `${bucketArn}/${prefix}/${key}*`);
  return [
    allow("ReturnedRecords", principal, ["s3:ReplicateObject", "s3:ReplicateTags"], records),
    allow("ReturnsNeedVersions", principal, ["s3:GetBucketVersioning"], bucketArn),
  ];
}

/** Copies with their tags, which another account's role may not bring without the bucket's own word; never a delete marker. */
function replicas(bucketArn: string, replicator: string): PolicyStatement[] {
  return [
    allow("Replicas", replicator, ["s3:ReplicateObject", "s3:ReplicateTags"], `${bucketArn}/*`),
    allow("ReplicasNeedVersions", replicator, ["s3:GetBucketVersioning"], bucketArn),
  ];
}
