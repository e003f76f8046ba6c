/**
 * Dumps every night in an account of AWS: a schedule starts a state machine, which runs a container for each database
 * (backup, verification, what retention lets go) and tells a topic what failed.
 */
import * as cloudwatch from "@pulumi/aws/cloudwatch";
import * as ecs from "@pulumi/aws/ecs";
import * as iam from "@pulumi/aws/iam";
import * as scheduler from "@pulumi/aws/scheduler";
import * as secretsmanager from "@pulumi/aws/secretsmanager";
import * as sfn from "@pulumi/aws/sfn";
import * as pulumi from "@pulumi/pulumi";
import { type OperationSettingsInput, operationSettingsSchema } from "../scripts/settings";
import { containerProgram, scheduledDump } from "./commands";
import { executionPolicy, machinePolicy, s3Places, starterPolicy, taskPolicy, trust } from "./dumpPolicies";
import { dumpStateMachine } from "./dumpStateMachine";
import { type AwsPlace, type PolicyStatement, encryptionKey, placeOf, useThrough } from "./encryptionKey";
import { type TaskNetworkArgs, taskNetwork, taskSecurityGroup } from "./taskNetwork";

export interface DumpedDatabase {
  /** Letters, digits and hyphens, unique among the databases: in resources' names and in messages. */
  readonly name: string;
  /** `s3://bucket/prefix`, or several with spaces between them; a prefix of its own for each database. */
  readonly backupStore: pulumi.Input<string>;
  /** Region of the store's bucket. Defaults to the provider's. */
  readonly awsRegion?: pulumi.Input<string> | undefined;
  /** ARNs of the KMS keys of the store's buckets. Defaults to none: keys that S3 manages. */
  readonly kmsKeyArns?: readonly pulumi.Input<string>[] | undefined;
  /** ARN of a secret that holds the connection URL. Plain: with `databaseUrl` it would contradict. */
  readonly databaseUrlSecretArn?: pulumi.Input<string> | undefined;
  /** Connection URL, for which a secret is created. One of the two is required. */
  readonly databaseUrl?: pulumi.Input<string> | undefined;
  /** Port of the database, which the tasks may reach. Defaults to 5432. */
  readonly port?: number | undefined;
  /** Size of the database in GiB: decides processor, memory and disk. Defaults to 10; at most 90, see `taskSize`. */
  readonly gibibytes?: number | undefined;
}

export interface DumpScheduleArgs extends TaskNetworkArgs {
  readonly databases: readonly DumpedDatabase[];
  /** Image with `dbprotect` and the PostgreSQL programs on its PATH, say `….dkr.ecr.….amazonaws.com/dbprotect:1.2.3`. */
  readonly image: pulumi.Input<string>;
  /** EventBridge Scheduler's `cron(…)` or `rate(…)`. Defaults to `cron(0 2 * * ? *)`, the strategy's 02:00. */
  readonly cron?: string | undefined;
  /** IANA time zone of `cron`; a night that a clock change repeats or skips is run once. Defaults to `UTC`. */
  readonly timeZone?: string | undefined;
  /** Minutes by which the start may be late, so that not everybody starts at once. Defaults to 15; 0: none. */
  readonly flexibleMinutes?: number | undefined;
  /** Databases that are dumped at the same time. Defaults to 2. */
  readonly concurrency?: number | undefined;
  /** Hours after which a task is stopped. Defaults to 6. */
  readonly timeoutHours?: number | undefined;
  /** Days that logs are kept. Defaults to 90. */
  readonly logDays?: number | undefined;
  /** Topic that is told what failed, and its key. Defaults to none. Plain: decides whether somebody is told. */
  readonly alarmTopic?:
    { readonly arn: pulumi.Input<string>; readonly kmsKeyArn?: pulumi.Input<string> | undefined } | undefined;
  /** Retention, verification and the rest. Defaults to the documented default of each. */
  readonly operation?: OperationSettingsInput | undefined;
}

export interface TaskSize {
  /** Units of Fargate: 1024 are one virtual processor. */
  readonly cpu: number;
  readonly memoryMebibytes: number;
  readonly diskGibibytes: number;
}

/** Fargate's largest ephemeral disk, GiB. */
const mostDisk = 200;

/**
 * A dump is streamed, so its size is nobody's memory; verified it is restored onto the disk: the database once more, its
 * indexes' sorting, the archives' definitions, and the 20 GiB that every task has.
 *
 * @returns undefined where Fargate has no disk for it.
 */
