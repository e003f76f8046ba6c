/**
 * Containers that a schedule runs in an account of AWS: a schedule starts a state machine, which runs a task in Fargate for
 * each item, and tells a topic what failed. Whatever they do, they have a read-only root, an encrypted log, and no way in.
 */
import * as cloudwatch from "@pulumi/aws/cloudwatch";
import * as ecs from "@pulumi/aws/ecs";
import * as iam from "@pulumi/aws/iam";
import * as scheduler from "@pulumi/aws/scheduler";
import * as sfn from "@pulumi/aws/sfn";
import * as pulumi from "@pulumi/pulumi";
import { executionPolicy, machinePolicy, starterPolicy, trust } from "./dumpPolicies";
import { type AwsPlace, type PolicyStatement, encryptionKey, placeOf, useThrough } from "./encryptionKey";
import { isScheduleExpression, scheduleExpressionForm } from "./scheduleExpression";
import { type TaskNetworkArgs, taskNetwork, taskSecurityGroup } from "./taskNetwork";
import { type TaskKind, taskStateMachine } from "./taskStateMachine";

export interface ScheduledTasksArgs extends TaskNetworkArgs {
  /** Image with `dbprotect` and the PostgreSQL programs on its PATH, say `….dkr.ecr.….amazonaws.com/dbprotect:1.2.3`. */
  readonly image: pulumi.Input<string>;
  /** IANA time zone of `cron`; a night that a clock change repeats or skips is run once. Defaults to `UTC`. */
  readonly timeZone?: string | undefined;
  /** Minutes by which the start may be late, so that not everybody starts at once. Defaults to 15; 0: none. */
  readonly flexibleMinutes?: number | undefined;
  /** Tasks that run at the same time. Defaults to 2. */
  readonly concurrency?: number | undefined;
  /** Hours after which a task is stopped. Defaults to 6. */
  readonly timeoutHours?: number | undefined;
  /** Days that logs are kept. Defaults to 90. */
  readonly logDays?: number | undefined;
  /** Topic that is told what failed, and its key. Defaults to none. Plain: decides whether somebody is told. */
  readonly alarmTopic?:
    { readonly arn: pulumi.Input<string>; readonly kmsKeyArn?: pulumi.Input<string> | undefined } | undefined;
}

/** What the schedule runs, as its component decides it. */
export interface TaskPlan {
  readonly kind: TaskKind;
  /** EventBridge Scheduler's `cron(…)` or `rate(…)`. */
  readonly cron: string;
  readonly tasks: readonly PlannedTask[];
}

export interface PlannedTask {
  /** Letters, digits and hyphens, unique: in resources' names and in messages. */
  readonly name: string;
  readonly size: TaskSize;
  /** A line for a shell. */
  readonly command: string;
  readonly environment: Readonly<Record<string, pulumi.Input<string>>>;
  /** ARN of the secret that each variable is read from when the task starts. */
  readonly secrets: Readonly<Record<string, pulumi.Input<string>>>;
  /** What the task may do, as a policy document. */
  readonly rights: pulumi.Input<object>;
  /** Port, besides HTTPS, that the task may reach. */
  readonly port?: number | undefined;
}

export interface TaskSize {
  /** Units of Fargate: 1024 are one virtual processor. */
  readonly cpu: number;
  readonly memoryMebibytes: number;
  readonly diskGibibytes: number;
}

/** Fargate's largest ephemeral disk, GiB. */
export const mostDisk = 200;

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

export interface ScheduledTasks {
  readonly stateMachine: sfn.StateMachine;
  readonly logGroup: cloudwatch.LogGroup;
}

/** What the tasks of one component share, before it knows them: their account, and the key of their secrets and log. */
export interface TaskGround {
  readonly place: pulumi.Output<AwsPlace>;
  /** ARN of the key. */
  readonly key: pulumi.Output<string>;
}

/** @param what what the tasks do, for people: in the key's description. */
export function taskGround(name: string, what: string, parent: pulumi.Resource): TaskGround {
  const description = `${name}: secrets and log of ${what}`;
  const key = encryptionKey(`${name}-key`, { description, usage: secretsAndLogs }, { parent });
  return { place: placeOf(parent), key: key.arn };
}

