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
  /** Prefix of all keys; one prefix belongs to one database. Default: the stack's name. */
  prefix: z
    .string()
    .regex(/^[\w.-]+(\/[\w.-]+)*$/, "expected letters, digits, `.`, `_`, `-`, with single slashes between them")
    .optional(),
  /** Name of a bucket that exists and serves nothing else. Default: one is created. */
  existing: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "expected the name of a bucket")
    .optional(),
  /** `kms`, or keys that S3 manages. Default `kms`. */
  encryption: z.enum(["kms", "s3"]).optional(),
  /** ARN of a KMS key. Default: one is created. */
  kmsKeyArn: z.string().startsWith("arn:", "expected the ARN of a KMS key").optional(),
  /** Whether only what `db:prune` tagged is removed, or what is older than its tier promises. Default `tag`. */
  expiry: z.enum(["tag", "age"]).optional(),
  /** Days after which an object that was tagged `expire=yes` is removed. Default 1. */
  expiredObjectDays: days.optional(),
  /** Days that an overwritten or removed object can still be brought back. Default 30. */
  noncurrentVersionDays: days.optional(),
  /** Days after which the parts of an upload that never finished are removed. Default 7. */
  incompleteUploadDays: days.optional(),
  /** Class that backups move to which stay long enough. Default `none`. */
  coldStorage: z.enum(["none", "STANDARD_IA", "GLACIER_IR"]).optional(),
  /** Days after which they move. Default 30. */
  coldAfterDays: z.int().min(30).max(3650).optional(),
  /** Object lock. Default `governance`, for an existing bucket `none`. */
  lockMode: z.enum(["none", "governance", "compliance"]).optional(),
  /** Days that an object is locked at most. Default: what its tier promises. */
  lockDays: days.optional(),
  /** Bucket that gets the log of all requests. Default: none. */
  accessLogBucket: z.string().min(3).optional(),
  /** Bucket that gets a weekly list of all versions. Default: none. */
  inventoryBucket: z.string().min(3).optional(),
  /** Whether S3 tells EventBridge of each object. Default true, for an existing bucket false. */
  eventBridge: z.boolean().optional(),
});

export type BucketSettings = z.infer<typeof bucketSettingsSchema>;

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

export const scheduleSettingsSchema = z.strictObject({
  /** Image of the container. Default: one is built. */
  image: z
    .string()
    .regex(/^[\w.-]+(:\d+)?(\/[\w.-]+)+([:@][\w.:-]+)?$/, "expected registry/repository:tag")
    .optional(),
  /** What the image that is built holds. Default: every major, no extension. */
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
    .optional(),
  /** Default `cron(0 2 * * ? *)`. */
  cron: z.string().refine(isScheduleExpression, `expected ${scheduleExpressionForm}`).optional(),
  /** Default `UTC`. */
  timeZone: z.string().refine(isTimeZone, "expected an IANA time zone, such as Europe/Berlin").optional(),
  /** Default 15. */
  flexibleMinutes: z.int().min(0).max(1440).optional(),
  /** Default: a secret is created from `databaseUrl`. */
  databaseUrlSecretArn: z.string().startsWith("arn:", "expected the ARN of a secret").optional(),
  /** Default 5432. */
  port: z.int().min(1).max(65535).optional(),
  /** Default 10. */
  gibibytes: z
    .number()
    .positive()
    .max(90, "expected at most 90: a larger one is dumped from a host: docs/schedules.md")
    .optional(),
  /** Default 6. */
  timeoutHours: z.number().positive().max(168).optional(),
  /** Default 90; what CloudWatch Logs takes. */
  logDays: z.union([7, 14, 30, 60, 90, 180, 365].map((number) => z.literal(number))).optional(),
  /** Default: the default VPC. */
  vpcId: z.string().startsWith("vpc-", "expected the id of a VPC").optional(),
  /** Default: those of the default VPC. */
  subnetIds: z.array(z.string().startsWith("subnet-", "expected ids of subnets")).min(1).optional(),
  /** Default: true in the default VPC only. */
  assignPublicIp: z.boolean().optional(),
  /** Default 5; 0: `db:health` is not scheduled. */
  healthMinutes: z.int().min(0).max(60).optional(),
  /** Default: none: only the database and the store are asked for their health. */
  supabaseProjectRef: z
    .string()
    .regex(/^[a-z]{20}$/, "expected the project's 20 lower-case letters")
    .optional(),
  /** Default: none. */
  supabaseKeySecretArn: z.string().startsWith("arn:", "expected the ARN of a secret").optional(),
  /** Default: none. */
  supabaseTokenSecretArn: z.string().startsWith("arn:", "expected the ARN of a secret").optional(),
});

export type ScheduleSettings = z.infer<typeof scheduleSettingsSchema>;

const alertsSettingsSchema = z.strictObject({
  /** Addresses that get a mail. Default: none. */
  emails: z.array(z.email()).optional(),
  /** Endpoints that get a POST. Default: none. */
  httpsEndpoints: z
    .array(z.string().regex(/^https:\/\/[^\s/@]+(\/\S*)?$/, "expected an https URL without password"))
    .optional(),
  /** Default 26; CloudWatch looks back a week at most. */
  heartbeatHours: z.int().min(1).max(168).optional(),
  /** Default: none. */
  pagingTopicArn: z.string().startsWith("arn:", "expected the ARN of a topic").optional(),
});

