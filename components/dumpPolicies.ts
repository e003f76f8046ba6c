/**
 * What each role of the scheduled dumps may do: the task, whoever starts its container, the state machine, the schedule.
 * As data, so that a test can read it: no action `*`, and no resource `*` but where AWS knows no other.
 */
import type { AwsPlace, PolicyStatement } from "./encryptionKey";

export const allow = (
  Sid: string,
  Action: readonly string[],
  Resource: string | readonly string[],
  Condition?: object,
) => ({ Sid, Effect: "Allow", Action, Resource, ...(Condition === undefined ? {} : { Condition }) }) as const;

export function policy(...statements: readonly (PolicyStatement | undefined)[]): object {
  return { Version: "2012-10-17", Statement: statements.filter((statement) => statement !== undefined) };
}

/**
 * Only on behalf of this account: otherwise somebody else's resource could borrow the role.
 *
 * @param account absent for a service that does not say on whose behalf it comes.
 */
export function trust(service: string, account?: string): object {
  return policy({
    Sid: "Trust",
    Effect: "Allow",
    Principal: { Service: service },
    Action: "sts:AssumeRole",
    ...(account === undefined ? {} : { Condition: { StringEquals: { "aws:SourceAccount": account } } }),
  });
}

export interface S3Place {
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  /** Whether what is written there is locked. */
  readonly locked: boolean;
}

/** The buckets of a store's address; undefined: one of them is none, which a container that goes away cannot hold. */
export function s3Places(backupStore: string): S3Place[] | undefined {
  const places = backupStore.split(/\s+/).map((word) => /^(?:optional:)?s3:\/\/([^/?]+)\/?([^?]*)(.*)/.exec(word));
  if (places.some((found) => found === null)) return undefined;
  return places.map((found) => ({
    bucket: found?.[1] ?? "",
    prefix: (found?.[2] ?? "").replace(/\/$/, ""),
    locked: /[?&]lockMode=/.test(found?.[3] ?? ""),
  }));
}

/** The task: everything that backup, verification and tagging need; nothing is ever deleted. */
export function taskPolicy(places: readonly S3Place[], kmsKeys: readonly string[], partition: string): object {
  const below = (folder: string, those = places): string[] =>
    those.map(({ bucket, prefix }) => `arn:${partition}:s3:::${bucket}/${prefix === "" ? "" : `${prefix}/`}${folder}*`);
  const locked = places.filter((place) => place.locked);
  return policy(
    ...lookAt(places, partition),
    allow(
      "ReadAndWriteStore",
      [
        "s3:AbortMultipartUpload",
        "s3:GetObject",
        "s3:GetObjectLegalHold",
        "s3:GetObjectRetention",
        "s3:GetObjectTagging",
        "s3:PutObject",
      ],
      below(""),
    ),
    allow("TagWhatMayExpire", ["s3:PutObjectTagging"], below("backups/")),
    locked.length === 0 ? undefined : allow("LockWhatIsWritten", ["s3:PutObjectRetention"], below("", locked)),
    useKey(kmsKeys),
  );
}

/** `db:health`: looks at everything, writes its last readings, and opens incidents. */
export function healthPolicy(places: readonly S3Place[], kmsKeys: readonly string[], partition: string): object {
  const bucketArns = places.map(({ bucket }) => `arn:${partition}:s3:::${bucket}`);
  const locked = places.filter((place) => place.locked);
  const at = (key: string, those = places): string[] =>
    those.map(({ bucket, prefix }) => `arn:${partition}:s3:::${bucket}/${prefix === "" ? "" : `${prefix}/`}${key}`);
  const prefixes = [...new Set(places.map(({ prefix }) => (prefix === "" ? "*" : `${prefix}/*`)))];
  const looking = ["s3:GetObject", "s3:GetObjectLegalHold", "s3:GetObjectRetention", "s3:GetObjectTagging"];
  return policy(
    allow("ListStore", ["s3:ListBucket"], bucketArns, { StringLike: { "s3:prefix": prefixes } }),
    allow("ReadStore", looking, at("*")),
    allow("Remember", ["s3:PutObject"], [...at("control/health.json"), ...at("incidents/*")]),
    locked.length === 0 ? undefined : allow("LockIncidents", ["s3:PutObjectRetention"], at("incidents/*", locked)),
    useKey(kmsKeys),
  );
}

export interface ExecutionFacts {
  readonly image: string;
  readonly secrets: readonly string[];
  /** ARN of the key of the secrets that are created here. */
  readonly key: string;
  readonly logGroup: string;
  readonly partition: string;
}

