/**
 * A KMS key of our own: rotated, kept when the stack goes, and usable only in the ways that its caller names. Its policy
 * lets nobody disable or delete it: what it encrypts would be lost with it. Whoever means to, changes the policy first.
 */
import { getCallerIdentityOutput } from "@pulumi/aws/getCallerIdentity";
import { getPartitionOutput } from "@pulumi/aws/getPartition";
import { getRegionOutput } from "@pulumi/aws/getRegion";
import * as kms from "@pulumi/aws/kms";
import * as pulumi from "@pulumi/pulumi";

/** Account and region: what the statements of policies speak of. */
export interface AwsPlace {
  readonly account: string;
  /** `aws`, `aws-cn`, `aws-us-gov`. */
  readonly partition: string;
  readonly region: string;
}

/** @param parent decides the provider that is asked. */
export function placeOf(parent: pulumi.Resource): pulumi.Output<AwsPlace> {
  return pulumi.output({
    account: getCallerIdentityOutput({}, { parent }).accountId,
    partition: getPartitionOutput({}, { parent }).partition,
    region: getRegionOutput({}, { parent }).region,
  });
}

/** One statement of a policy document, as AWS reads it. */
export type PolicyStatement = Readonly<Record<string, unknown>> & {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
};

export interface EncryptionKeyArgs {
  /** What it encrypts, for people; also in the console, where keys have no other name. */
  readonly description: string;
  /** Who may use it, and through which service. The resource of a key's policy is `*`: this key. */
  readonly usage: (place: AwsPlace) => pulumi.Input<readonly PolicyStatement[]>;
  /** Tags of the key. Defaults to none but the provider's own. */
  readonly tags?: pulumi.Input<Record<string, pulumi.Input<string>>> | undefined;
}

/** Everything but using it, disabling it and deleting it. */
const administration = [
  "kms:CreateAlias",
  "kms:CreateGrant",
  "kms:DeleteAlias",
  "kms:DescribeKey",
  "kms:EnableKey",
  "kms:EnableKeyRotation",
  "kms:GetKeyPolicy",
  "kms:GetKeyRotationStatus",
  "kms:ListAliases",
  "kms:ListGrants",
  "kms:ListKeyPolicies",
  "kms:ListResourceTags",
  "kms:ListRetirableGrants",
  "kms:PutKeyPolicy",
  "kms:RevokeGrant",
  "kms:TagResource",
  "kms:UntagResource",
  "kms:UpdateAlias",
  "kms:UpdateKeyDescription",
];

/** What S3, or another service on a caller's behalf, needs of a key. */
const keyUse = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"];

/**
 * Whoever the account's own policies allow it, and only through that service.
 *
 * @param via what `kms:ViaService` must be: `sns.eu-central-1.amazonaws.com`; with `*`, a pattern.
 * @param more actions besides what every service needs.
 */
export function useThrough(place: AwsPlace, sid: string, via: string, more: readonly string[] = []): PolicyStatement {
  const account = { "kms:CallerAccount": place.account };
  return {
    Sid: sid,
    Effect: "Allow",
    Principal: { AWS: accountPrincipal(place) },
    Action: [...keyUse, ...more],
    Resource: "*",
    Condition: via.includes("*")
      ? { StringLike: { "kms:ViaService": via }, StringEquals: account }
      : { StringEquals: { "kms:ViaService": via, ...account } },
  };
}

/**
 * Whoever the account's own policies allow it, for the data keys of environment snapshots and nothing else: these name their
 * purpose in the encryption context, which KMS authenticates (scripts/environment/keyring.ts).
 */
export function useForEnvironment(place: AwsPlace): PolicyStatement {
  return {
    Sid: "EnvironmentSnapshots",
    Effect: "Allow",
    Principal: { AWS: accountPrincipal(place) },
    Action: ["kms:Decrypt", "kms:GenerateDataKey"],
    Resource: "*",
    Condition: {
      StringEquals: {
        "kms:CallerAccount": place.account,
        "kms:EncryptionContext:dbprotect-purpose": "environment-snapshots",
      },
    },
  };
}

/** @param opts `parent` decides the provider. */
export function encryptionKey(
  name: string,
  { description, usage, tags }: EncryptionKeyArgs,
  opts: pulumi.CustomResourceOptions & { readonly parent: pulumi.Resource },
): kms.Key {
  const place = placeOf(opts.parent);
  return new kms.Key(
    name,
    {
      description,
      enableKeyRotation: true,
      deletionWindowInDays: 30,
      policy: pulumi.jsonStringify(
        place.apply((at) => pulumi.output(usage(at)).apply((statements) => keyPolicy(at, statements))),
      ),
      ...(tags === undefined ? {} : { tags }),
    },
    { ...opts, protect: true, retainOnDelete: true },
  );
}

/** The account's own policies decide which of its people may administer the key. */
function keyPolicy(place: AwsPlace, usage: readonly PolicyStatement[]): object {
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "Administration",
        Effect: "Allow",
        Principal: { AWS: accountPrincipal(place) },
        Action: administration,
        Resource: "*",
      },
      ...usage,
    ],
  };
}

/** Whoever the account's own policies allow it. */
function accountPrincipal({ account, partition }: AwsPlace): string {
  return `arn:${partition}:iam::${account}:root`;
}
