/**
 * Restore drills by a schedule in AWS: a task takes the newest backup of each location in turn, restores it into a server of
 * its own, verifies, asks the data checks, and writes down how long that took. It has no way to the live database.
 */
import type * as cloudwatch from "@pulumi/aws/cloudwatch";
import { MetricAlarm } from "@pulumi/aws/cloudwatch";
import type * as sfn from "@pulumi/aws/sfn";
import * as pulumi from "@pulumi/pulumi";
import { type OperationSettingsInput, operationSettingsSchema } from "../scripts/settings";
import { containerProgram, scheduledDrill, stackName } from "./commands";
import { drillPolicy, s3Places } from "./dumpPolicies";
import type { AwsPlace } from "./encryptionKey";
import {
  type PlannedTask,
  type ScheduledTasksArgs,
  mostDisk,
  scheduledTasks,
  taskGround,
  taskSize,
} from "./scheduledTasks";

export interface RestoreDrillArgs extends ScheduledTasksArgs {
  /**
   * The locations, drilled in turn: `s3://bucket/prefix`, or several with spaces between them. The task has rights on these
   * and on nothing else, so that one that names the second location alone proves that it needs no other.
   */
  readonly backupStore: pulumi.Input<string>;
  /** Region of the first location's bucket. Defaults to the provider's. */
  readonly awsRegion?: pulumi.Input<string> | undefined;
  /** ARNs of the KMS keys of the locations' buckets. Defaults to none: keys that S3 manages. */
  readonly kmsKeyArns?: readonly pulumi.Input<string>[] | undefined;
  /** ARN of a secret with the private key of age that opens encrypted backups. Defaults to none. Plain: decides that. */
  readonly ageIdentitySecretArn?: pulumi.Input<string> | undefined;
  /** EventBridge Scheduler's `cron(…)` or `rate(…)`. Defaults to `cron(0 5 ? * SUN *)`, weekly. */
  readonly cron?: string | undefined;
  /** Size of the database in GiB: decides processor, memory and disk. Defaults to 10; at most 90, see `taskSize`. */
  readonly gibibytes?: number | undefined;
  /** `checks` of it, and the rest. Defaults to the documented default of each. */
  readonly operation?: OperationSettingsInput | undefined;
}

export class RestoreDrill extends pulumi.ComponentResource {
  readonly stateMachine: sfn.StateMachine;
  readonly logGroup: cloudwatch.LogGroup;
  /** In alarm when a drill failed; that none happened is told by the gate, and by the age of the last one. */
  readonly failed: MetricAlarm;

  /** @param opts `provider` decides account and region of the task. */
  constructor(name: string, args: RestoreDrillArgs, opts?: pulumi.ComponentResourceOptions) {
    const size = taskSize(args.gibibytes ?? 10);
    if (size === undefined)
      throw new pulumi.RunError(
        `${name}: found gibibytes: ${args.gibibytes}: expected at most 90, for a task has ${mostDisk} GiB: run db:drill on a host (docs/schedules.md)`,
      );
    super("database-protection:index:RestoreDrill", name, {}, opts);
    const ground = taskGround(name, "restore drills", this);
    const task: PlannedTask = {
      name: "locations",
      size,
      command: scheduledDrill(containerProgram),
      environment: {
        AWS_REGION: args.awsRegion ?? ground.place.region,
        BACKUP_STORE: args.backupStore,
        DBPROTECT_SETTINGS: JSON.stringify(operationSettingsSchema.parse(args.operation ?? {})),
        DBPROTECT_STACK: stackName(),
      },
      secrets: args.ageIdentitySecretArn === undefined ? {} : { BACKUP_AGE_IDENTITY: args.ageIdentitySecretArn },
      rights: rights(name, args, ground.place),
    };
    const plan = { kind: "drill", cron: args.cron ?? "cron(0 5 ? * SUN *)", tasks: [task] } as const;
    const { stateMachine, logGroup } = scheduledTasks(name, args, plan, ground, this);
    this.stateMachine = stateMachine;
    this.logGroup = logGroup;
    const told =
      args.alarmTopic === undefined ? {} : { alarmActions: [args.alarmTopic.arn], okActions: [args.alarmTopic.arn] };
    this.failed = new MetricAlarm(
      `${name}-failed`,
      {
        alarmDescription: "A restore drill failed: drills/ and incidents/ in the location say why",
        metricQueries: [
          { id: "ended", expression: "SUM(METRICS())", label: "drills without success", returnData: true },
          ...["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"].map((metricName) => ({
            id: metricName.replace("Executions", "").toLowerCase(),
            metric: {
              ...{ namespace: "AWS/States", metricName, stat: "Sum", period: 300 },
              dimensions: { StateMachineArn: stateMachine.arn },
            },
            returnData: false,
          })),
        ],
        ...{ evaluationPeriods: 1, threshold: 1, comparisonOperator: "GreaterThanOrEqualToThreshold" },
        treatMissingData: "notBreaching",
        ...told,
      },
      { parent: this },
    );
    this.registerOutputs({ stateMachine: stateMachine.arn });
  }
}

function rights(
  name: string,
  { backupStore, kmsKeyArns = [] }: RestoreDrillArgs,
  place: pulumi.Output<AwsPlace>,
): pulumi.Output<object> {
  return pulumi.output({ backupStore, keys: [...kmsKeyArns], place }).apply((facts) => {
    const places = s3Places(facts.backupStore);
    if (places === undefined)
      throw new pulumi.RunError(
        `${name}: found a location that is not s3://bucket/prefix: expected buckets only: a task sees no folder of yours`,
      );
    return drillPolicy(places, facts.keys, facts.place.partition);
  });
}
