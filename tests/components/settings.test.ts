/** The stack's configuration: what is read, and one line for each mistake. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { configKeys, readSettings } from "../../components/settings";

const root = path.resolve(__dirname, "../..");

function read(config: Record<string, unknown>, secrets: Record<string, string> = {}, env: NodeJS.ProcessEnv = {}) {
  const texts = Object.entries({ ...config, ...secrets }).map(([key, value]) => [
    key.includes(":") ? key : `database-protection:${key}`,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  pulumi.runtime.setAllConfig(
    Object.fromEntries(texts) as Record<string, string>,
    Object.keys(secrets).map((key) => `database-protection:${key}`),
  );
  return readSettings(env);
}

function mistakeIn(config: Record<string, unknown>, secrets: Record<string, string> = {}): string {
  try {
    read(config, secrets);
  } catch (error) {
    assert.ok(pulumi.RunError.isInstance(error), `a mistake must end the program without a stack: ${String(error)}`);
    return error.message;
  }
  assert.fail("accepted");
}

describe("components/settings", () => {
  afterEach(() => pulumi.runtime.setAllConfig({}));

  it("has a default for everything", () => {
    const settings = read({});
    assert.equal(settings.backupStore, undefined);
    assert.equal(settings.releaseVersion, undefined);
    assert.equal(settings.databaseUrl, undefined);
    assert.equal(settings.operation.checks, "checks");
    assert.equal(settings.operation.verification.depth, 4);
    assert.equal(settings.operation.environment.critical.includes("SUPABASE_SERVICE_ROLE_KEY"), true);
  });

  it("takes the defaults of Pulumi.yaml for not set", () => {
    const settings = read({
      backupStore: "",
      bucket: {},
      releaseVersion: "",
      migrations: {},
      railway: {},
      overrides: [],
    });
    assert.equal(settings.backupStore, undefined);
    assert.equal(settings.bucket, undefined);
    assert.equal(settings.operation.migrations, undefined);
    assert.deepEqual(settings.operation.overrides, []);
  });

  it("takes several stores, all but the first with or without optional:", () => {
    const backupStore = "s3://backups/crm?kmsKeyId=alias/x file:///srv/copy optional:s3://copies?profile=copy";
    assert.equal(read({ backupStore }).backupStore, backupStore);
  });

  it("takes releaseVersion from RELEASE_VERSION unless it is configured", () => {
    const env = { RELEASE_VERSION: "from-environment" };
    assert.equal(read({}, {}, env).releaseVersion, "from-environment");
    assert.equal(read({ releaseVersion: "configured" }, {}, env).releaseVersion, "configured");
  });

  it("ignores other namespaces", () => {
    assert.equal(read({ "aws:region": "eu-central-1" }).operation.checks, "checks");
  });

  it("keeps secrets secret", async () => {
    const { databaseUrl } = read({}, { databaseUrl: "postgres://u:pw@h/d" });
    assert.ok(databaseUrl !== undefined);
    assert.equal(await pulumi.isSecret(databaseUrl), true);
  });

  const key = "database-protection:";
  const schedule = {
    image: "111122223333.dkr.ecr.eu-central-1.amazonaws.com/dbprotect:1.2.3",
    databaseUrlSecretArn: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:crm-url-a1b2c3",
  };

  it("takes schedules as EventBridge does", () => {
    for (const cron of ["cron(0 2 * * ? *)", "cron(0/15 8-18 ? * MON-FRI *)", "cron(0 2 L * ? *)", "rate(1 day)"])
      assert.equal(read({ schedule: { ...schedule, cron, timeZone: "Europe/Berlin" } }).schedule?.cron, cron);
  });

  const mistakes: readonly [string, Record<string, unknown>, string | RegExp][] = [
    [
      "an unknown key",
      { backupStor: "x" },
      /^database-protection:backupStor: found an unknown key: expected one of .*backupStore.*: pulumi config rm --path 'database-protection:backupStor'$/,
    ],
    [
      "an unknown key inside an object",
      { railway: { command: "x", timeout: 1 }, releaseVersion: "v" },
      `${key}railway.timeout: found an unknown key: expected none of that name here: pulumi config rm --path 'database-protection:railway.timeout'`,
    ],
    [
      "a store of another kind",
      { backupStore: "ftp://x" },
      `${key}backupStore: found "ftp://x": expected file:///folder or s3://bucket/prefix: pulumi config set --path 'database-protection:backupStore' <value>`,
    ],
    ["a first store that may be lost", { backupStore: "optional:file:///b" }, /expected file:\/\/\/folder/],
    ["a second store of another kind", { backupStore: "file:///b ftp://x" }, /expected file:\/\/\/folder/],
    ["a relative store", { backupStore: "file://backups" }, /expected file:\/\/\/folder/],
    [
      "a store and a bucket",
      { backupStore: "file:///b", bucket: { prefix: "x" } },
      /^database-protection:bucket: found together with backupStore: expected one of the two: /,
    ],
    [
      "a release without a version",
      { railway: { command: "railway up" } },
      /^database-protection:releaseVersion: found nothing, although railway is configured: expected .*: set it, or RELEASE_VERSION/,
    ],
    [
      "a base image that is not pinned",
      { schedule: { build: { nodeImage: "node:24" }, databaseUrlSecretArn: schedule.databaseUrlSecretArn } },
      /^database-protection:schedule\.build\.nodeImage: found "node:24": expected the base image by digest/,
    ],
    [
      "an alias for the environment's key",
      { environmentKey: "arn:aws:kms:eu-central-1:111122223333:alias/backups" },
      /^database-protection:environmentKey: found "arn:.*": expected the ARN of a KMS key \(no alias\), or bucket: /,
    ],
    [
      "the bucket's key for the environment without a bucket",
      { environmentKey: "bucket", backupStore: "file:///srv/backups" },
      /^database-protection:environmentKey: found bucket, with backupStore: expected the ARN of a KMS key/,
    ],
    [
      "the bucket's key for the environment where S3 keeps the keys",
      { environmentKey: "bucket", bucket: { encryption: "s3" } },
      /^database-protection:environmentKey: found bucket, with bucket\.encryption: s3: expected/,
    ],
    ["a version with spaces", { releaseVersion: "a b" }, /^database-protection:releaseVersion: found "a b": expected /],
    [
      "text where a number belongs",
      { railway: { command: "x", timeoutSeconds: "soon" }, releaseVersion: "v" },
      /^database-protection:railway\.timeoutSeconds: found "soon": expected number: /,
    ],
    [
      "a missing field",
      { migrations: { lockTimeoutSeconds: 3 }, releaseVersion: "v" },
      /^database-protection:migrations\.path: found nothing: expected string: /,
    ],
    [
      "text where an object belongs",
      { tables: "everything" },
      /^database-protection:tables: found "everything": expected an object or a list: /,
    ],
    [
      "an allowance of another form",
      { tables: { "public.t": { deletes: "some" } } },
      /^database-protection:tables\.public\.t\.deletes: found "some": /,
    ],
    [
      "a URL with a password",
      { appUrl: "https://u:p@x.example" },
      /^database-protection:appUrl: .*expected an http or https URL without user and password/,
    ],
    [
      "an override without a reason",
      { overrides: [{ what: "freeze", person: "A", expires: "2027-01-01" }] },
      /^database-protection:overrides\.0\.reason: found nothing: /,
    ],
    [
      "a schedule with both days",
      { schedule: { ...schedule, cron: "cron(0 2 * * * *)" } },
      /^database-protection:schedule\.cron: found "cron\(0 2 \* \* \* \*\)": expected cron\(.*with one \?/,
    ],
    ["a schedule of five fields", { schedule: { ...schedule, cron: "cron(0 2 * * ?)" } }, /schedule\.cron: found /],
    ["a schedule as Unix has it", { schedule: { ...schedule, cron: "0 2 * * *" } }, /schedule\.cron: found /],
    ["a time zone that is none", { schedule: { ...schedule, timeZone: "Mars/Olympus" } }, /schedule\.timeZone: found /],
    [
      "a schedule at Level 1",
      { schedule, platform: { level: 1 } },
      /^database-protection:schedule: found with platform\.level: 1: expected Level 2 or 3/,
    ],
    [
      "a second location at Level 2",
      { replication: { region: "eu-west-1" } },
      /^database-protection:replication: found with level: 2: expected level: 3: pulumi config rm/,
    ],
    [
      "Level 3 without a second location",
      { level: 3, schedule },
      /^database-protection:replication: found nothing with level: 3: expected the second location: /,
    ],
    [
      "Level 3 without an image",
      { level: 3, replication: { region: "eu-west-1" } },
      /^database-protection:restoreDrill\.image: found nothing, and no schedule: expected the image of the drills: /,
    ],
    [
      "Level 3 on a store that S3 does not copy from",
      { level: 3, backupStore: "file:///srv/backups", replication: { region: "eu-west-1" } },
      /^database-protection:backupStore: found with level: 3: expected a bucket of the stack/,
    ],
    ["a Level that is none", { level: 4 }, /^database-protection:level: found 4: expected 2 or 3/],
    ["a region that is none", { level: 3, replication: { region: "Ireland" } }, /replication\.region: found "Ireland"/],
    [
      "alarms on no schedule",
      { alerts: { emails: ["a@example.com"] } },
      /^database-protection:alerts: found without schedule: expected dumps to watch: /,
    ],
    [
      "a schedule without the database's address",
      { schedule: { image: schedule.image } },
      /^database-protection:schedule\.databaseUrlSecretArn: found nothing: expected it or databaseUrl: /,
    ],
    [
      "a secret in plain text",
      { databaseUrl: "postgres://u:sekret@h/d" },
      `${key}databaseUrl: found plain text: expected a secret: pulumi config set --secret database-protection:databaseUrl`,
    ],
  ];
  for (const [name, config, expected] of mistakes) {
    it(`says in one line what is wrong with ${name}`, () => {
      const line = mistakeIn(config);
      if (typeof expected === "string") assert.equal(line, expected);
      else assert.match(line, expected);
      assert.ok(!line.includes("\n"));
      assert.ok(!line.includes("sekret"));
    });
  }

  it("refuses a secret where the value is written to the state", () => {
    const line = mistakeIn({}, { integrationCommand: "curl -H token:sekret" });
    assert.match(line, /^database-protection:integrationCommand: found a secret: expected plain text/);
    assert.ok(!line.includes("sekret"));
  });

  // js-yaml comes with the SDK.
  const { load } = createRequire(require.resolve("@pulumi/pulumi"))("js-yaml") as { load(text: string): unknown };
  const yaml = (name: string) =>
    load(readFileSync(path.join(root, name), "utf8")) as { config: Record<string, unknown> };

  it("takes a webhook of Slack for the alarms, as a secret and nothing else", async () => {
    const url = "https://hooks.slack.com/services/T0/B0/spoken-friend";
    const wanted = { schedule, alerts: {} };
    assert.equal(read(wanted).alerts, undefined, "an empty object says not set");
    const set = { schedule, alerts: { heartbeatHours: 26 } };
    const webhookUrl = read(set, { alertsWebhookUrl: url }).alerts?.webhookUrl;
    assert.ok(webhookUrl !== undefined && (await pulumi.isSecret(webhookUrl)));
    assert.equal(await new Promise((resolve) => void pulumi.unsecret(webhookUrl).apply(resolve)), url);
    assert.match(
      mistakeIn({ ...set, alertsWebhookUrl: url }),
      /^database-protection:alertsWebhookUrl: found plain text: expected a secret: (?!.*spoken-friend)/,
    );
    assert.match(
      mistakeIn({ schedule }, { alertsWebhookUrl: url }),
      /^database-protection:alertsWebhookUrl: found without alerts: expected alarms to tell of: (?!.*spoken-friend)/,
    );
  });

  it("declares every key that is no secret in Pulumi.yaml, typed, described and with a default", () => {
    const declared = yaml("Pulumi.yaml").config as Record<string, Record<string, unknown>>;
    const secrets = [
      ...["databaseUrl", "backupPassphrase", "alertsWebhookUrl"],
      ...["replicaPassword", "replicaDatabaseUrl", "replicationSourceUrl"],
    ];
    assert.deepEqual(Object.keys(declared).sort(), configKeys.filter((name) => !secrets.includes(name)).sort());
    for (const [name, declaration] of Object.entries(declared)) {
      assert.ok(declaration["type"] !== undefined && declaration["default"] !== undefined, name);
      assert.ok(String(declaration["description"]).length > 20, name);
    }
    read(Object.fromEntries(Object.entries(declared).map(([name, { default: value }]) => [name, value])));
  });

  it("at Level 3 drills with the schedule's image and size in its network, and demands Level 3 of the platform", () => {
    const full = { ...schedule, gibibytes: 30, vpcId: "vpc-1", subnetIds: ["subnet-1"] };
    const level3 = { level: 3, replication: { region: "eu-west-1" }, schedule: full };
    const { continuous, operation } = read(level3);
    assert.deepEqual([continuous?.drill.gibibytes, continuous?.drill.firstNetwork?.vpcId], [30, "vpc-1"]);
    assert.equal(continuous?.drill.network?.vpcId, undefined);
    assert.equal(operation.platform.level, 3);
    assert.equal(read({ ...level3, platform: { level: 2 } }).operation.platform.level, 2);
    assert.equal(read({ schedule }).operation.platform.level, 2);
    assert.ok(!Object.keys(operation).some((key) => ["level", "replication", "restoreDrill"].includes(key)));
  });

  it("takes a live replica at Level 3 only, with the secret that its kind of server needs, and has the gate look at it", () => {
    const level3 = {
      ...{ level: 3, replication: { region: "eu-west-1" }, restoreDrill: { image: "registry/dbprotect:1" } },
    };
    const rds = { ...level3, logicalReplica: { server: "rds", gibibytes: 40 } };
    const { logicalReplica, operation } = read(rds, { replicaPassword: "spoken-friend" });
    assert.equal(logicalReplica?.server?.gibibytes, 40);
    assert.equal(operation.replica?.name, "dbprotect_replica");
    assert.equal(operation.replica?.onDrift, "halt");
    assert.match(mistakeIn(rds), /^database-protection:replicaPassword: found nothing .*: pulumi config set --secret/);
    const existing = { ...level3, logicalReplica: { server: "existing" } };
    assert.match(mistakeIn(existing), /^database-protection:replicaDatabaseUrl: found nothing/);
    assert.ok(read(existing, { replicaDatabaseUrl: "postgres://r:pw@h/d" }).logicalReplica?.databaseUrl !== undefined);
    assert.match(
      mistakeIn({ ...level3, logicalReplica: { server: "existing", gibibytes: 40 } }, { replicaDatabaseUrl: "x" }),
      /^database-protection:logicalReplica\.gibibytes: found with logicalReplica\.server: existing/,
    );
    assert.match(mistakeIn({ logicalReplica: { server: "rds" } }), /logicalReplica: found with level: 2/);
  });

  it("lets what drills in another account found come back: its number is that of the role", () => {
    const replication = { region: "eu-west-1", accountRoleArn: "arn:aws:iam::444455556666:role/backups" };
    const level3 = { level: 3, schedule, replication, bucket: { lockMode: "governance" } };
    assert.equal(read(level3).bucket?.returningAccount, "444455556666");
    assert.equal(read(level3).bucket?.lockMode, "governance");
    assert.equal(read({ ...level3, replication: { region: "eu-west-1" } }).bucket?.returningAccount, undefined);
    assert.match(
      mistakeIn({ ...level3, replication: { ...replication, accountRoleArn: "backups" } }),
      /replication\.accountRoleArn: .*expected the ARN of a role in the other account/,
    );
  });

  it("reads Pulumi.prod.yaml, which names every key", () => {
    const text = readFileSync(path.join(root, "Pulumi.prod.yaml"), "utf8");
    for (const name of configKeys)
      assert.ok(text.includes(`database-protection:${name}`), `${name} is not in Pulumi.prod.yaml`);
    const settings = read(
      yaml("Pulumi.prod.yaml").config,
      { replicaPassword: "spoken-friend" },
      { RELEASE_VERSION: "3f9c2a1" },
    );
    assert.equal(settings.bucket?.prefix, "prod");
    assert.equal(settings.operation.railway?.command, "railway up --ci");
  });
});
