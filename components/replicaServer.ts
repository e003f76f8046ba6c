/**
 * A server for the live replica: Amazon RDS for PostgreSQL, with what logical replication needs switched on, encrypted by a key of
 * our own, backed up by the platform, monitored, and kept when the stack goes.
 */
import { MetricAlarm } from "@pulumi/aws/cloudwatch";
import * as ec2 from "@pulumi/aws/ec2";
import * as iam from "@pulumi/aws/iam";
import * as rds from "@pulumi/aws/rds";
import * as pulumi from "@pulumi/pulumi";
import { signalDefinitions } from "../scripts/thresholds";
import { type AwsPlace, type PolicyStatement, encryptionKey, placeOf, useThrough } from "./encryptionKey";
import { type TaskNetworkArgs, taskNetwork } from "./taskNetwork";

export interface ReplicaServerArgs extends Pick<TaskNetworkArgs, "vpcId" | "subnetIds"> {
  /** Password of the master user. It needs no character that a URL would encode; those are encoded. */
  readonly password: pulumi.Input<string>;
  /** Name of the master user. Defaults to `replica_admin`. */
  readonly username?: string | undefined;
  /** Name of the database that becomes the replica. Defaults to `replica`. */
  readonly databaseName?: string | undefined;
  /** Major or full version, no older than the source's. Defaults to `17`. Plain: decides the parameters' family. */
  readonly engineVersion?: string | undefined;
  /** Defaults to `db.t4g.medium`. */
  readonly instanceClass?: pulumi.Input<string> | undefined;
  /** Storage in GiB, gp3. Defaults to 20. Plain. */
  readonly gibibytes?: number | undefined;
  /** Up to which it grows by itself. Defaults to four times `gibibytes`. Plain. */
  readonly maxGibibytes?: number | undefined;
  /** Whether a standby in another zone takes over when this one fails. Defaults to false: it is the second place itself. */
  readonly multiAz?: boolean | undefined;
  /** Days that RDS keeps its own backups, 1 to 35. Defaults to 7. */
  readonly backupDays?: number | undefined;
  /**
   * Whether it has IPv6 besides IPv4: needed where the source is reached by IPv6 only, as hosted Supabase without its IPv4
   * add-on. Its subnets need IPv6 blocks and a way out for them. Defaults to false.
   */
  readonly dualStack?: boolean | undefined;
  /** Whether it has a public address. Defaults to false: whoever runs `pulumi up`, and later the application, is in the VPC. */
  readonly publiclyAccessible?: boolean | undefined;
  /** Blocks of addresses, IPv4 or IPv6, that may connect. Defaults to none. Plain. */
  readonly clients?: readonly string[] | undefined;
  /** Security groups whose members may connect. Defaults to none. Plain. */
  readonly clientSecurityGroupIds?: readonly pulumi.Input<string>[] | undefined;
  /** Port by which the source is reached. Defaults to 5432. */
  readonly sourcePort?: number | undefined;
  /** ARN of the KMS key of its storage, backups and statistics. Defaults to one that is created. Plain: decides that. */
  readonly kmsKeyArn?: pulumi.Input<string> | undefined;
  /** Seconds between two readings of the operating system. Defaults to 60. */
  readonly monitoringSeconds?: 1 | 5 | 10 | 15 | 30 | 60 | undefined;
  /** Topic that is told when its disk fills. Defaults to none. Plain: decides that. */
  readonly alarmTopic?: { readonly arn: pulumi.Input<string> } | undefined;
}

/** Of the server: as many as a handful of subscriptions need, and a copy that is under way. */
const parameters: readonly { name: string; value: string; applyMethod: "pending-reboot" | "immediate" }[] = [
  // wal_level = logical, for the way back after a failover; on RDS it has this name.
  { name: "rds.logical_replication", value: "1", applyMethod: "pending-reboot" },
  { name: "rds.force_ssl", value: "1", applyMethod: "immediate" },
  { name: "max_replication_slots", value: "20", applyMethod: "pending-reboot" },
  { name: "max_wal_senders", value: "20", applyMethod: "pending-reboot" },
  { name: "max_worker_processes", value: "24", applyMethod: "pending-reboot" },
  { name: "max_logical_replication_workers", value: "12", applyMethod: "pending-reboot" },
  { name: "max_sync_workers_per_subscription", value: "4", applyMethod: "immediate" },
  // The subscription's connection string travels as a parameter: it is not to be in the log.
  { name: "log_parameter_max_length", value: "0", applyMethod: "immediate" },
];

const gibibyte = 2 ** 30;

export class ReplicaServer extends pulumi.ComponentResource {
  readonly instance: rds.Instance;
  /** Of the replica's database, with the password; secret. */
  readonly databaseUrl: pulumi.Output<string>;
  /** `host:port/database`: no secret. */
  readonly address: pulumi.Output<string>;

