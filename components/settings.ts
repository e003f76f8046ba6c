/**
 * The stack's whole configuration, read once and checked before any resource exists. A mistake ends the
 * program with one line: the full key, what was found, what is expected, and what to do.
 */
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { type OperationSettings, operationSettingsSchema, replicaSettingsSchema } from "../scripts/settings";
import type { DrillScheduleArgs } from "./continuousProtection";
import type { LogicalReplicaArgs } from "./logicalReplica";
import { isScheduleExpression, scheduleExpressionForm } from "./scheduleExpression";
import { isConfigSecret } from "./sdk";

/** The same in every project that uses these components, whatever that project is called. */
const namespace = "database-protection";

/** May only be set with `--secret`; left unset, the Commands find them in the environment of `pulumi up`. */
const secretKeys = [
  ...["databaseUrl", "backupPassphrase", "alertsWebhookUrl"],
  ...["replicaDatabaseUrl", "replicaPassword", "replicationSourceUrl"],
] as const;

const webAddress = z
  .string()
  .regex(/^https?:\/\/[^\s/@]+(\/\S*)?$/, "expected an http or https URL without user and password");

/** What the program itself checks further; the first of several stores is required, others may be `optional:`. */
const storeAddress = /^(file:\/\/\/\S+|s3:\/\/[a-z0-9.-]{3,63}([/?]\S*)?)$/;
const additionalStore = new RegExp(storeAddress.source.replace("^", "^(optional:)?"));

const days = z.int().min(1).max(3650);

const bucketSettingsSchema = z.strictObject({
  prefix: z
    .string()
    .regex(/^[\w.-]+(\/[\w.-]+)*$/, "expected letters, digits, `.`, `_`, `-`, with single slashes between them")
    .optional()
    .meta({
      description: "prefix of all keys; one prefix belongs to one database",
      allowed: "letters, digits, `.`, `_`, `-`, single slashes",
      otherwise: "the stack's name",
    }),
  existing: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "expected the name of a bucket")
    .optional()
    .meta({
      description: "a bucket that exists and serves nothing else; see below",
      allowed: "a bucket's name",
      otherwise: "a bucket is created",
    }),
  encryption: z
    .enum(["kms", "s3"])
    .optional()
    .meta({ description: "a KMS key, or keys that S3 manages (AES256)", otherwise: "`kms`" }),
  kmsKeyArn: z
    .string()
    .startsWith("arn:", "expected the ARN of a KMS key")
    .optional()
    .meta({ description: "the KMS key that encrypts the objects", allowed: "an ARN", otherwise: "a key is created" }),
  expiry: z
    .enum(["tag", "age"])
    .optional()
    .meta({ description: "what S3 removes by itself, see below", otherwise: "`tag`" }),
  expiredObjectDays: days.optional().meta({
    description: "days until an object that `db:prune` tagged `expire=yes` is removed",
    otherwise: "`1`",
  }),
  noncurrentVersionDays: days.optional().meta({
    description: "days that an overwritten or removed object can be brought back",
    otherwise: "`30`",
  }),
  incompleteUploadDays: days
    .optional()
    .meta({ description: "days until an unfinished upload is removed", otherwise: "`7`" }),
  coldStorage: z.enum(["none", "STANDARD_IA", "GLACIER_IR"]).optional().meta({
    description:
      "class of the backups of tiers that keep them for longer than it is paid for in any case (30, 90 days)",
    otherwise: "`none`",
  }),
  coldAfterDays: z
    .int()
    .min(30)
    .max(3650)
    .optional()
    .meta({ description: "days until they move there", otherwise: "`30`" }),
  lockMode: z
    .enum(["none", "governance", "compliance"])
    .optional()
    .meta({ description: "object lock, see below", otherwise: "`governance`; with `existing` `none`" }),
  lockDays: days.optional().meta({
    description: "days that an object is locked at most; never longer than its tier promises",
    otherwise: "what its tier promises",
  }),
  accessLogBucket: z.string().min(3).optional().meta({
    description: "bucket that gets the log of all requests, below `<bucket>/`",
    allowed: "a bucket's name",
    otherwise: "none",
  }),
  inventoryBucket: z.string().min(3).optional().meta({
    description: "bucket that gets a list of all versions every week: size, class, encryption, lock",
    allowed: "a bucket's name",
    otherwise: "none",
  }),
  eventBridge: z
    .boolean()
    .optional()
    .meta({ description: "whether S3 tells EventBridge of each object", otherwise: "`true`; with `existing` `false`" }),
});

