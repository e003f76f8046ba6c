/**
 * Level 3: a second location that S3 keeps filled, restores from both that are drilled on a schedule, and what those drills
 * measured: how much would be lost (RPO), and how long it would take to be back (RTO).
 */
import * as aws from "@pulumi/aws/provider";
import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { AlertTopic, type AlertTopicArgs } from "./alerting";
import type { BackupBucket } from "./backupBucket";
import { BucketReplication, type BucketReplicationArgs, type SecondBucketArgs } from "./bucketReplication";
import { type CommandAccess, commandLine, drillsEnvironment } from "./commands";
import type { DumpSchedule } from "./dumpSchedule";
import { type MeasuredFigure, measuredFigures, notMeasured } from "./measuredFigures";
import { RestoreDrill, type RestoreDrillArgs } from "./restoreDrill";
import type { ScheduledTasksArgs } from "./scheduledTasks";
import { halt, knownOr } from "./sdk";
import type { TaskNetworkArgs } from "./taskNetwork";

/** The second location, as a stack's configuration names it. */
export interface SecondLocationArgs
  extends
    SecondBucketArgs,
    Pick<BucketReplicationArgs, "lockMode" | "lockDays" | "existingObjects" | "pendingBytes" | "latencySeconds"> {
  /** AWS region, another one than the first location's. */
  readonly region: pulumi.Input<string>;
  /** Role to assume in another account. Defaults to none: the first location's account. Plain: decides what comes back. */
  readonly accountRoleArn?: pulumi.Input<string> | undefined;
}

/** What both regions' drills have in common. */
export type DrillScheduleArgs = Partial<Pick<ScheduledTasksArgs, "image">> &
  Pick<ScheduledTasksArgs, "timeZone" | "timeoutHours" | "logDays"> &
  Pick<RestoreDrillArgs, "cron" | "gibibytes" | "operation"> & {
    /** Where the task of the second region runs. Defaults to that region's default VPC. */
    readonly network?: TaskNetworkArgs | undefined;
    /** Where the task of the first region runs. Defaults to that region's default VPC. */
    readonly firstNetwork?: TaskNetworkArgs | undefined;
    /** Secret in the second region with the private key of age. Defaults to none. Plain. */
    readonly ageIdentitySecretArn?: pulumi.Input<string> | undefined;
    /** The same in the first region. Defaults to none. Plain. */
    readonly firstAgeIdentitySecretArn?: pulumi.Input<string> | undefined;
  };

export interface ContinuousProtectionArgs {
  /** The first location's bucket: `bucket` of a `DeploymentProtection`. */
  readonly source: BackupBucket;
  /** How the commands find their program and the first location: `access` of a `DeploymentProtection`. */
  readonly access: CommandAccess;
  readonly second: SecondLocationArgs;
  /** Without an image it is that of `schedule`, which must be given then. */
  readonly drill: DrillScheduleArgs;
  /** The scheduled dumps: `schedule` of a `DeploymentProtection`. Defaults to none. Plain. */
  readonly schedule?: DumpSchedule | undefined;
  /** Who is told in the second region, where the first one's topic is not heard. Defaults to nobody. Plain. */
  readonly alerts?: AlertTopicArgs | undefined;
  /** The topic of the first region. Defaults to none. Plain. */
  readonly alarmTopic?: RestoreDrillArgs["alarmTopic"];
}

const notKnown = "not known before pulumi up";

export class ContinuousProtection extends pulumi.ComponentResource {
  readonly replication: BucketReplication;
  /** In the first region: both locations, each compared with the other; of another account's only the first. */
  readonly drill: RestoreDrill;
  /** In the second region, with rights on nothing in the first. */
  readonly secondDrill: RestoreDrill;
  /** Address of the second location. */
  readonly secondStore: pulumi.Output<string>;
  /** Seconds of writes that a restore would have lost at the last drill, of the location where they are most. */
  readonly rpo: pulumi.Output<MeasuredFigure>;
  /** Seconds that the last drill took from looking for the backup to a checked copy, of the slowest location. */
  readonly rto: pulumi.Output<MeasuredFigure>;