/** Whoever starts the container: its image, its secrets, its log. */
export function executionPolicy({ image, secrets, key, logGroup, partition }: ExecutionFacts): object {
  const [, account, region, repository] =
    /^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\/([^:@]+)/.exec(image) ?? [];
  const pull =
    account === undefined
      ? []
      : [
          // AWS knows no narrower resource for it: docs.aws.amazon.com/AmazonECR/latest/userguide/security_iam_id-based-policy-examples.html
          allow("EnterRegistry", ["ecr:GetAuthorizationToken"], "*"),
          allow(
            "PullImage",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            `arn:${partition}:ecr:${region}:${account}:repository/${repository}`,
          ),
        ];
  return policy(
    ...pull,
    ...(secrets.length === 0
      ? []
      : [allow("ReadSecrets", ["secretsmanager:GetSecretValue"], secrets), allow("OpenSecrets", ["kms:Decrypt"], key)]),
    allow("WriteLog", ["logs:CreateLogStream", "logs:PutLogEvents"], `${logGroup}:*`),
  );
}

export interface MachineFacts extends AwsPlace {
  readonly taskDefinitions: readonly string[];
  readonly cluster: string;
  /** What the tasks run as. */
  readonly roles: readonly string[];
  readonly topic: { readonly arn: string; readonly kmsKey: string | null } | null;
}

/** The state machine: run these tasks, wait for them, tell the topic. */
export function machinePolicy(facts: MachineFacts): object {
  const { account, partition, region, topic } = facts;
  const clusterName = facts.cluster.split("/").at(-1) ?? "";
  return policy(
    ...runTasks(facts),
    allow(
      "WatchTasks",
      ["ecs:DescribeTasks", "ecs:StopTask"],
      `arn:${partition}:ecs:${region}:${account}:task/${clusterName}/*`,
    ),
    // How Step Functions is told that a task has ended.
    allow(
      "HearOfTasks",
      ["events:DescribeRule", "events:PutRule", "events:PutTargets"],
      `arn:${partition}:events:${region}:${account}:rule/StepFunctionsGetEventsForECSTaskRule`,
    ),
    topic === null ? undefined : allow("Tell", ["sns:Publish"], topic.arn),
    topic === null || topic.kmsKey === null
      ? undefined
      : allow("TellEncrypted", ["kms:Decrypt", "kms:GenerateDataKey"], topic.kmsKey),
  );
}

type RunFacts = Pick<MachineFacts, "taskDefinitions" | "cluster" | "roles">;

function runTasks({ taskDefinitions, cluster, roles }: RunFacts): PolicyStatement[] {
  return [
    allow("RunTasks", ["ecs:RunTask"], taskDefinitions, { ArnEquals: { "ecs:cluster": cluster } }),
    allow("HandOnRoles", ["iam:PassRole"], roles, {
      StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" },
    }),
  ];
}

/** The schedule of the dumps. */
export function starterPolicy(stateMachine: string): object {
  return policy(allow("Start", ["states:StartExecution"], stateMachine));
}

/**
 * The task of a drill: reads what lies in the locations, and writes what it found: nothing that a backup is made of, and
 * no control document but the record of what the bucket's server supports.
 */
export function drillPolicy(places: readonly S3Place[], kmsKeys: readonly string[], partition: string): object {
  const below = (folders: readonly string[], those = places): string[] =>
    those.flatMap(({ bucket, prefix }) =>
      folders.map((folder) => `arn:${partition}:s3:::${bucket}/${prefix === "" ? "" : `${prefix}/`}${folder}`),
    );
  const records = ["drills/*", "incidents/*", "verifications/*"];
  const probes = ["control/s3-support.json", "control/conditional-writes.txt"];
  const locked = places.filter((place) => place.locked);
  return policy(
    ...lookAt(places, partition),
    allow("ReadStore", ["s3:GetObject"], below(["*"])),
    allow("WriteRecords", ["s3:AbortMultipartUpload", "s3:PutObject"], below([...records, ...probes])),
    locked.length === 0 ? undefined : allow("LockRecords", ["s3:PutObjectRetention"], below(records, locked)),
    useKey(kmsKeys),
  );
}

/** For objects in S3 only: the same key may seal what a task has no business with. */
function useKey(kmsKeys: readonly string[]): PolicyStatement | undefined {
  if (kmsKeys.length === 0) return undefined;
  const throughS3 = { StringLike: { "kms:ViaService": "s3.*.amazonaws.com" } };
  return allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], kmsKeys, throughS3);
}

function lookAt(places: readonly S3Place[], partition: string): PolicyStatement[] {
  const bucketArns = places.map(({ bucket }) => `arn:${partition}:s3:::${bucket}`);
  const prefixes = [...new Set(places.map(({ prefix }) => (prefix === "" ? "*" : `${prefix}/*`)))];
  return [
    allow("ListStore", ["s3:ListBucket"], bucketArns, { StringLike: { "s3:prefix": prefixes } }),
    allow(
      "LookAtBucket",
      ["s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning", "s3:ListBucketMultipartUploads"],
      bucketArns,
    ),
  ];
}