export type BucketSettings = z.infer<typeof bucketSettingsSchema>;

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

const scheduleSettingsSchema = z.strictObject({
  image: z
    .string()
    .regex(/^[\w.-]+(:\d+)?(\/[\w.-]+)+([:@][\w.:-]+)?$/, "expected registry/repository:tag")
    .optional()
    .meta({
      description: "the container's image, see [schedules.md](schedules.md#the-container); not with `build`",
      allowed: "`registry/repository:tag`",
      otherwise: "one is built",
    }),
  build: z
    .strictObject({
      postgresMajors: z.array(z.int().min(14).max(18)).min(1).optional(),
      postgresExtensions: z
        .array(z.string().regex(/^[a-z0-9][a-z0-9.+-]*$/, "expected the end of a package's name, such as pgvector"))
        .optional(),
      nodeImage: z
        .string()
        .regex(/^[\w./:-]+@sha256:[0-9a-f]{64}$/, "expected the base image by digest: node:…@sha256:…")
        .optional(),
    })
    .optional()
    .meta({
      description: "what the image that is built holds; needs Docker where `pulumi up` runs",
      otherwise: "every major, no extension",
    }),
  cron: z.string().refine(isScheduleExpression, `expected ${scheduleExpressionForm}`).optional().meta({
    description: "when",
    allowed: "EventBridge Scheduler's `cron(…)`, `rate(…)`",
    otherwise: "`cron(0 2 * * ? *)`",
  }),
  timeZone: z.string().refine(isTimeZone, "expected an IANA time zone, such as Europe/Berlin").optional().meta({
    description: "of `cron`; the day on which the clock changes is run once",
    allowed: "an IANA time zone",
    otherwise: "`UTC`",
  }),
  flexibleMinutes: z
    .int()
    .min(0)
    .max(1440)
    .optional()
    .meta({ description: "minutes by which the start may be late", otherwise: "`15`" }),
  databaseUrlSecretArn: z.string().startsWith("arn:", "expected the ARN of a secret").optional().meta({
    description: "secret in AWS Secrets Manager that holds the connection URL",
    allowed: "an ARN",
    otherwise: "a secret is created from `databaseUrl`",
  }),
  port: z
    .int()
    .min(1)
    .max(65535)
    .optional()
    .meta({ description: "port of the database; tasks reach it and 443, nothing else", otherwise: "`5432`" }),
  gibibytes: z
    .number()
    .positive()
    .max(90, "expected at most 90: a larger one is dumped from a host: docs/schedules.md")
    .optional()
    .meta({
      description:
        "GiB of the database; up to 5: 1 processor and 2 GiB, up to 30: 2 and 4, else 4 and 8; disk 20 GiB and twice the size",
      otherwise: "`10`",
    }),
  timeoutHours: z
    .number()
    .positive()
    .max(168)
    .optional()
    .meta({ description: "hours until a dump is stopped and counts as failed", otherwise: "`6`" }),
  logDays: z
    .union([7, 14, 30, 60, 90, 180, 365].map((number) => z.literal(number)))
    .optional()
    .meta({ description: "days that its log is kept", otherwise: "`90`" }),
  vpcId: z.string().startsWith("vpc-", "expected the id of a VPC").optional().meta({
    description: "network of the tasks, together with `subnetIds`",
    allowed: "an id",
    otherwise: "the default VPC",
  }),
  subnetIds: z
    .array(z.string().startsWith("subnet-", "expected ids of subnets"))
    .min(1)
    .optional()
    .meta({ description: "its subnets", allowed: "ids", otherwise: "those of the default VPC" }),
  assignPublicIp: z.boolean().optional().meta({
    description: "whether tasks have a public address; without one they need a NAT gateway",
    otherwise: "`true` in the default VPC, else `false`",
  }),
  healthMinutes: z.int().min(0).max(60).optional().meta({
    description:
      "minutes from one [`db:health`](reference.md#dbhealth) to the next, whose numbers become metrics; 0: it is not scheduled",
    otherwise: "`5`",
  }),
  supabaseProjectRef: z
    .string()
    .regex(/^[a-z]{20}$/, "expected the project's 20 lower-case letters")
    .optional()
    .meta({ description: "the hosted project whose platform it asks too", allowed: "20 letters", otherwise: "none" }),
  supabaseKeySecretArn: z.string().startsWith("arn:", "expected the ARN of a secret").optional().meta({
    description: "secret that holds the project's secret key: disk, authentication",
    allowed: "an ARN",
    otherwise: "none",
  }),
  supabaseTokenSecretArn: z.string().startsWith("arn:", "expected the ARN of a secret").optional().meta({
    description: "secret that holds a token of the Management API: API requests",
    allowed: "an ARN",
    otherwise: "none",
  }),
});