export function taskSize(databaseGibibytes: number): TaskSize | undefined {
  const diskGibibytes = Math.max(21, 20 + Math.ceil(2 * databaseGibibytes));
  if (diskGibibytes > mostDisk) return undefined;
  if (databaseGibibytes <= 5) return { cpu: 1024, memoryMebibytes: 2048, diskGibibytes };
  if (databaseGibibytes <= 30) return { cpu: 2048, memoryMebibytes: 4096, diskGibibytes };
  return { cpu: 4096, memoryMebibytes: 8192, diskGibibytes };
}

export class DumpSchedule extends pulumi.ComponentResource {
  readonly stateMachine: sfn.StateMachine;
  readonly logGroup: cloudwatch.LogGroup;

  constructor(name: string, args: DumpScheduleArgs, opts?: pulumi.ComponentResourceOptions) {
    demandSense(name, args);
    super("database-protection:index:DumpSchedule", name, {}, opts);
    const child = { parent: this };
    const place = placeOf(this);
    const network = taskNetwork(name, args, this);
    const key = encryptionKey(
      `${name}-key`,
      { description: `${name}: connection URL and log of scheduled dumps`, usage: secretsAndLogs },
      child,
    );
    this.logGroup = new cloudwatch.LogGroup(
      `${name}-log`,
      { retentionInDays: args.logDays ?? 90, kmsKeyId: key.arn },
      { ...child, retainOnDelete: true },
    );
    const cluster = new ecs.Cluster(`${name}-cluster`, {}, child);
    const group = taskSecurityGroup(
      `${name}-tasks`,
      network.vpcId,
      args.databases.map(({ port }) => port ?? 5432),
      child,
    );
    const secrets = args.databases.map((database) => secretArn(`${name}-${database.name}`, database, key.arn, child));
    const execution = role(`${name}-execution`, "ecs-tasks.amazonaws.com", place, child);
    const executionRights = new iam.RolePolicy(
      `${name}-execution`,
      {
        role: execution.name,
        policy: pulumi.jsonStringify(
          pulumi
            .output({ image: args.image, secrets, key: key.arn, logGroup: this.logGroup.arn, place })
            .apply(({ place: { partition }, ...facts }) => executionPolicy({ ...facts, partition })),
        ),
      },
      child,
    );
    const tasks = args.databases.map((database, index) => {
      const taskName = `${name}-${database.name}`;
      const taskRole = role(`${taskName}-task`, "ecs-tasks.amazonaws.com", place, child);
      const rights = new iam.RolePolicy(
        `${taskName}-task`,
        { role: taskRole.name, policy: pulumi.jsonStringify(storeRights(taskName, database, place)) },
        child,
      );
      const definition = taskDefinition(
        taskName,
        { args, database, secret: secrets[index]!, log: this.logGroup, place, execution, taskRole },
        // A task that starts before its roles may do anything fails.
        { ...child, dependsOn: [rights, executionRights] },
      );
      return { name: database.name, definition, role: taskRole };
    });
    this.stateMachine = this.machine(name, args, { place, network, cluster, group, tasks, execution });
    this.schedule(name, args, place);
    this.registerOutputs({ stateMachine: this.stateMachine.arn });
  }

  private machine(name: string, args: DumpScheduleArgs, parts: MachineParts): sfn.StateMachine {
    const child = { parent: this };
    const { place, network, cluster, group, tasks, execution } = parts;
    const topic =
      args.alarmTopic === undefined ? null : { arn: args.alarmTopic.arn, kmsKey: args.alarmTopic.kmsKeyArn ?? null };
    const machineRole = role(`${name}-machine`, "states.amazonaws.com", place, child);
    const rights = new iam.RolePolicy(
      `${name}-machine`,
      {
        role: machineRole.name,
        policy: pulumi.jsonStringify(
          pulumi
            .output({
              place,
              taskDefinitions: tasks.map(({ definition }) => definition.arn),
              cluster: cluster.arn,
              roles: [execution.arn, ...tasks.map((task) => task.role.arn)],
              topic,
            })
            .apply(({ place: at, ...facts }) => machinePolicy({ ...at, ...facts })),
        ),
      },
      child,
    );
    return new sfn.StateMachine(
      `${name}-machine`,
      {
        roleArn: machineRole.arn,
        definition: pulumi.jsonStringify(
          pulumi
            .output({
              tasks: tasks.map((task) => ({ name: task.name, taskDefinition: task.definition.arn })),
              cluster: cluster.arn,
              topic: topic?.arn ?? null,
              subnets: network.subnetIds,
              securityGroup: group.id,
            })
            .apply((facts) =>
              dumpStateMachine({
                ...facts,
                assignPublicIp: network.assignPublicIp,
                concurrency: args.concurrency ?? 2,
                timeoutSeconds: (args.timeoutHours ?? 6) * 3600,
              }),
            ),
        ),
      },
      // AWS looks at the role's rights when the machine is created.
      { ...child, dependsOn: [rights] },
    );
  }

