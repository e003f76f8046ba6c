/** What the component tests declare, as somebody's own Pulumi program would; each returns the outputs to look at. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";
import * as aws from "@pulumi/aws/provider";
import * as pulumi from "@pulumi/pulumi";
import { operationSettingsSchema } from "../../scripts/settings";
import {
  Alerting,
  AutomaticProtection,
  BackupBucket,
  BucketReplication,
  ContinuousProtection,
  DeploymentProtection,
  DumpSchedule,
  GuardedRelease,
  LogicalReplica,
  RestoreDrill,
} from "../../components";

const key = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000";

const secret = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:crm-url-a1b2c3";
const ecrImage = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/tools/dbprotect:1.2.3";
const passworded = "postgres://u:spoken-friend@h/d";

const root = path.resolve(__dirname, "../..");
const load = createRequire(__filename);

/** Sets the stack's configuration as the CLI does: what is no text travels as JSON. */
function configure(file: string, secrets: Readonly<Record<string, string>> = {}): void {
  // js-yaml comes with the SDK.
  const yaml = createRequire(require.resolve("@pulumi/pulumi"))("js-yaml") as { load(text: string): any };
  const { config } = yaml.load(readFileSync(path.join(root, file), "utf8"));
  const texts = Object.entries(config).map(([key, value]) => [
    key,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  // A project's own keys may be asked for without its name, which here is that of the tests' project.
  const short = texts.map(([key = "", text]) => [key.replace(/^database-fleet:/, `${pulumi.getProject()}:`), text]);
  const added = Object.entries(secrets).map(([key, value]) => [`database-protection:${key}`, value] as const);
  pulumi.runtime.setAllConfig(
    Object.fromEntries([...texts, ...short, ...added]),
    added.map(([key]) => key),
  );
}

/** Runs a Pulumi program of this project and returns its outputs. */
function program(file: string): Record<string, pulumi.Output<unknown>> {
  const exported = load(path.join(root, file)) as Record<string, unknown>;
  return Object.fromEntries(Object.entries(exported).map(([name, value]) => [name, pulumi.output(value)]));
}

type Declaration = () => Record<string, pulumi.Output<unknown>>;

export const declarations = {
  bucket: () => {
    const bucket = new BackupBucket("backups");
    return { url: bucket.url, region: bucket.region };
  },

  bucketWithoutLock: () => {
    new BackupBucket("backups", { lockMode: "none" });
    return {};
  },

  bucketWithEverything: () => {
    const bucket = new BackupBucket("backups", {
      prefix: "crm/prod",
      kmsKeyArn: key,
      expiry: "age",
      coldStorage: "GLACIER_IR",
      lockMode: "governance",
      lockDays: 40,
      accessLogBucket: "logs",
      inventoryBucket: "lists",
      expiredObjectDays: 3,
      noncurrentVersionDays: 90,
      incompleteUploadDays: 2,
      tags: { team: "platform" },
    });
    return { url: bucket.url };
  },

  bucketThatExists: () => {
    const bucket = new BackupBucket("backups", { existing: "old-backups", encryption: "s3" });
    return { url: bucket.url };
  },

  bucketOfTwoMinds: () => {
    new BackupBucket("backups", { encryption: "s3", kmsKeyArn: key });
    return {};
  },

  bucketLockedInNoMode: () => {
    new BackupBucket("backups", { lockMode: "none", lockDays: 8 });
    return {};
  },

  dumps: () => {
    new DumpSchedule("dumps", {
      image: "111122223333.dkr.ecr.eu-central-1.amazonaws.com/tools/dbprotect:1.2.3",
      databases: [
        { name: "crm", backupStore: "s3://backups/crm", kmsKeyArns: [key], databaseUrlSecretArn: secret, port: 6543 },
        {
          name: "shop",
          backupStore: "s3://backups/shop s3://copies/shop?region=x&lockMode=governance&lockDays=7",
          databaseUrl: passworded,
          gibibytes: 40,
        },
      ],
      cron: "cron(30 1 * * ? *)",
      timeZone: "Europe/Berlin",
      flexibleMinutes: 0,
      vpcId: "vpc-own",
      subnetIds: ["subnet-own"],
      alarmTopic: { arn: "arn:aws:sns:eu-central-1:111122223333:alarms", kmsKeyArn: key },
    });
    return {};
  },

  dumpsIntoAFolder: () => {
    new DumpSchedule("dumps", {
      image: "registry.example/dbprotect:1",
      databases: [{ name: "crm", backupStore: "file:///srv/backups", databaseUrlSecretArn: secret }],
    });
    return {};
  },

  dumpsWithoutDatabaseUrl: () => {
    new DumpSchedule("dumps", {
      image: "registry.example/dbprotect:1",
      databases: [{ name: "crm", backupStore: "s3://backups/crm" }],
    });
    return {};
  },

  protectionWithSchedule: () => {
    new DeploymentProtection("database", {
      databaseUrl: passworded,
      schedule: { image: "registry.example/dbprotect:1" },
    });
    return {};
  },

  protectionWithAlerts: () => {
    new DeploymentProtection("database", {
      backupStore: "s3://existing/prod",
      schedule: {
        image: "registry.example/dbprotect:1",
        databaseUrlSecretArn: secret,
        supabaseProjectRef: "abcdefghijklmnopqrst",
        supabaseKeySecretArn: secret,
      },
      operation: { thresholds: { drillAge: { warn: 35 }, growth: { warn: null } } },
      alerts: {
        emails: ["oncall@example.com"],
        httpsEndpoints: ["https://alerts.example/x"],
        pagingTopicArn: "arn:aws:sns:eu-central-1:111122223333:pager",
      },
    });
    return {};
  },

  /** One of each that can be registered in AWS. */
  everythingInAws: () => {
    new DeploymentProtection("database", {
      databaseUrl: passworded,
      bucket: {
        coldStorage: "GLACIER_IR",
        expiry: "age",
        lockMode: "governance",
        accessLogBucket: "logs",
        inventoryBucket: "lists",
      },
      schedule: {
        build: {
          ...{ postgresMajors: [17], postgresExtensions: ["pgvector", "cron"] },
          nodeImage: `node:24.21.0-bookworm-slim@sha256:${"0".repeat(64)}`,
        },
      },
      alerts: {
        emails: ["oncall@example.com"],
        httpsEndpoints: ["https://alerts.example/x"],
        pagingTopicArn: "arn:aws:sns:eu-central-1:111122223333:pager",
      },
    });
    return {};
  },

  dumpsFromTwoImages: () => {
    new DumpSchedule("dumps", {
      image: "registry.example/dbprotect:1",
      build: {},
      databases: [{ name: "crm", backupStore: "s3://backups/crm", databaseUrlSecretArn: secret }],
    });
    return {};
  },

  dumpsOfAnotherServer: () => {
    new DumpSchedule("dumps", {
      build: { postgresExtensions: ["pgvector; rm -rf /"] },
      databases: [{ name: "crm", backupStore: "s3://backups/crm", databaseUrlSecretArn: secret }],
    });
    return {};
  },

  /** examples/level2, as its own Pulumi.prod.yaml configures it. */
  level2Example: () => {
    configure("examples/level2/Pulumi.prod.yaml");
    return program("examples/level2/index.ts");
  },

  /** The program itself, as Pulumi.prod.yaml configures it. */
  production: () => {
    configure("Pulumi.prod.yaml", { replicaPassword: "spoken-friend" });
    process.env["RELEASE_VERSION"] = "3f9c2a1";
    return program("index.ts");
  },

  /** The program with a schedule, alarms and a channel, from configuration alone. */
  programWithChannel: () => {
    const image = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/dbprotect:1.2.3";
    pulumi.runtime.setAllConfig(
      {
        "database-protection:schedule": JSON.stringify({ image }),
        "database-protection:alerts": JSON.stringify({ heartbeatHours: 26 }),
        "database-protection:databaseUrl": "postgres://u:spoken-friend@h/d",
        "database-protection:alertsWebhookUrl": "https://hooks.slack.com/services/T0/B0/spoken-friend",
      },
      ["database-protection:databaseUrl", "database-protection:alertsWebhookUrl"],
    );
    return program("index.ts");
  },

  alarmsInAChannel: () => {
    new Alerting("alarms", {
      topicArn: "arn:aws:sns:eu-central-1:111122223333:alarms",
      stateMachineArn: "arn:aws:states:eu-central-1:111122223333:stateMachine:dumps",
      webhookUrl: "https://hooks.slack.com/services/T0/B0/spoken-friend",
    });
    return {};
  },

  /** examples/level3: the program itself, as the example configures it. */
  exampleOfLevelThree: () => {
    configure("examples/level3/Pulumi.prod.yaml");
    process.env["RELEASE_VERSION"] = "3f9c2a1";
    return program("index.ts");
  },

  levelThree: () => {
    const protection = new DeploymentProtection("database", {
      databaseUrl: passworded,
      bucket: { lockMode: "governance" },
      schedule: { image: ecrImage },
      alerts: { emails: ["oncall@example.com"] },
      replicated: true,
    });
    const continuous = new ContinuousProtection("continuous", {
      source: protection.bucket!,
      access: protection.access,
      second: { region: "eu-west-1", lockDays: 5, coldStorage: "STANDARD_IA" },
      schedule: protection.schedule,
      drill: {
        ageIdentitySecretArn: secret,
        firstNetwork: { vpcId: "vpc-0a1b2c3d", subnetIds: ["subnet-0a1b2c3d"] },
      },
      alerts: { emails: ["oncall@example.com"] },
      alarmTopic: protection.alertTopic,
    });
    return { secondStore: continuous.secondStore, rpo: continuous.rpo, rto: continuous.rto };
  },

  replicaOnRds: () => {
    const replica = new LogicalReplica("replica", {
      access: { databaseUrl: passworded },
      server: {
        ...{ password: "spoken/friend", region: "eu-west-1", gibibytes: 100, dualStack: true },
        ...{ vpcId: "vpc-0a1b2c3d", subnetIds: ["subnet-0a1b2c3d", "subnet-4e5f6a7b"], engineVersion: "17.6" },
        ...{ clients: ["10.0.0.0/16", "fd00::/8"] },
        clientSecurityGroupIds: ["sg-0a1b2c3d4e5f6a7b8"],
      },
      sourceUrl: "postgres://replicator:spoken-friend@db.abc.supabase.co:5432/postgres",
      replica: { name: "live", uncovered: ["public.audit"] },
    });
    const protection = new DeploymentProtection("database", {
      backupStore: "file:///srv/backups",
      databaseUrl: passworded,
      replicaUrl: replica.databaseUrl,
    });
    new GuardedRelease("release", {
      ...{ access: protection.access, releaseVersion: "v1", after: protection.guards },
      operation: operationSettingsSchema.parse({
        migrations: { path: "migrations" },
        railway: { command: "railway up" },
        replica: { name: "live" },
      }),
    });
    return { address: replica.address };
  },

  replicaThatExists: () => {
    const replica = new LogicalReplica("replica", {
      access: {},
      databaseUrl: "postgres://r:spoken-friend@other:6000/crm",
    });
    return { address: replica.address };
  },

  replicaOfTwoMinds: () => {
    new LogicalReplica("replica", { access: {}, server: { password: "p" }, databaseUrl: "postgres://r@other/crm" });
    return {};
  },

  levelThreeInAnotherAccount: () => {
    const protection = new DeploymentProtection("database", {
      databaseUrl: passworded,
      bucket: { returningAccount: "444455556666" },
    });
    const continuous = new ContinuousProtection("continuous", {
      source: protection.bucket!,
      access: protection.access,
      second: {
        region: "eu-west-1",
        accountRoleArn: "arn:aws:iam::444455556666:role/backups",
        existingObjects: false,
      },
      drill: { image: ecrImage },
    });
    return { secondStore: continuous.secondStore };
  },

  secondBucketWithoutLock: () => {
    new BucketReplication("replication", {
      source: new BackupBucket("backups", { lockMode: "compliance" }),
      destinationProvider: new aws.Provider("elsewhere", { region: "eu-west-1" }),
      lockMode: "none",
    });
    return {};
  },

  drillTooLarge: () => {
    new RestoreDrill("drill", { image: ecrImage, backupStore: "s3://backups/crm", gibibytes: 91 });
    return {};
  },

  levelOne: () => {
    const platform = new AutomaticProtection("platform", {
      operation: { platform: { level: 1 } },
      databaseUrl: "postgres://u:spoken-friend@h/d",
    });
    new BackupBucket("backups", {}, { dependsOn: platform.checked });
    return {};
  },

  protectionWithBucket: () => {
    const protection = new DeploymentProtection("database", { releaseVersion: "v1" });
    return { backupStore: protection.backupStore };
  },

  protectionWithStore: () => {
    const protection = new DeploymentProtection("database", { backupStore: "file:///srv/backups" });
    return { backupStore: protection.backupStore };
  },

  protectionWithBucketKey: () => {
    const protection = new DeploymentProtection("database", {
      environmentKey: "bucket",
      schedule: { image: "example/dbprotect:1" },
      databaseUrl: "postgres://u:spoken-friend@h/d",
    });
    return { backupStore: protection.backupStore };
  },

  protectionWithKey: () => {
    const environmentKey = "arn:aws:kms:eu-central-1:111122223333:key/1";
    new DeploymentProtection("database", { backupStore: "file:///srv/backups", environmentKey });
    return {};
  },

  databaseOfTheSameStack: () => {
    const server = new BackupBucket("server");
    new DeploymentProtection("database", { backupStore: "file:///srv/backups", databaseUrl: server.url });
    return {};
  },

  storeAndBucket: () => {
    new DeploymentProtection("database", { backupStore: "file:///srv/backups", bucket: {} });
    return {};
  },

  release: () => {
    const protection = new DeploymentProtection("database", {
      backupStore: "s3://existing/prod",
      releaseVersion: "v1",
      program: "npx dbprotect",
      databaseUrl: pulumi.output("postgres://u:spoken-friend@h/d"),
      backupPassphrase: "open sesame",
    });
    const own = new pulumi.ComponentResource(
      "someones:index:Service",
      "service",
      {},
      { dependsOn: [...protection.guards] },
    );
    new GuardedRelease("release", {
      access: protection.access,
      releaseVersion: "v1",
      operation: operationSettingsSchema.parse({ railway: { command: "railway up --ci", timeoutSeconds: 600 } }),
      after: protection.guards,
      alsoReleased: [own],
    });
    return {};
  },
} satisfies Record<string, Declaration>;

export type DeclarationName = keyof typeof declarations;