export type ScheduleSettings = z.infer<typeof scheduleSettingsSchema>;

const alertsSettingsSchema = z.strictObject({
  emails: z.array(z.email()).optional().meta({
    description: "who gets a mail, once each has confirmed the first one",
    allowed: "addresses",
    otherwise: "none",
  }),
  httpsEndpoints: z
    .array(z.string().regex(/^https:\/\/[^\s/@]+(\/\S*)?$/, "expected an https URL without password"))
    .optional()
    .meta({
      description: "who gets a POST, once each has confirmed the first one",
      allowed: "https URLs without secrets",
      otherwise: "none",
    }),
  heartbeatHours: z
    .int()
    .min(1)
    .max(168)
    .optional()
    .meta({ description: "hours without a dump that succeeded, until the alarm", otherwise: "`26`" }),
  pagingTopicArn: z
    .string()
    .startsWith("arn:", "expected the ARN of a topic")
    .optional()
    .meta({ description: "topic that is told while any of the alarms stands", allowed: "an ARN", otherwise: "none" }),
});

export type AlertsSettings = z.infer<typeof alertsSettingsSchema>;

const replicationSettingsSchema = z.strictObject({
  region: z
    .string()
    .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, "expected an AWS region, such as eu-west-1")
    .meta({ description: "where the second bucket, its key, drill, alarms and topic are", allowed: "an AWS region" }),
  accountRoleArn: z
    .string()
    .regex(/^arn:[\w-]+:iam::\d{12}:role\/\S+$/, "expected the ARN of a role in the other account")
    .optional()
    .meta({
      description: "role in another account, which `pulumi up` assumes for all of that",
      allowed: "an ARN",
      otherwise: "the stack's account",
    }),
  kmsKeyArn: z.string().startsWith("arn:", "expected the ARN of a KMS key").optional().meta({
    description: "key of the second bucket; it must let the role `…-outward` encrypt through S3",
    allowed: "an ARN",
    otherwise: "a key is created",
  }),
  lockMode: z.enum(["none", "governance", "compliance"]).optional().meta({
    description: "object lock; S3 copies nothing from a locked bucket to one without",
    otherwise: "that of the first location",
  }),
  lockDays: days.optional().meta({
    description: "days that whatever arrives there is locked, unless it brings a lock of its own",
    allowed: "at most the shortest tier's promise",
    otherwise: "`7`",
  }),
  coldStorage: z
    .enum(["none", "STANDARD_IA", "GLACIER_IR"])
    .optional()
    .meta({ description: "as in `bucket`", otherwise: "`none`" }),
  coldAfterDays: z.int().min(30).max(3650).optional().meta({ description: "as in `bucket`", otherwise: "`30`" }),
  noncurrentVersionDays: days.optional().meta({ description: "as in `bucket`", otherwise: "`30`" }),
  accessLogBucket: z
    .string()
    .min(3)
    .optional()
    .meta({ description: "as in `bucket`", allowed: "a bucket of that region", otherwise: "none" }),
  existingObjects: z
    .boolean()
    .optional()
    .meta({ description: "whether what was there before is copied", otherwise: "`true`" }),
  pendingBytes: z
    .int()
    .min(0)
    .optional()
    .meta({ description: "bytes of backups that wait for their copy, until the alarm", otherwise: "`10737418240`" }),
  latencySeconds: z.int().min(0).optional().meta({
    description: "seconds that copies are behind, until the alarm; a third alarm tells of copies that failed",
    otherwise: "`1800`",
  }),
});

