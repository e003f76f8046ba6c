/**
 * `db:health` every few minutes in an account of AWS: what it reads of database, store and platform becomes metrics of
 * CloudWatch by its log. It may look at everything, and write nothing but its memory of the last readings and the incidents that it opens.
 */
import type * as cloudwatch from "@pulumi/aws/cloudwatch";
import type * as sfn from "@pulumi/aws/sfn";
import * as pulumi from "@pulumi/pulumi";
import { type OperationSettingsInput, operationSettingsSchema } from "../scripts/settings";
import { containerProgram, scheduledCheck, stackName } from "./commands";
import { healthPolicy } from "./dumpPolicies";
import { type DumpedDatabase, databaseUrlSecret, storeRights } from "./dumpSchedule";
import { type ScheduledTasksArgs, scheduledTasks, taskGround } from "./scheduledTasks";

/** Access to a hosted project's platform: what PostgreSQL does not tell. Plain: decides which secrets the task reads. */
export interface SupabaseHealthArgs {
  /** 20 lower-case letters. */
  readonly projectRef: string;
  /** ARN of a secret that holds the project's secret key: disk, authentication. Defaults to none. */
  readonly keySecretArn?: string | undefined;
  /** ARN of a secret that holds a token of the Management API: requests to the API. Defaults to none. */
  readonly accessTokenSecretArn?: string | undefined;
}

export interface HealthScheduleArgs extends Omit<ScheduledTasksArgs, "alarmTopic" | "concurrency" | "timeoutHours"> {
  /** The database whose health is read: its address and store. */
  readonly database: DumpedDatabase;
  /** Minutes from one reading to the next. Defaults to 5. Plain. */
  readonly minutes?: number | undefined;
  /** Defaults to none. */
  readonly supabase?: SupabaseHealthArgs | undefined;
  /** URL of the live replica, of which it is asked too where `operation.replica` is set. Defaults to none. Plain: decides that. */
  readonly replicaUrl?: pulumi.Input<string> | undefined;
  /** Thresholds, the target of a restore's time. Defaults to the documented default of each. */
  readonly operation?: OperationSettingsInput | undefined;
}

/** It reads numbers, and restores nothing: the least that runs Node.js; 21 GiB is the least disk that can be asked for. */
const size = { cpu: 256, memoryMebibytes: 512, diskGibibytes: 21 } as const;

export const defaultHealthMinutes = 5;

export class HealthSchedule extends pulumi.ComponentResource {
  readonly stateMachine: sfn.StateMachine;
  readonly logGroup: cloudwatch.LogGroup;

  /** @param opts `provider` decides account and region. */
  constructor(name: string, args: HealthScheduleArgs, opts?: pulumi.ComponentResourceOptions) {
    super("database-protection:index:HealthSchedule", name, {}, opts);
    const { database, supabase, operation, replicaUrl, minutes = defaultHealthMinutes, ...rest } = args;
    const ground = taskGround(name, "readings of health", this);
    const { replica, ...others } = operationSettingsSchema.parse(operation ?? {});
    const settings = replicaUrl === undefined ? others : { ...others, replica };
    const task = {
      name: database.name,
      size,
      command: scheduledCheck(containerProgram),
      environment: {
        AWS_REGION: database.awsRegion ?? ground.place.region,
        BACKUP_STORE: database.backupStore,
        DBPROTECT_SETTINGS: JSON.stringify(settings),
        DBPROTECT_STACK: stackName(),
        ...(supabase === undefined ? {} : { SUPABASE_PROJECT_REF: supabase.projectRef }),
      },
      secrets: {
        DATABASE_URL: databaseUrlSecret(`${name}-${database.name}`, database, ground.key, { parent: this }),
        ...(replicaUrl === undefined
          ? {}
          : {
              REPLICA_DATABASE_URL: databaseUrlSecret(`${name}-replica`, { databaseUrl: replicaUrl }, ground.key, {
                parent: this,
              }),
            }),
        ...(supabase?.keySecretArn === undefined ? {} : { SUPABASE_SERVICE_ROLE_KEY: supabase.keySecretArn }),
        ...(supabase?.accessTokenSecretArn === undefined
          ? {}
          : { SUPABASE_ACCESS_TOKEN: supabase.accessTokenSecretArn }),
      },
      rights: storeRights(name, database, ground.place, healthPolicy),
      port: database.port ?? 5432,
    };
    const plan = { kind: "check", cron: `rate(${minutes} minute${minutes === 1 ? "" : "s"})`, tasks: [task] } as const;
    // A reading that comes late is one that is missing; the next one takes its place soon enough.
    const limits = { flexibleMinutes: 0, timeoutHours: minutes / 60 };
    const { stateMachine, logGroup } = scheduledTasks(name, { ...rest, ...limits }, plan, ground, this);
    this.stateMachine = stateMachine;
    this.logGroup = logGroup;
    this.registerOutputs({ stateMachine: stateMachine.arn });
  }
}
