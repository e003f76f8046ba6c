/**
 * Dumps every night in an account of AWS: a schedule starts a state machine, which runs a container for each database
 * (backup, verification, what retention lets go) and tells a topic what failed.
 */
import type * as cloudwatch from "@pulumi/aws/cloudwatch";
import * as secretsmanager from "@pulumi/aws/secretsmanager";
import type * as sfn from "@pulumi/aws/sfn";
import * as pulumi from "@pulumi/pulumi";
import { type OperationSettingsInput, operationSettingsSchema } from "../scripts/settings";
import { containerProgram, scheduledDump, stackName } from "./commands";
import { DumpImage, type DumpImageArgs } from "./dumpImage";
import { s3Places, taskPolicy } from "./dumpPolicies";
import type { AwsPlace } from "./encryptionKey";
import {
  type PlannedTask,
  type ScheduledTasksArgs,
  type TaskGround,
  type TaskPlan,
  mostDisk,
  scheduledTasks,
  taskGround,
  taskSize,
} from "./scheduledTasks";

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

export interface DumpScheduleArgs extends Omit<ScheduledTasksArgs, "image"> {
  /** Image of the container. Defaults to one that is built here, for which `pulumi up` needs Docker. Plain. */
  readonly image?: pulumi.Input<string> | undefined;
  /** What the image that is built holds; must be absent with `image`. Defaults to the defaults of `DumpImageArgs`. */
  readonly build?: DumpImageArgs | undefined;
  /** Those that run at the same time are at most `concurrency`. */
  readonly databases: readonly DumpedDatabase[];
  /** EventBridge Scheduler's `cron(…)` or `rate(…)`. Defaults to `cron(0 2 * * ? *)`, the strategy's 02:00. */
  readonly cron?: string | undefined;
  /** Retention, verification and the rest. Defaults to the documented default of each. */
  readonly operation?: OperationSettingsInput | undefined;
}

export class DumpSchedule extends pulumi.ComponentResource {
  readonly stateMachine: sfn.StateMachine;
  readonly logGroup: cloudwatch.LogGroup;
  /** What the tasks run, also for further schedules: the image that is named, or the one that is built. */
  readonly image: pulumi.Output<string>;

  constructor(name: string, args: DumpScheduleArgs, opts?: pulumi.ComponentResourceOptions) {
    demandSense(name, args);
    super("database-protection:index:DumpSchedule", name, {}, opts);
    const ground = taskGround(name, "scheduled dumps", this);
    const tasks = args.databases.map((database) => dumpTask(`${name}-${database.name}`, database, args, ground, this));
    const plan: TaskPlan = { kind: "dump", cron: args.cron ?? "cron(0 2 * * ? *)", tasks };
    this.image = pulumi.output(args.image ?? new DumpImage(`${name}-container`, args.build, { parent: this }).ref);
    const { stateMachine, logGroup } = scheduledTasks(name, { ...args, image: this.image }, plan, ground, this);
    this.stateMachine = stateMachine;
    this.logGroup = logGroup;
    this.registerOutputs({ stateMachine: stateMachine.arn });
  }
}

function dumpTask(
  name: string,
  database: DumpedDatabase,
  { operation }: DumpScheduleArgs,
  { place, key }: TaskGround,
  parent: pulumi.Resource,
): PlannedTask {
  return {
    name: database.name,
    size: taskSize(database.gibibytes ?? 10)!,
    command: scheduledDump(containerProgram),
    environment: {
      AWS_REGION: database.awsRegion ?? place.region,
      BACKUP_STORE: database.backupStore,
      DBPROTECT_SETTINGS: JSON.stringify(operationSettingsSchema.parse(operation ?? {})),
      DBPROTECT_STACK: stackName(),
    },
    secrets: { DATABASE_URL: databaseUrlSecret(name, database, key, { parent }) },
    rights: storeRights(name, database, place, taskPolicy),
    port: database.port ?? 5432,
  };
}

/** @throws pulumi.RunError naming what was found and what is expected. */
function demandSense(name: string, args: DumpScheduleArgs): void {
  const refuse = (what: string): never => {
    throw new pulumi.RunError(`${name}: ${what}`);
  };
  if (args.image !== undefined && args.build !== undefined)
    refuse("found both image and build: expected one of the two: remove one");
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

/** ARN of the secret that holds the database's URL: the one that is named, or one that is created, under this key. */
export function databaseUrlSecret(
  name: string,
  { databaseUrl, databaseUrlSecretArn }: Pick<DumpedDatabase, "databaseUrl" | "databaseUrlSecretArn">,
  kmsKeyId: pulumi.Output<string>,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  if (databaseUrlSecretArn !== undefined) return pulumi.output(databaseUrlSecretArn);
  const secret = new secretsmanager.Secret(
    `${name}-url`,
    { description: "Connection URL of the database", kmsKeyId },
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

/** @param rightsOn what the task may do, by its buckets and their keys. */
export function storeRights(
  name: string,
  { backupStore, kmsKeyArns = [] }: DumpedDatabase,
  place: pulumi.Output<AwsPlace>,
  rightsOn: typeof taskPolicy,
): pulumi.Output<object> {
  return pulumi.output({ backupStore, keys: [...kmsKeyArns], place }).apply((facts) => {
    const places = s3Places(facts.backupStore);
    if (places === undefined)
      throw new pulumi.RunError(
        `${name}: found a store that is not s3://bucket/prefix: expected buckets only: a task's disk is gone when it ends`,
      );
    return rightsOn(places, facts.keys, facts.place.partition);
  });
}