export type ReplicationSettings = z.infer<typeof replicationSettingsSchema>;

const addressBlock = z.string().regex(/^[\da-fA-F:.]+\/\d{1,3}$/, "expected a block of addresses, such as 10.0.0.0/16");

const logicalReplicaSettingsSchema = z.strictObject({
  server: z.enum(["rds", "existing"]).meta({
    description:
      "`rds`: a server is created, with the secret `replicaPassword`; `existing`: that of the secret `replicaDatabaseUrl`",
  }),
  region: z
    .string()
    .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, "expected an AWS region, such as eu-west-1")
    .optional()
    .meta({ description: "where the server is created", allowed: "a region of AWS", otherwise: "the stack's" }),
  vpcId: z
    .string()
    .startsWith("vpc-", "expected the id of a VPC")
    .optional()
    .meta({ description: "its network, together with `subnetIds`", allowed: "an id", otherwise: "the default VPC" }),
  subnetIds: z
    .array(z.string().startsWith("subnet-", "expected ids of subnets"))
    .min(2)
    .optional()
    .meta({ description: "its subnets", allowed: "ids, in two zones at least", otherwise: "the default VPC's" }),
  engineVersion: z
    .string()
    .regex(/^\d{2}(\.\d+)?$/, "expected a version of PostgreSQL, such as 17 or 17.5")
    .optional()
    .meta({ description: "of PostgreSQL, no older than the source", allowed: "`17`, `17.5`, …", otherwise: "`17`" }),
  instanceClass: z
    .string()
    .regex(/^db\.\w+\.\w+$/, "expected a class, such as db.t4g.medium")
    .optional()
    .meta({ description: "its size", allowed: "a class of RDS", otherwise: "`db.t4g.medium`" }),
  gibibytes: z.int().min(20).max(65_536).optional().meta({ description: "GiB of storage", otherwise: "`20`" }),
  maxGibibytes: z
    .int()
    .min(22)
    .max(65_536)
    .optional()
    .meta({ description: "GiB up to which it grows by itself", otherwise: "four times `gibibytes`" }),
  multiAz: z
    .boolean()
    .optional()
    .meta({ description: "whether there is a standby in another zone", otherwise: "`false`" }),
  backupDays: z
    .int()
    .min(1)
    .max(35)
    .optional()
    .meta({ description: "days that RDS keeps its own backups", otherwise: "`7`" }),
  dualStack: z.boolean().optional().meta({
    description: "whether it has IPv6 besides IPv4, for a source that is reached by IPv6 only",
    otherwise: "`false`",
  }),
  publiclyAccessible: z
    .boolean()
    .optional()
    .meta({ description: "whether it has a public address", otherwise: "`false`" }),
  clients: z
    .array(addressBlock)
    .optional()
    .meta({ description: "who may connect", allowed: "blocks of addresses", otherwise: "nobody" }),
  clientSecurityGroupIds: z
    .array(z.string().startsWith("sg-", "expected ids of security groups"))
    .optional()
    .meta({ description: "whose members may connect", allowed: "ids", otherwise: "none" }),
  kmsKeyArn: z
    .string()
    .startsWith("arn:", "expected the ARN of a KMS key")
    .optional()
    .meta({ description: "key of storage, backups and statistics", allowed: "an ARN", otherwise: "a key is created" }),
});

const { image, cron, timeZone, gibibytes, timeoutHours, logDays, vpcId, subnetIds, assignPublicIp } =
  scheduleSettingsSchema.shape;