export type AlertsSettings = z.infer<typeof alertsSettingsSchema>;

const replicationSettingsSchema = z.strictObject({
  /** Region of the second location. */
  region: z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d$/, "expected an AWS region, such as eu-west-1"),
  /** Default: the account of the stack. */
  accountRoleArn: z
    .string()
    .regex(/^arn:[\w-]+:iam::\d{12}:role\/\S+$/, "expected the ARN of a role in the other account")
    .optional(),
  /** Default: a key is created. */
  kmsKeyArn: z.string().startsWith("arn:", "expected the ARN of a KMS key").optional(),
  /** Default: that of the first location. */
  lockMode: z.enum(["none", "governance", "compliance"]).optional(),
  /** Default 7. */
  lockDays: days.optional(),
  /** Default `none`. */
  coldStorage: z.enum(["none", "STANDARD_IA", "GLACIER_IR"]).optional(),
  /** Default 30. */
  coldAfterDays: z.int().min(30).max(3650).optional(),
  /** Default 30. */
  noncurrentVersionDays: days.optional(),
  /** Default: none. */
  accessLogBucket: z.string().min(3).optional(),
  /** Default true. */
  existingObjects: z.boolean().optional(),
  /** Default 10 GiB. */
  pendingBytes: z.int().min(0).optional(),
  /** Default 1800. */
  latencySeconds: z.int().min(0).optional(),
});

export type ReplicationSettings = z.infer<typeof replicationSettingsSchema>;

const addressBlock = z.string().regex(/^[\da-fA-F:.]+\/\d{1,3}$/, "expected a block of addresses, such as 10.0.0.0/16");

const logicalReplicaSettingsSchema = z.strictObject({
  /** `rds`: a server is created, with `replicaPassword`; `existing`: that of `replicaDatabaseUrl`. */
  server: z.enum(["rds", "existing"]),
  /** Default: the stack's. */
  region: z
    .string()
    .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, "expected an AWS region, such as eu-west-1")
    .optional(),
  /** Default: the default VPC. */
  vpcId: z.string().startsWith("vpc-", "expected the id of a VPC").optional(),
  /** In two zones at least. Default: those of the default VPC. */
  subnetIds: z.array(z.string().startsWith("subnet-", "expected ids of subnets")).min(2).optional(),
  /** Default `17`. */
  engineVersion: z
    .string()
    .regex(/^\d{2}(\.\d+)?$/, "expected a version of PostgreSQL, such as 17 or 17.5")
    .optional(),
  /** Default `db.t4g.medium`. */
  instanceClass: z
    .string()
    .regex(/^db\.\w+\.\w+$/, "expected a class, such as db.t4g.medium")
    .optional(),
  /** Default 20. */
  gibibytes: z.int().min(20).max(65_536).optional(),
  /** Default: four times `gibibytes`. */
  maxGibibytes: z.int().min(22).max(65_536).optional(),
  /** Default false. */
  multiAz: z.boolean().optional(),
  /** Default 7. */
  backupDays: z.int().min(1).max(35).optional(),
  /** Default false. */
  dualStack: z.boolean().optional(),
  /** Default false. */
  publiclyAccessible: z.boolean().optional(),
  /** Default: nobody. */
  clients: z.array(addressBlock).optional(),
  /** Default: none. */
  clientSecurityGroupIds: z.array(z.string().startsWith("sg-", "expected ids of security groups")).optional(),
  /** Default: a key is created. */
  kmsKeyArn: z.string().startsWith("arn:", "expected the ARN of a KMS key").optional(),
});

const { image, cron, timeZone, gibibytes, timeoutHours, logDays, vpcId, subnetIds, assignPublicIp } =
  scheduleSettingsSchema.shape;

const restoreDrillSettingsSchema = z.strictObject({
  /** Default: that of `schedule`. */
  image: image.optional(),
  /** Default `cron(0 5 ? * SUN *)`. */
  cron,
  timeZone,
  /** Default: that of `schedule`, else 10. */
  gibibytes,
  timeoutHours,
  logDays,
  /** Network of the second region; that of the first is the schedule's. Default: the default VPC. */
  vpcId,
  subnetIds,
  assignPublicIp,
  /** Secret in the second region with the private key of age. Default: none. */
  ageIdentitySecretArn: z.string().startsWith("arn:", "expected the ARN of a secret").optional(),
  /** The same in the first region. Default: none. */
  firstAgeIdentitySecretArn: z.string().startsWith("arn:", "expected the ARN of a secret").optional(),
});

/** Every key that may stand in a stack's configuration, but the secrets. */
const configSchema = z.strictObject({
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
export const configKeys: readonly string[] = [...Object.keys(configSchema.shape), ...secretKeys];

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
  const result = configSchema.safeParse(readDocument(env), { reportInput: true });
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

type Configuration = z.infer<typeof configSchema>;

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