/** @param parent decides account and region. */
export function scheduledTasks(
  name: string,
  args: ScheduledTasksArgs,
  plan: TaskPlan,
  { place, key }: TaskGround,
  parent: pulumi.Resource,
): ScheduledTasks {
  const child = { parent };
  const network = taskNetwork(name, args, parent);
  const logGroup = new cloudwatch.LogGroup(
    `${name}-log`,
    { retentionInDays: args.logDays ?? 90, kmsKeyId: key },
    { ...child, retainOnDelete: true },
  );
  const cluster = new ecs.Cluster(`${name}-cluster`, {}, child);
  const ports = plan.tasks.flatMap(({ port }) => port ?? []);
  const group = taskSecurityGroup(`${name}-tasks`, network.vpcId, ports, child);
  const secrets = pulumi.output(plan.tasks.flatMap((task) => Object.values(task.secrets)));
  const execution = role(`${name}-execution`, "ecs-tasks.amazonaws.com", place, child);
  const executionRights = new iam.RolePolicy(
    `${name}-execution`,
    {
      role: execution.name,
      policy: pulumi.jsonStringify(
        pulumi
          .output({ image: args.image, secrets, key, logGroup: logGroup.arn, place })
          .apply(({ place: { partition }, ...facts }) => executionPolicy({ ...facts, partition })),
      ),
    },
    child,
  );
  const tasks = plan.tasks.map((task) => {
    const taskName = `${name}-${task.name}`;
    const taskRole = role(`${taskName}-task`, "ecs-tasks.amazonaws.com", place, child);
    const rights = new iam.RolePolicy(
      `${taskName}-task`,
      { role: taskRole.name, policy: pulumi.jsonStringify(task.rights) },
      child,
    );
    const definition = taskDefinition(
      taskName,
      { kind: plan.kind, image: args.image, task, log: logGroup, place, execution, taskRole },
      // A task that starts before its roles may do anything fails.
      { ...child, dependsOn: [rights, executionRights] },
    );
    return { name: task.name, definition, role: taskRole };
  });
  const facts: MachineParts = { place, network, cluster, group, tasks, execution };
  const stateMachine = machine(name, args, plan.kind, facts, child);
  schedule(name, args, plan.cron, { place, stateMachine }, child);
  return { stateMachine, logGroup };
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

function machine(
  name: string,
  args: ScheduledTasksArgs,
  kind: TaskKind,
  { place, network, cluster, group, tasks, execution }: MachineParts,
  child: pulumi.CustomResourceOptions,
): sfn.StateMachine {
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
            taskStateMachine(kind, {
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

function schedule(
  name: string,
  args: ScheduledTasksArgs,
  cron: string,
  { place, stateMachine }: { readonly place: pulumi.Output<AwsPlace>; readonly stateMachine: sfn.StateMachine },
  child: pulumi.CustomResourceOptions,
): void {
  if (!isScheduleExpression(cron))
    throw new pulumi.RunError(`${name}: found ${JSON.stringify(cron)}: expected ${scheduleExpressionForm}`);
  const starter = role(`${name}-schedule`, "scheduler.amazonaws.com", place, child);
  const rights = new iam.RolePolicy(
    `${name}-schedule`,
    { role: starter.name, policy: pulumi.jsonStringify(stateMachine.arn.apply(starterPolicy)) },
    child,
  );
  const flexible = args.flexibleMinutes ?? 15;
  new scheduler.Schedule(
    `${name}-schedule`,
    {
      scheduleExpression: cron,
      scheduleExpressionTimezone: args.timeZone ?? "UTC",
      flexibleTimeWindow: flexible === 0 ? { mode: "OFF" } : { mode: "FLEXIBLE", maximumWindowInMinutes: flexible },
      target: {
        arn: stateMachine.arn,
        roleArn: starter.arn,
        // For a start that AWS refused for a moment; what the tasks do, the state machine repeats.
        retryPolicy: { maximumRetryAttempts: 5, maximumEventAgeInSeconds: 3600 },
      },
    },
    { ...child, dependsOn: [rights] },
  );
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

interface TaskFacts {
  readonly kind: TaskKind;
  readonly image: pulumi.Input<string>;
  readonly task: PlannedTask;
  readonly log: cloudwatch.LogGroup;
  readonly place: pulumi.Output<AwsPlace>;
  readonly execution: iam.Role;
  readonly taskRole: iam.Role;
}

/** Where a task may write: its root is read-only. The image declares it as its user's, which the empty volume keeps. */
const scratchFolder = "/scratch";

function taskDefinition(name: string, facts: TaskFacts, opts: pulumi.CustomResourceOptions): ecs.TaskDefinition {
  const { kind, image, task, log, place, execution, taskRole } = facts;
  const environment = {
    ...task.environment,
    DBPROTECT_CACHE: `${scratchFolder}/cache`,
    DBPROTECT_REPORTS: `${scratchFolder}/reports`,
    TMPDIR: scratchFolder,
  };
  const container = {
    name: kind,
    image,
    essential: true,
    command: ["sh", "-c", task.command],
    environment: Object.entries(environment).map(([variable, value]) => ({ name: variable, value })),
    secrets: Object.entries(task.secrets).map(([variable, valueFrom]) => ({ name: variable, valueFrom })),
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
        "awslogs-stream-prefix": task.name,
      },
    },
  };
  const { cpu, memoryMebibytes, diskGibibytes } = task.size;
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
      // A task that is under way when the definition changes may still be repeated.
      skipDestroy: true,
    },
    opts,
  );
}