const restoreDrillSettingsSchema = z.strictObject({
  image: image.optional().meta({
    description: "the container's image; your own checks are those in its working folder",
    allowed: "`registry/repository:tag`",
    otherwise: "that of `schedule`",
  }),
  cron: cron.meta({
    description: "when, in both regions",
    allowed: "EventBridge Scheduler's `cron(…)`, `rate(…)`",
    otherwise: "`cron(0 5 ? * SUN *)`",
  }),
  timeZone: timeZone.meta({ description: "of `cron`", allowed: "an IANA time zone", otherwise: "`UTC`" }),
  gibibytes: gibibytes.meta({
    description: "GiB of the database, as in `schedule`",
    otherwise: "that of `schedule`, else `10`",
  }),
  timeoutHours: timeoutHours.meta({
    description: "hours until a drill is stopped and counts as failed",
    otherwise: "`6`",
  }),
  logDays: logDays.meta({
    description: "days that its log is kept",
    otherwise: "`90`",
  }),
  vpcId: vpcId.meta({
    description:
      "network of the second region's task, together with `subnetIds`; the first's runs where `schedule` says",
    allowed: "an id",
    otherwise: "the default VPC",
  }),
  subnetIds: subnetIds.meta({ description: "its subnets", allowed: "ids", otherwise: "those of the default VPC" }),
  assignPublicIp: assignPublicIp.meta({
    description: "whether the second region's task has a public address",
    otherwise: "as in `schedule`",
  }),
  ageIdentitySecretArn: z.string().startsWith("arn:", "expected the ARN of a secret").optional().meta({
    description: "secret in the second region with the private key that opens encrypted backups",
    allowed: "an ARN",
    otherwise: "none",
  }),
  firstAgeIdentitySecretArn: z
    .string()
    .startsWith("arn:", "expected the ARN of a secret")
    .optional()
    .meta({ description: "the same in the first region", allowed: "an ARN", otherwise: "none" }),
});

/** Every key that may stand in a stack's configuration, but the secrets. */
export const stackConfigurationSchema = z.strictObject({
  ...operationSettingsSchema.shape,
  /** 2: the gate and its backups. 3: also a second location, and restore drills. Default 2; Level 1 is always checked. */
  level: z.union([z.literal(2), z.literal(3)], "expected 2 or 3").default(2),
  replication: replicationSettingsSchema.optional(),
  logicalReplica: logicalReplicaSettingsSchema.optional(),
  restoreDrill: restoreDrillSettingsSchema.optional(),
  backupStore: z
    .string()
    .refine(
      (text) => text.split(/\s+/).every((word, place) => (place === 0 ? storeAddress : additionalStore).test(word)),
      "expected file:///folder or s3://bucket/prefix",
    )
    .optional(),
  bucket: bucketSettingsSchema.optional(),
  environmentKey: z
    .string()
    .regex(
      /^(bucket|arn:aws[\w-]*:kms:[a-z0-9-]+:\d{12}:key\/[A-Za-z0-9-]+)$/,
      "expected the ARN of a KMS key (no alias), or bucket",
    )
    .optional(),
  schedule: scheduleSettingsSchema.optional(),
  alerts: alertsSettingsSchema.optional(),
  releaseVersion: z
    .string()
    .regex(/^[\w][\w.+/-]{0,127}$/, "expected up to 128 letters, digits and . _ + / -, such as a git SHA")
    .optional(),
  appUrl: webAddress.optional(),
  frontendUrl: webAddress.optional(),
});

/** The name of every key, secret or not, without its namespace. */
export const configKeys: readonly string[] = [...Object.keys(stackConfigurationSchema.shape), ...secretKeys];

/** What Level 3 adds. */
export interface ContinuousSettings {
  readonly second: ReplicationSettings;
  readonly drill: DrillScheduleArgs;
}