  constructor(name: string, args: ContinuousProtectionArgs, opts?: pulumi.ComponentResourceOptions) {
    const image = args.drill.image ?? args.schedule?.image;
    if (image === undefined)
      throw new pulumi.RunError(
        `${name}: found neither drill.image nor schedule: expected the drills' image: give one`,
      );
    super("database-protection:index:ContinuousProtection", name, {}, opts);
    const { source, access, alarmTopic } = args;
    const { region, accountRoleArn, lockMode, lockDays, existingObjects, pendingBytes, latencySeconds, ...bucket } =
      args.second;
    const profile = new pulumi.Config("aws").get("profile");
    const destinationProvider = new aws.Provider(
      `${name}-second-region`,
      {
        region,
        ...(profile === undefined ? {} : { profile }),
        ...(accountRoleArn === undefined ? {} : { assumeRoles: [{ roleArn: accountRoleArn }] }),
      },
      { parent: this },
    );
    const there = { parent: this, provider: destinationProvider };
    const secondTopic =
      args.alerts === undefined ? undefined : new AlertTopic(`${name}-second-alerts`, args.alerts, there);
    this.replication = new BucketReplication(
      `${name}-replication`,
      {
        ...{ source, destinationProvider, destination: bucket, lockMode, lockDays, existingObjects },
        ...{ pendingBytes, latencySeconds, program: access.program },
        returnDrills: accountRoleArn === undefined || source.returningAccount !== undefined,
        topics: { source: alarmTopic?.arn, destination: secondTopic?.arn },
      },
      { parent: this },
    );
    const { destination } = this.replication;
    this.secondStore = pulumi
      .all([destination.url, destination.region])
      .apply(([url, at]) => `${url}${url.includes("?") ? "&" : "?"}region=${at}`);

    const { network, firstNetwork, ageIdentitySecretArn, firstAgeIdentitySecretArn, ...rest } = args.drill;
    const drill = { ...rest, image };
    const own = source.kmsKeyArn === undefined ? [] : [source.kmsKeyArn];
    const others = destination.kmsKeyArn === undefined ? [] : [destination.kmsKeyArn];
    const alone = accountRoleArn !== undefined;
    this.drill = new RestoreDrill(
      `${name}-drill`,
      {
        ...{ ...drill, ...firstNetwork, alarmTopic, ageIdentitySecretArn: firstAgeIdentitySecretArn },
        backupStore: alone ? source.url : pulumi.interpolate`${source.url} ${this.secondStore}`,
        awsRegion: source.region,
        kmsKeyArns: alone ? own : [...own, ...others],
      },
      { parent: this },
    );
    this.secondDrill = new RestoreDrill(
      `${name}-second-drill`,
      {
        ...{ ...drill, ...network, alarmTopic: secondTopic, ageIdentitySecretArn },
        ...{ backupStore: destination.url, awsRegion: destination.region, kmsKeyArns: others },
      },
      there,
    );
    const figures = this.measured(access);
    this.rpo = figures.apply(({ rpo }) => rpo);
    this.rto = figures.apply(({ rto }) => rto);
    this.registerOutputs({ secondStore: this.secondStore, rpo: this.rpo, rto: this.rto });
  }

  /** Read anew at every preview and `up`: a figure without a time, or one that somebody typed in, would be a promise. */
  private measured(access: CommandAccess): pulumi.Output<{ rpo: MeasuredFigure; rto: MeasuredFigure }> {
    const printed = local.runOutput(
      {
        command: commandLine("lastDrills", access.program),
        environment: drillsEnvironment(access),
        logging: local.Logging.Stderr,
        addPreviousOutputInEnv: false,
      },
      { parent: this },
    ).stdout;
    return knownOr(pulumi.unsecret(printed), notKnown).apply((text) => {
      if (text === notKnown) return { rpo: notMeasured, rto: notMeasured };
      return parseDrills(text);
    });
  }
}

function parseDrills(text: string): ReturnType<typeof measuredFigures> {
  try {
    return measuredFigures(text);
  } catch {
    throw halt("Level 3 halts: the last drills could not be read: run `dbprotect db:drill --last` to see why");
  }
}