  private schedule(name: string, args: DumpScheduleArgs, place: pulumi.Output<AwsPlace>): void {
    const child = { parent: this };
    const starter = role(`${name}-schedule`, "scheduler.amazonaws.com", place, child);
    const rights = new iam.RolePolicy(
      `${name}-schedule`,
      { role: starter.name, policy: pulumi.jsonStringify(this.stateMachine.arn.apply(starterPolicy)) },
      child,
    );
    const flexible = args.flexibleMinutes ?? 15;
    new scheduler.Schedule(
      `${name}-schedule`,
      {
        scheduleExpression: args.cron ?? "cron(0 2 * * ? *)",
        scheduleExpressionTimezone: args.timeZone ?? "UTC",
        flexibleTimeWindow: flexible === 0 ? { mode: "OFF" } : { mode: "FLEXIBLE", maximumWindowInMinutes: flexible },
        target: {
          arn: this.stateMachine.arn,
          roleArn: starter.arn,
          // For a start that AWS refused for a moment; what the tasks do, the state machine repeats.
          retryPolicy: { maximumRetryAttempts: 5, maximumEventAgeInSeconds: 3600 },
        },
      },
      { ...child, dependsOn: [rights] },
    );
  }
}

interface MachineParts {
  readonly place: pulumi.Output<AwsPlace>;
  readonly network: ReturnType<typeof taskNetwork>;
  readonly cluster: ecs.Cluster;
  readonly group: ReturnType<typeof taskSecurityGroup>;
  readonly tasks: readonly {
    readonly name: string;
    readonly definition: ecs.TaskDefinition;
    readonly role: iam.Role;
  }[];
  readonly execution: iam.Role;
}

/** @throws pulumi.RunError naming what was found and what is expected. */
function demandSense(name: string, args: DumpScheduleArgs): void {
  const refuse = (what: string): never => {
    throw new pulumi.RunError(`${name}: ${what}`);
  };
  if (args.databases.length === 0) refuse("found no database: expected one or more: name it in databases");
  const names = args.databases.map((database) => database.name);
  for (const [place, databaseName] of names.entries()) {
    if (!/^[a-zA-Z][a-zA-Z0-9-]{0,31}$/.test(databaseName) || names.indexOf(databaseName) !== place)
      refuse(
        `found the database name ${JSON.stringify(databaseName)}: expected a letter, then letters, digits, hyphens, unique: rename it`,
      );
  }
  for (const { name: databaseName, gibibytes = 10, ...database } of args.databases) {
    if ((database.databaseUrl === undefined) === (database.databaseUrlSecretArn === undefined))
      refuse(`${databaseName}: found both or none of databaseUrl and databaseUrlSecretArn: expected one of the two`);
    if (taskSize(gibibytes) === undefined)
      refuse(
        `${databaseName}: found gibibytes: ${gibibytes}: expected at most 90, for a task has ${mostDisk} GiB: run it on a host (docs/schedules.md)`,
      );
  }
}

/** The account's own roles through Secrets Manager, and the log service for its groups of this account. */
function secretsAndLogs(place: AwsPlace): PolicyStatement[] {
  const { account, partition, region } = place;
  return [
    useThrough(place, "ThroughSecretsManager", `secretsmanager.${region}.amazonaws.com`),
    {
      Sid: "Logs",
      Effect: "Allow",
      Principal: { Service: `logs.${region}.amazonaws.com` },
      Action: [
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
      ],
      Resource: "*",
      Condition: {
        ArnLike: { "kms:EncryptionContext:aws:logs:arn": `arn:${partition}:logs:${region}:${account}:log-group:*` },
      },
    },
  ];
}