export interface ProgramSettings {
  /** Undefined at Level 2. */
  readonly continuous: ContinuousSettings | undefined;
  /** Undefined: the stack has no live replica of its own. */
  readonly logicalReplica: LogicalReplicaArgs | undefined;
  /** Whether the bucket is copied to a second location. */
  readonly replicated: boolean;
  /** Where backups lie; undefined: the stack creates a bucket. */
  readonly backupStore: string | undefined;
  /** Undefined wherever `backupStore` is set. */
  readonly bucket: (BucketSettings & { readonly returningAccount?: string }) | undefined;
  /** What seals the environment's snapshots: the ARN of a KMS key, or `bucket`; undefined: the passphrase. */
  readonly environmentKey: string | undefined;
  /** Undefined: nothing is dumped by the stack's own schedule. */
  readonly schedule: ScheduleSettings | undefined;
  /** Undefined: nobody is told by the stack's own alarms. */
  readonly alerts: (AlertsSettings & { readonly webhookUrl?: pulumi.Output<string> }) | undefined;
  /** What is released, say a git SHA; undefined when nothing is. */
  readonly releaseVersion: string | undefined;
  /** What the operational commands are told. */
  readonly operation: OperationSettings;
  readonly appUrl: string | undefined;
  readonly frontendUrl: string | undefined;
  readonly databaseUrl: pulumi.Output<string> | undefined;
  readonly backupPassphrase: pulumi.Output<string> | undefined;
}

/**
 * @param env where `RELEASE_VERSION` stands when `releaseVersion` is not configured.
 * @throws pulumi.RunError with one line for the first mistake.
 */
export function readSettings(env: NodeJS.ProcessEnv = process.env): ProgramSettings {
  const result = stackConfigurationSchema.safeParse(readDocument(env), { reportInput: true });
  if (!result.success) throw mistakeOf(result.error.issues[0]);
  const { backupStore, bucket, environmentKey, schedule, alerts, releaseVersion, appUrl, frontendUrl } = result.data;
  const operation = operationOf(result.data);
  if (backupStore !== undefined && bucket !== undefined) {
    throw mistake("bucket", "found together with backupStore", "expected one of the two", "remove");
  }
  if (environmentKey === "bucket" && (backupStore !== undefined || bucket?.encryption === "s3")) {
    const found = `found bucket, with ${backupStore === undefined ? "bucket.encryption: s3" : "backupStore"}`;
    throw mistake("environmentKey", found, "expected the ARN of a KMS key, or a bucket that has one", "remove");
  }
  if (schedule !== undefined && operation.platform.level === 1) {
    throw mistake("schedule", "found with platform.level: 1", "expected Level 2 or 3, to which dumps belong", "remove");
  }
  if (schedule?.image !== undefined && schedule.build !== undefined) {
    throw mistake("schedule.build", "found together with image", "expected one of the two", "remove");
  }
  if (alerts !== undefined && schedule === undefined) {
    throw mistake("alerts", "found without schedule", "expected dumps to watch", "remove");
  }
  for (const key of ["supabaseKeySecretArn", "supabaseTokenSecretArn"] as const) {
    if (schedule?.[key] !== undefined && schedule.supabaseProjectRef === undefined) {
      throw mistake(
        `schedule.${key}`,
        "found without supabaseProjectRef",
        "expected the project that it is of",
        "remove",
      );
    }
  }
  const config = new pulumi.Config(namespace);
  const databaseUrl = config.getSecret("databaseUrl");
  if (schedule !== undefined && schedule.databaseUrlSecretArn === undefined && databaseUrl === undefined) {
    const fix = `pulumi config set --secret ${namespace}:databaseUrl, or the ARN of a secret that exists`;
    throw mistake("schedule.databaseUrlSecretArn", "found nothing", "expected it or databaseUrl", fix);
  }
  const releasing = (["migrations", "railway", "vercel"] as const).filter((step) => operation[step] !== undefined);
  if (releasing.length > 0 && releaseVersion === undefined) {
    throw mistake(
      "releaseVersion",
      `found nothing, although ${releasing.join(", ")} is configured`,
      "expected what is released, such as a git SHA",
      "set it, or RELEASE_VERSION in the environment",
    );
  }
  const webhookUrl = config.getSecret("alertsWebhookUrl")?.apply(demandWebhook);
  if (webhookUrl !== undefined && alerts === undefined) {
    const fix = `pulumi config set --path '${namespace}:alerts.heartbeatHours' 26`;
    throw mistake("alertsWebhookUrl", "found without alerts", "expected alarms to tell of", fix);
  }
  const continuous = continuousSettings(result.data);
  return {
    continuous,
    logicalReplica: replicaOf(result.data, databaseUrl),
    replicated: continuous !== undefined,
    backupStore,
    bucket: withReturns(bucket, continuous),
    environmentKey,
    schedule,
    alerts: alerts === undefined || webhookUrl === undefined ? alerts : { ...alerts, webhookUrl },
    releaseVersion,
    operation,
    appUrl,
    frontendUrl,
    databaseUrl,
    backupPassphrase: config.getSecret("backupPassphrase"),
  };
}

