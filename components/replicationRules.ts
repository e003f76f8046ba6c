/**
 * What S3 copies to the second location, and with which rights. `control/` is not among it: lease and freeze are the words of
 * whoever may release, and two places could contradict each other. Neither are delete markers.
 */
import type { input } from "@pulumi/aws/types";
import { allow, policy } from "./dumpPolicies";

/** Folders, and the one object, of a store that are copied: every one of scripts/store/layout.ts but `control/`. */
export const replicatedKeys = [
  "backups/",
  "verifications/",
  "receipts/",
  "releases/",
  "environment/",
  "marks/",
  "notes/",
  "drills/",
  "incidents/",
  "store.json",
] as const;

/** What a drill of the second location writes, which comes back to the first. */
export const returnedKeys = ["drills/", "incidents/"] as const;

/** Minutes of replication time control, and until S3 tells that a copy is late: it offers no other number. */
const controlledMinutes = 15;

export interface RuleFacts {
  readonly keys: readonly string[];
  /** Of both buckets, without slashes at its ends. */
  readonly prefix: string;
  readonly destinationArn: string;
  /** ARN of the key that encrypts the copies; null: keys that S3 manages. */
  readonly destinationKey: string | null;
}

/** One rule a folder, for a rule knows no exceptions. */
export function replicationRules({
  keys,
  prefix,
  destinationArn,
  destinationKey,
}: RuleFacts): input.s3.BucketReplicationConfigRule[] {
  return keys.map((key, index) => ({
    id: ruleId(key),
    priority: index + 1,
    status: "Enabled",
    filter: { prefix: `${prefix}/${key}` },
    deleteMarkerReplication: { status: "Disabled" },
    ...(destinationKey === null ? {} : { sourceSelectionCriteria: { sseKmsEncryptedObjects: { status: "Enabled" } } }),
    destination: {
      bucket: destinationArn,
      ...(destinationKey === null ? {} : { encryptionConfiguration: { replicaKmsKeyId: destinationKey } }),
      metrics: { status: "Enabled", eventThreshold: { minutes: controlledMinutes } },
      replicationTime: { status: "Enabled", time: { minutes: controlledMinutes } },
    },
  }));
}

/** Also the dimension `RuleId` of the rule's metrics. */
export function ruleId(key: string): string {
  return key.replace(/\/$/, "");
}

export interface ReplicationFacts {
  readonly keys: readonly string[];
  readonly prefix: string;
  readonly sourceArn: string;
  readonly destinationArn: string;
  readonly sourceKey: string | null;
  readonly destinationKey: string | null;
  readonly sourceRegion: string;
  readonly destinationRegion: string;
}

/** S3's role: reads the folders that are copied, writes them there, and nothing else; it can delete nothing anywhere. */
export function replicationPolicy(facts: ReplicationFacts): object {
  const below = (bucketArn: string): string[] =>
    facts.keys.map((key) => `${bucketArn}/${facts.prefix}/${key}${key.endsWith("/") ? "*" : ""}`);
  const through = (region: string): object => ({ StringEquals: { "kms:ViaService": `s3.${region}.amazonaws.com` } });
  return policy(
    allow("ReadRules", ["s3:GetReplicationConfiguration", "s3:ListBucket"], facts.sourceArn),
    allow(
      "ReadSource",
      [
        "s3:GetObjectLegalHold",
        "s3:GetObjectRetention",
        "s3:GetObjectVersionAcl",
        "s3:GetObjectVersionForReplication",
        "s3:GetObjectVersionTagging",
      ],
      below(facts.sourceArn),
    ),
    allow("WriteCopies", ["s3:ReplicateObject", "s3:ReplicateTags"], below(facts.destinationArn)),
    facts.sourceKey === null
      ? undefined
      : allow("Decrypt", ["kms:Decrypt"], facts.sourceKey, through(facts.sourceRegion)),
    facts.destinationKey === null
      ? undefined
      : allow(
          "Encrypt",
          ["kms:Encrypt", "kms:GenerateDataKey"],
          facts.destinationKey,
          through(facts.destinationRegion),
        ),
  );
}

/** The job that copies what was there before: docs, s3-batch-replication-policies; it writes no manifest and no report. */
export function batchPolicy(sourceArn: string, prefix: string): object {
  return policy(
    allow("StartCopies", ["s3:InitiateReplication"], `${sourceArn}/${prefix}/*`),
    allow("ListWhatToCopy", ["s3:GetReplicationConfiguration", "s3:PutInventoryConfiguration"], sourceArn),
  );
}