  /** @param opts `provider` decides account and region. */
  constructor(name: string, args: ReplicaServerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("database-protection:index:ReplicaServer", name, {}, opts);
    const child = { parent: this };
    const kept = { ...child, protect: true, retainOnDelete: true };
    const { username = "replica_admin", databaseName = "replica", engineVersion = "17", gibibytes = 20 } = args;
    const place = placeOf(this);
    const description = `${name}: storage of the live replica`;
    const key = args.kmsKeyArn ?? encryptionKey(`${name}-key`, { description, usage: throughRds }, child).arn;
    const network = taskNetwork(name, args, this);
    const subnets = new rds.SubnetGroup(`${name}-subnets`, { subnetIds: network.subnetIds, description }, child);
    const family = new rds.ParameterGroup(
      `${name}-parameters`,
      { family: `postgres${engineVersion.split(".")[0]}`, description, parameters: [...parameters] },
      child,
    );
    const monitoring = new iam.Role(
      `${name}-monitoring`,
      { assumeRolePolicy: pulumi.jsonStringify(place.apply(({ account }) => monitoringTrust(account))) },
      child,
    );
    const reading = new iam.RolePolicyAttachment(
      `${name}-monitoring`,
      {
        role: monitoring.name,
        policyArn: pulumi.interpolate`arn:${place.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole`,
      },
      child,
    );
    this.instance = new rds.Instance(
      `${name}-server`,
      {
        ...{ engine: "postgres", engineVersion, instanceClass: args.instanceClass ?? "db.t4g.medium" },
        ...{ dbName: databaseName, username, password: pulumi.secret(args.password), port: 5432 },
        ...{ storageType: "gp3", allocatedStorage: gibibytes, maxAllocatedStorage: args.maxGibibytes ?? 4 * gibibytes },
        ...{ storageEncrypted: true, kmsKeyId: key },
        ...{ parameterGroupName: family.name, dbSubnetGroupName: subnets.name },
        vpcSecurityGroupIds: [securityGroup(`${name}-access`, args, network.vpcId, child).id],
        networkType: args.dualStack === true ? "DUAL" : "IPV4",
        publiclyAccessible: args.publiclyAccessible ?? false,
        multiAz: args.multiAz ?? false,
        ...{ backupRetentionPeriod: args.backupDays ?? 7, copyTagsToSnapshot: true },
        ...{ deletionProtection: true, skipFinalSnapshot: false, finalSnapshotIdentifier: `${name}-last` },
        ...{ monitoringInterval: args.monitoringSeconds ?? 60, monitoringRoleArn: monitoring.arn },
        ...{
          performanceInsightsEnabled: true,
          performanceInsightsKmsKeyId: key,
          performanceInsightsRetentionPeriod: 7,
        },
        enabledCloudwatchLogsExports: ["postgresql", "upgrade"],
        autoMinorVersionUpgrade: true,
        iamDatabaseAuthenticationEnabled: true,
        applyImmediately: false,
      },
      // The creation of a server and its first backup take a quarter of an hour.
      { ...kept, dependsOn: [reading], customTimeouts: { create: "60m", update: "80m", delete: "60m" } },
    );
    const { address, port } = this.instance;
    this.address = pulumi.interpolate`${address}:${port}/${databaseName}`;
    this.databaseUrl = pulumi.secret(
      pulumi
        .all([args.password, this.address])
        .apply(([password, at]) => `postgres://${username}:${encodeURIComponent(password)}@${at}?sslmode=require`),
    );
    const told = args.alarmTopic === undefined ? [] : [args.alarmTopic.arn];
    const fullPercent = signalDefinitions.disk.warn ?? 100;
    new MetricAlarm(
      `${name}-disk`,
      {
        alarmDescription: `The live replica's disk is ${fullPercent} % full: full, it stops following: raise maxGibibytes`,
        ...{ namespace: "AWS/RDS", metricName: "FreeStorageSpace", statistic: "Minimum", period: 300 },
        dimensions: { DBInstanceIdentifier: this.instance.identifier },
        threshold: ((100 - fullPercent) / 100) * gibibytes * gibibyte,
        ...{ comparisonOperator: "LessThanThreshold", evaluationPeriods: 3, treatMissingData: "missing" },
        ...{ alarmActions: told, okActions: told },
      },
      child,
    );
    this.registerOutputs({ address: this.address });
  }
}

/** RDS uses it for whoever the account's own policies allow it; its grants are for RDS alone. */
function throughRds(place: AwsPlace): PolicyStatement[] {
  const more = ["kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKeyWithoutPlaintext"];
  return [useThrough(place, "ThroughRds", `rds.${place.region}.amazonaws.com`, more)];
}

/** Only of servers of this account: docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Monitoring.OS.Enabling.html */
function monitoringTrust(account: string): object {
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: { Service: "monitoring.rds.amazonaws.com" },
        Action: "sts:AssumeRole",
        Condition: { StringEquals: { "aws:SourceAccount": account } },
      },
    ],
  };
}

/** In from its clients; out to the source, wherever that is. */
function securityGroup(
  name: string,
  { clients = [], clientSecurityGroupIds = [], sourcePort = 5432 }: ReplicaServerArgs,
  vpcId: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): ec2.SecurityGroup {
  const into = { protocol: "tcp", fromPort: 5432, toPort: 5432 };
  const cidrBlocks = clients.filter((block) => !block.includes(":"));
  const ipv6CidrBlocks = clients.filter((block) => block.includes(":"));
  return new ec2.SecurityGroup(
    name,
    {
      vpcId,
      description: "The live replica: in from its clients, out to the source",
      ingress: [
        ...(clients.length === 0 ? [] : [{ ...into, description: "Clients", cidrBlocks, ipv6CidrBlocks }]),
        ...(clientSecurityGroupIds.length === 0
          ? []
          : [{ ...into, description: "Clients", securityGroups: [...clientSecurityGroupIds] }]),
      ],
      egress: [
        {
          description: "The source",
          ...{ protocol: "tcp", fromPort: sourcePort, toPort: sourcePort },
          ...{ cidrBlocks: ["0.0.0.0/0"], ipv6CidrBlocks: ["::/0"] },
        },
      ],
    },
    opts,
  );
}