/** Its address is its key: a mistake in it is told without it. */
function demandWebhook(url: string): string {
  if (/^https:\/\/[^\s/@]+\/\S+$/.test(url)) return url;
  const fix = `pulumi config set --secret ${namespace}:alertsWebhookUrl`;
  throw mistake("alertsWebhookUrl", "found something else", "expected https://hooks.slack.com/services/…", fix);
}

/** What drills in another account found comes back: the account is that of the role which is assumed there. */
function withReturns(
  bucket: BucketSettings | undefined,
  continuous: ContinuousSettings | undefined,
): ProgramSettings["bucket"] {
  const returningAccount = continuous?.second.accountRoleArn?.split(":")[4];
  return returningAccount === undefined ? bucket : { ...bucket, returningAccount };
}

type Configuration = z.infer<typeof stackConfigurationSchema>;

/** What the operational commands are told: everything but what decides which resources there are. */
function operationOf(found: Configuration): OperationSettings {
  const { backupStore, bucket, environmentKey, schedule, alerts, level, replication, ...others } = found;
  const { logicalReplica, restoreDrill, releaseVersion, appUrl, frontendUrl, replica, ...operation } = others;
  // A replica of the stack's own is one that the gate looks at.
  const looked = replica ?? (logicalReplica === undefined ? undefined : replicaSettingsSchema.parse({}));
  return looked === undefined ? operation : { ...operation, replica: looked };
}

/** @throws pulumi.RunError for what Level 3 lacks, and for what only Level 3 has. */
function continuousSettings(found: Configuration): ContinuousSettings | undefined {
  const { level, replication, restoreDrill = {}, schedule, backupStore } = found;
  if (level === 2) {
    for (const key of ["replication", "logicalReplica", "restoreDrill"] as const)
      if (found[key] !== undefined) throw mistake(key, "found with level: 2", "expected level: 3", "remove");
    return undefined;
  }
  if (backupStore !== undefined)
    throw mistake(
      "backupStore",
      "found with level: 3",
      "expected a bucket of the stack, which S3 copies from",
      "remove",
    );
  if (replication === undefined) {
    const fix = `pulumi config set --path '${namespace}:replication.region' <region>`;
    throw mistake("replication", "found nothing with level: 3", "expected the second location", fix);
  }
  if (restoreDrill.image === undefined && schedule === undefined) {
    const fix = `pulumi config set --path '${namespace}:restoreDrill.image' <image>`;
    throw mistake("restoreDrill.image", "found nothing, and no schedule", "expected the image of the drills", fix);
  }
  const { vpcId, subnetIds, assignPublicIp, ...drill } = restoreDrill;
  return {
    second: replication,
    drill: {
      ...{ ...drill, gibibytes: drill.gibibytes ?? schedule?.gibibytes },
      network: { vpcId, subnetIds, assignPublicIp },
      firstNetwork: {
        ...{ vpcId: schedule?.vpcId, subnetIds: schedule?.subnetIds, assignPublicIp: schedule?.assignPublicIp },
      },
      operation: operationOf(found),
    },
  };
}

