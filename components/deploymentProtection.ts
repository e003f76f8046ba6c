/**
 * Level 2: a place for the backups, the gate that proves before every release that the database can be brought
 * back, and the snapshot of the environment that was accepted with it.
 */
import * as pulumi from "@pulumi/pulumi";
import { type OperationSettingsInput, operationSettingsSchema } from "../scripts/settings";
import { AlertTopic, type AlertTopicArgs, Alerting, type AlertingArgs } from "./alerting";
import { BackupBucket, type BackupBucketArgs } from "./backupBucket";
import type { CommandAccess } from "./commands";
import { DeployGate } from "./deployGate";
import { DumpSchedule, type DumpScheduleArgs, type DumpedDatabase } from "./dumpSchedule";
import { EnvironmentSnapshot } from "./environmentSnapshot";
import { HealthSchedule, defaultHealthMinutes } from "./healthSchedule";

/** A schedule for the one database that is protected here; its store and settings are those of the gate. */
export type ProtectionScheduleArgs = Omit<DumpScheduleArgs, "databases" | "operation"> &
  Pick<DumpedDatabase, "databaseUrlSecretArn" | "port" | "gibibytes"> & {
    /** Minutes from one `db:health` to the next. Defaults to 5; 0: it is not scheduled. Plain. */
    readonly healthMinutes?: number | undefined;
    /** Reference of the hosted project whose platform `db:health` asks too. Defaults to none. */
    readonly supabaseProjectRef?: string | undefined;
    /** ARN of a secret that holds the project's secret key, for its metrics. Defaults to none. */
    readonly supabaseKeySecretArn?: string | undefined;
    /** ARN of a secret that holds a token of the Management API. Defaults to none. */
    readonly supabaseTokenSecretArn?: string | undefined;
  };

/** Who is told when the schedule's dumps fail or stop. */
export type ProtectionAlertsArgs = AlertTopicArgs &
  Pick<AlertingArgs, "heartbeatHours" | "pagingTopicArn" | "webhookUrl">;

export interface DeploymentProtectionArgs {
  /**
   * Where backups lie: `file:///folder` or `s3://bucket/prefix`. Defaults to a bucket that this component
   * creates. Plain: it decides whether there is one.
   */
  readonly backupStore?: string | undefined;
  /** The bucket to create. Defaults to the safe defaults of `BackupBucketArgs`; must be absent with `backupStore`. */
  readonly bucket?: BackupBucketArgs | undefined;
  /**
   * Dumps by a schedule in AWS, into the same store. Defaults to none. Without `databaseUrlSecretArn` a secret is created
   * from `databaseUrl`, which must be given then.
   */
  readonly schedule?: ProtectionScheduleArgs | undefined;
  /** A topic and alarms for the schedule, which must be given with it. Defaults to none. */
  readonly alerts?: ProtectionAlertsArgs | undefined;
  /** Whether S3 copies the bucket elsewhere: then it tells the alerts' topic of copies that fail or are late. Defaults to false. */
  readonly replicated?: boolean | undefined;
  /** What is released, say a git SHA. Defaults to none: then the gate guards the `up` itself. */
  readonly releaseVersion?: string | undefined;
  /** Tables, checks, environment, release steps, overrides. Defaults to the documented default of each. */
  readonly operation?: OperationSettingsInput | undefined;
  /** Base URL of the application for the health checks. Defaults to `APP_URL` in the environment of `pulumi up`. */
  readonly appUrl?: string | undefined;
  /** Base URL of the frontend. Defaults to `FRONTEND_URL` in the environment of `pulumi up`. */
  readonly frontendUrl?: string | undefined;
  /**
   * Connection URL of the protected database. Defaults to `DATABASE_URL` in the environment of `pulumi up`. The
   * environment's snapshot, whose state must hold no secret, reads the stack's config or that variable only.
   */
  readonly databaseUrl?: pulumi.Input<string> | undefined;
  /** Keys the digests and seals the values of the environment's snapshots. Defaults to `BACKUP_PASSPHRASE` in the environment of `pulumi up`; see `databaseUrl`. */
  readonly backupPassphrase?: pulumi.Input<string> | undefined;
  /**
   * What seals the environment's snapshots in the passphrase's place: the ARN of a KMS key, or `bucket`: the key that is
   * created with the bucket, which then also gives data keys for this purpose. Defaults to none: the passphrase. Plain.
   */
  readonly environmentKey?: string | undefined;
  /** URL of the live replica; see `CommandAccess.replicaUrl`. */
  readonly replicaUrl?: pulumi.Input<string> | undefined;
  /** Shell words that start the operational program; see `CommandAccess.program`. */
  readonly program?: string | undefined;
}

export class DeploymentProtection extends pulumi.ComponentResource {
  /** `file:///folder` or `s3://bucket/prefix`. */
  readonly backupStore: pulumi.Output<string>;
  /** The bucket, where this component created one. */
  readonly bucket: BackupBucket | undefined;
  /** The topic of `alerts`, where they were asked for. */
  readonly alertTopic: AlertTopic | undefined;
  /** The scheduled dumps, where they were asked for. */
  readonly schedule: DumpSchedule | undefined;
  readonly gate: DeployGate;
  readonly environment: EnvironmentSnapshot;
  /** Hand this to a `GuardedRelease`, so that its commands use the same program, store and database. */
  readonly access: CommandAccess;
  /** What every resource that is part of a release must depend on. */
  readonly guards: readonly pulumi.Resource[];