function role(
  name: string,
  service: string,
  place: pulumi.Output<AwsPlace>,
  opts: pulumi.CustomResourceOptions,
): iam.Role {
  const assumeRolePolicy = pulumi.jsonStringify(place.apply(({ account }) => trust(service, account)));
  return new iam.Role(name, { assumeRolePolicy }, opts);
}

function secretArn(
  name: string,
  { databaseUrl, databaseUrlSecretArn }: DumpedDatabase,
  kmsKeyId: pulumi.Output<string>,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  if (databaseUrlSecretArn !== undefined) return pulumi.output(databaseUrlSecretArn);
  const secret = new secretsmanager.Secret(
    `${name}-url`,
    { description: "Connection URL of the database that is dumped", kmsKeyId },
    opts,
  );
  const version = new secretsmanager.SecretVersion(
    `${name}-url`,
    { secretId: secret.id, secretString: pulumi.secret(databaseUrl ?? "") },
    opts,
  );
  // Known once it has a value: a task that starts before that fails.
  return pulumi.unsecret(pulumi.all([secret.arn, version.id]).apply(([arn]) => arn));
}

function storeRights(
  name: string,
  { backupStore, kmsKeyArns = [] }: DumpedDatabase,
  place: pulumi.Output<AwsPlace>,
): pulumi.Output<object> {
  return pulumi.output({ backupStore, keys: [...kmsKeyArns], place }).apply((facts) => {
    const places = s3Places(facts.backupStore);
    if (places === undefined)
      throw new pulumi.RunError(
        `${name}: found a store that is not s3://bucket/prefix: expected buckets only: a task's disk is gone when it ends`,
      );
    return taskPolicy(places, facts.keys, facts.place.partition);
  });
}

interface TaskFacts {
  readonly args: DumpScheduleArgs;
  readonly database: DumpedDatabase;
  readonly secret: pulumi.Output<string>;
  readonly log: cloudwatch.LogGroup;
  readonly place: pulumi.Output<AwsPlace>;
  readonly execution: iam.Role;
  readonly taskRole: iam.Role;
}

/** Where a task may write: its root is read-only. The image declares it as its user's, which the empty volume keeps. */
const scratchFolder = "/scratch";

function taskDefinition(name: string, facts: TaskFacts, opts: pulumi.CustomResourceOptions): ecs.TaskDefinition {
  const { args, database, secret, log, place, execution, taskRole } = facts;
  const { cpu, memoryMebibytes, diskGibibytes } = taskSize(database.gibibytes ?? 10)!;
  const environment = {
    AWS_REGION: database.awsRegion ?? place.region,
    BACKUP_STORE: database.backupStore,
    DBPROTECT_CACHE: `${scratchFolder}/cache`,
    DBPROTECT_REPORTS: `${scratchFolder}/reports`,
    DBPROTECT_SETTINGS: JSON.stringify(operationSettingsSchema.parse(args.operation ?? {})),
    TMPDIR: scratchFolder,
  };
  const container = {
    name: "dump",
    image: args.image,
    essential: true,
    command: ["sh", "-c", scheduledDump(containerProgram)],
    environment: Object.entries(environment).map(([variable, value]) => ({ name: variable, value })),
    secrets: [{ name: "DATABASE_URL", valueFrom: secret }],
    readonlyRootFilesystem: true,
    // Reaps the servers that a verification starts, and hands on the signal that stops the task.
    linuxParameters: { initProcessEnabled: true },
    stopTimeout: 120,
    mountPoints: [{ sourceVolume: "scratch", containerPath: scratchFolder, readOnly: false }],
    logConfiguration: {
      logDriver: "awslogs",
      options: {
        "awslogs-group": log.name,
        "awslogs-region": place.region,
        "awslogs-stream-prefix": database.name,
      },
    },
  };
  return new ecs.TaskDefinition(
    name,
    {
      family: name,
      requiresCompatibilities: ["FARGATE"],
      networkMode: "awsvpc",
      cpu: String(cpu),
      memory: String(memoryMebibytes),
      ephemeralStorage: { sizeInGib: diskGibibytes },
      volumes: [{ name: "scratch" }],
      executionRoleArn: execution.arn,
      taskRoleArn: taskRole.arn,
      containerDefinitions: pulumi.jsonStringify([container]),
      // A dump that is under way when the definition changes may still be repeated.
      skipDestroy: true,
    },
    opts,
  );
}