/** @throws pulumi.RunError where the secret is missing that the kind of server needs, or what a server that exists has already is given. */
function replicaOf(
  found: Configuration,
  databaseUrl: pulumi.Output<string> | undefined,
): LogicalReplicaArgs | undefined {
  if (found.logicalReplica === undefined) return undefined;
  const { server, ...created } = found.logicalReplica;
  const config = new pulumi.Config(namespace);
  const secret = (key: "replicaDatabaseUrl" | "replicaPassword"): pulumi.Output<string> => {
    const value = config.getSecret(key);
    if (value !== undefined) return value;
    const fix = `pulumi config set --secret ${namespace}:${key}`;
    throw mistake(key, `found nothing with logicalReplica.server: ${server}`, "expected a secret", fix);
  };
  const [surplus] = Object.keys(created);
  if (server === "existing" && surplus !== undefined)
    throw mistake(
      `logicalReplica.${surplus}`,
      "found with logicalReplica.server: existing",
      "expected none, for nothing is created",
      "remove",
    );
  const { replica } = operationOf(found);
  return {
    ...{ access: { databaseUrl }, replica, sourceUrl: config.getSecret("replicationSourceUrl") },
    ...(server === "existing"
      ? { databaseUrl: secret("replicaDatabaseUrl") }
      : { server: { ...created, password: secret("replicaPassword") } }),
  };
}

/** The namespace's keys without the secrets, parsed; a value that `Pulumi.yaml` has as "not set" is left out. */
function readDocument(env: NodeJS.ProcessEnv): Record<string, unknown> {
  const document: Record<string, unknown> = {};
  for (const [fullKey, text] of Object.entries(pulumi.runtime.allConfig())) {
    const key = fullKey.slice(namespace.length + 1);
    if (fullKey !== `${namespace}:${key}`) continue;
    if (!configKeys.includes(key)) {
      throw mistake(key, "found an unknown key", `expected one of ${[...configKeys].sort().join(", ")}`, "remove");
    }
    if ((secretKeys as readonly string[]).includes(key)) {
      if (!isConfigSecret(fullKey)) {
        throw mistake(key, "found plain text", "expected a secret", `pulumi config set --secret ${fullKey}`);
      }
      continue;
    }
    if (isConfigSecret(fullKey)) {
      const fix = "keep secrets in environment variables and set the rest in plain text";
      throw mistake(key, "found a secret", "expected plain text, because it is written to the state", fix);
    }
    const value = isTextKey(key) ? text : parseObject(key, text);
    if (!isAbsent(value)) document[key] = value;
  }
  // What is demanded of the platform follows the Level, unless it is said otherwise.
  if (document["level"] === 3) document["platform"] = { level: 3, ...(document["platform"] as object | undefined) };
  const releaseVersion = document["releaseVersion"] ?? env["RELEASE_VERSION"];
  if (!isAbsent(releaseVersion)) document["releaseVersion"] = releaseVersion;
  return document;
}

function isTextKey(key: string): boolean {
  return [
    "backupStore",
    "environmentKey",
    "releaseVersion",
    "checks",
    "appUrl",
    "frontendUrl",
    "integrationCommand",
  ].includes(key);
}

function parseObject(key: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const fix = `pulumi config set --path '${namespace}:${key}.<name>' <value>`;
    throw mistake(key, `found ${quote(text)}`, "expected an object or a list", fix);
  }
}

/** Every typed key of `Pulumi.yaml` needs a default, or the CLI demands it: these say "not set". */
function isAbsent(value: unknown): boolean {
  if (value === undefined || value === "") return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function mistakeOf(issue: z.core.$ZodIssue | undefined): pulumi.RunError {
  const path = issue?.path.map(String) ?? [];
  if (issue?.code === "unrecognized_keys") {
    const key = [...path, issue.keys[0]].join(".");
    return mistake(key, "found an unknown key", "expected none of that name here", "remove");
  }
  const found = issue?.input === undefined ? "found nothing" : `found ${quote(issue.input)}`;
  const expected = issue?.message.replace(/^Invalid input: /, "").replace(/, received .*$/, "") ?? "invalid";
  return mistake(path.join("."), found, expected, `pulumi config set --path '${namespace}:${path.join(".")}' <value>`);
}

function mistake(key: string, found: string, expected: string, fix: string): pulumi.RunError {
  const action = fix === "remove" ? `pulumi config rm --path '${namespace}:${key}'` : fix;
  return new pulumi.RunError(`${namespace}:${key}: ${found}: ${expected}: ${action}`);
}

function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