  constructor(name: string, args: DeploymentProtectionArgs, opts?: pulumi.ComponentResourceOptions) {
    if (args.backupStore !== undefined && args.bucket !== undefined) {
      throw new pulumi.RunError(`${name}: found both backupStore and bucket: expected one of the two: remove one`);
    }
    if (args.alerts !== undefined && args.schedule === undefined) {
      throw new pulumi.RunError(`${name}: found alerts without schedule: expected dumps to watch: add schedule`);
    }
    if (args.environmentKey === "bucket" && (args.backupStore !== undefined || args.bucket?.encryption === "s3")) {
      const found = args.backupStore === undefined ? "encryption: s3" : "backupStore";
      throw new pulumi.RunError(
        `${name}: found environmentKey: bucket with ${found}: expected a bucket with a KMS key: name the key's ARN`,
      );
    }
    super("database-protection:index:DeploymentProtection", name, {}, opts);
    const operation = operationSettingsSchema.parse(args.operation ?? {});
    const { releaseVersion, appUrl, frontendUrl } = args;
    const context = { operation, releaseVersion, appUrl, frontendUrl };

    this.alertTopic =
      args.alerts === undefined ? undefined : new AlertTopic(`${name}-dumps-alerts`, args.alerts, { parent: this });
    const replicationTopicArn = args.replicated === true ? this.alertTopic?.arn : undefined;
    const environmentSnapshots = args.environmentKey === "bucket";
    const bucketArgs = { retention: operation.retention, replicationTopicArn, environmentSnapshots, ...args.bucket };
    this.bucket =
      args.backupStore === undefined ? new BackupBucket(`${name}-bucket`, bucketArgs, { parent: this }) : undefined;
    this.backupStore = this.bucket?.url ?? pulumi.output(args.backupStore ?? "");
    this.access = commandAccess(args, this.backupStore, this.bucket);

    this.schedule = args.schedule === undefined ? undefined : this.dumps(`${name}-dumps`, args, args.schedule);

    this.gate = new DeployGate(
      `${name}-gate`,
      { access: this.access, context },
      { parent: this, dependsOn: this.bucket === undefined ? [] : [this.bucket] },
    );
    // After the gate: a baseline moves only when the gate passed, and the receipt names what was acknowledged.
    this.environment = new EnvironmentSnapshot(
      `${name}-environment`,
      { access: this.access, context },
      { parent: this, dependsOn: [this.gate.command] },
    );
    this.guards = [this.gate.command, this.environment];
    this.registerOutputs({ backupStore: this.backupStore, receipt: this.gate.receipt });
  }

  private dumps(name: string, args: DeploymentProtectionArgs, schedule: ProtectionScheduleArgs): DumpSchedule {
    const { databaseUrlSecretArn, port, gibibytes, healthMinutes = defaultHealthMinutes, ...others } = schedule;
    const { supabaseProjectRef: projectRef, supabaseKeySecretArn, supabaseTokenSecretArn, ...rest } = others;
    const topic = this.alertTopic;
    const database: DumpedDatabase = {
      name: "database",
      backupStore: this.backupStore,
      awsRegion: this.bucket?.region,
      kmsKeyArns: this.bucket?.kmsKeyArn === undefined ? [] : [this.bucket.kmsKeyArn],
      databaseUrlSecretArn,
      databaseUrl: databaseUrlSecretArn === undefined ? args.databaseUrl : undefined,
      port,
      gibibytes,
    };
    const dumps = new DumpSchedule(
      name,
      { alarmTopic: topic, ...rest, databases: [database], operation: args.operation },
      { parent: this },
    );
    const { logDays, vpcId, subnetIds, assignPublicIp } = rest;
    if (healthMinutes > 0)
      new HealthSchedule(
        `${name}-health`,
        {
          ...{ image: dumps.image, logDays, vpcId, subnetIds, assignPublicIp, database, minutes: healthMinutes },
          replicaUrl: args.replicaUrl,
          ...(projectRef === undefined
            ? {}
            : {
                supabase: {
                  projectRef,
                  keySecretArn: supabaseKeySecretArn,
                  accessTokenSecretArn: supabaseTokenSecretArn,
                },
              }),
          operation: args.operation,
        },
        { parent: this },
      );
    if (topic !== undefined) {
      const { heartbeatHours, pagingTopicArn, webhookUrl } = args.alerts ?? {};
      const stateMachineArn = dumps.stateMachine.arn;
      const health = healthMinutes > 0 ? { minutes: healthMinutes, thresholds: args.operation?.thresholds } : undefined;
      new Alerting(
        `${name}-alarms`,
        { topicArn: topic.arn, stateMachineArn, heartbeatHours, pagingTopicArn, webhookUrl, health },
        { parent: this },
      );
    }
    return dumps;
  }
}

function commandAccess(
  args: DeploymentProtectionArgs,
  backupStore: pulumi.Output<string>,
  bucket: BackupBucket | undefined,
): CommandAccess {
  const environmentKeyArn = args.environmentKey === "bucket" ? bucket?.kmsKeyArn : args.environmentKey;
  return {
    backupStore,
    ...(bucket === undefined ? {} : { awsRegion: bucket.region }),
    ...(environmentKeyArn === undefined ? {} : { environmentKeyArn }),
    ...(args.program === undefined ? {} : { program: args.program }),
    ...(args.databaseUrl === undefined ? {} : { databaseUrl: args.databaseUrl }),
    ...(args.backupPassphrase === undefined ? {} : { backupPassphrase: args.backupPassphrase }),
    ...(args.replicaUrl === undefined ? {} : { replicaUrl: args.replicaUrl }),
  };
}
