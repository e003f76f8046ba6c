/** Level 3: what is copied where, by whom and with which rights; what the drills may do, and what they measured. */
import assert from "node:assert/strict";
import * as layout from "../../scripts/store/layout";
import { replicatedKeys } from "../../components/replicationRules";
import { unwrapSecrets } from "../../scripts/rehearsal/engine/wire";
import { type Recording, type RegisteredResource, record } from "./record";

interface Statement {
  readonly Sid: string;
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
  readonly Principal?: object;
  readonly Condition?: object;
}

const first = "arn:aws:s3:::database-bucket-bucket-1a2b3c4";
const second = "arn:aws:s3:::continuous-replication-second-bucket-1a2b3c4";
const firstKey = "arn:aws:kms:eu-central-1:111122223333:database-bucket-key";
const secondKey = "arn:aws:kms:eu-central-1:111122223333:continuous-replication-second-key";

const json = <T>(text: unknown): T => JSON.parse(unwrapSecrets(text) as string) as T;
const statements = ({ inputs }: RegisteredResource): Statement[] =>
  json<{ Statement: Statement[] }>(inputs["policy"] ?? inputs["assumeRolePolicy"]).Statement;

function find({ registered }: Recording, type: string, name: string): RegisteredResource {
  const found = registered.find((resource) => resource.type.endsWith(`:${type}`) && resource.name === name);
  assert.ok(found !== undefined, `${type} ${name}`);
  return found;
}

const rights = (recording: Recording, name: string): Record<string, Statement> =>
  Object.fromEntries(statements(find(recording, "RolePolicy", name)).map((statement) => [statement.Sid, statement]));

describe("components/continuousProtection", function () {
  this.timeout(120_000);
  let level3: Recording;
  before(async () => {
    level3 = await record("levelThree");
    assert.deepEqual(level3.errors, []);
  });

  describe("the second location", () => {
    it("is in the other region with a key, lock and lifecycle of its own, as safe as the first", () => {
      const bucket = level3.get("continuous-replication-second-bucket");
      assert.equal(bucket.provider, "continuous-second-region");
      assert.ok(bucket.protect && bucket.retainOnDelete);
      for (const name of [
        "versioning",
        "encryption",
        "ownership",
        "access-block",
        "policy",
        "lifecycle",
        "lock",
        "key",
      ])
        assert.equal(level3.get(`continuous-replication-second-${name}`).provider, "continuous-second-region", name);
      assert.deepEqual(level3.get("continuous-replication-second-lock").inputs["rule"], {
        defaultRetention: { mode: "GOVERNANCE", days: 5 },
      });
      const provider = level3.get("continuous-second-region");
      assert.equal(provider.inputs["region"], "eu-west-1");
      assert.equal(provider.inputs["assumeRoles"], undefined);
      assert.equal(
        level3.outputs["secondStore"],
        "s3://continuous-replication-second-bucket-1a2b3c4/prod?lockMode=governance&lockDays=daily:7,weekly:35,monthly:366,predeploy:30,manual:90,records:30&region=eu-west-1",
      );
    });

    it("lets S3's role bring copies and encrypt them, and takes nothing else from it", () => {
      const role = "arn:aws:iam:eu-central-1:111122223333:continuous-replication-outward";
      const mine = (resource: RegisteredResource): Statement[] =>
        statements(resource).filter(({ Principal }) => JSON.stringify(Principal)?.includes(role));
      assert.deepEqual(
        mine(level3.get("continuous-replication-second-policy")).map(({ Action, Resource }) => [Action, Resource]),
        [
          [["s3:ReplicateObject", "s3:ReplicateTags"], `${second}/*`],
          [["s3:GetBucketVersioning"], second],
        ],
      );
      assert.deepEqual(
        mine(level3.get("continuous-replication-second-key")).map(({ Action }) => Action),
        [["kms:Encrypt", "kms:GenerateDataKey"]],
      );
    });
  });

  describe("replication", () => {
    const rulesOf = (name: string): Record<string, any>[] =>
      find(level3, "BucketReplicationConfig", name).inputs["rules"] as Record<string, any>[];

    it("copies every folder of a store but control/, each by a rule with time control, metrics and events", () => {
      const rules = rulesOf("continuous-replication-outward");
      const known = Object.entries(layout).flatMap(([name, value]) =>
        typeof value === "string" && (name.endsWith("Prefix") || name === "storeIdentityKey") ? [value] : [],
      );
      assert.deepEqual([...replicatedKeys, "control/"].sort(), known.sort());
      assert.deepEqual(
        rules.map(({ filter }) => filter.prefix),
        replicatedKeys.map((key) => `prod/${key}`),
      );
      assert.equal(new Set(rules.map(({ id }) => id)).size, rules.length);
      assert.equal(new Set(rules.map(({ priority }) => priority)).size, rules.length);
      for (const { status, destination, deleteMarkerReplication, sourceSelectionCriteria } of rules) {
        assert.equal(status, "Enabled");
        assert.deepEqual(deleteMarkerReplication, { status: "Disabled" });
        assert.deepEqual(sourceSelectionCriteria, { sseKmsEncryptedObjects: { status: "Enabled" } });
        assert.deepEqual(destination, {
          bucket: second,
          encryptionConfiguration: { replicaKmsKeyId: secondKey },
          metrics: { status: "Enabled", eventThreshold: { minutes: 15 } },
          replicationTime: { status: "Enabled", time: { minutes: 15 } },
        });
      }
    });

    it("has a role that reads those folders here, writes them there, and can delete nothing", () => {
      const outward = rights(level3, "continuous-replication-outward");
      assert.deepEqual(
        Object.values(outward)
          .flatMap(({ Action }) => Action)
          .sort(),
        [
          ...["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "s3:GetObjectLegalHold", "s3:GetObjectRetention"],
          ...["s3:GetObjectVersionAcl", "s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging"],
          ...["s3:GetReplicationConfiguration", "s3:ListBucket", "s3:ReplicateObject", "s3:ReplicateTags"],
        ],
      );
      assert.ok([outward["WriteCopies"]!.Resource].flat().every((resource) => resource.startsWith(`${second}/prod/`)));
      assert.ok(![outward["ReadSource"]!.Resource].flat().some((resource) => resource.includes("control")));
      assert.deepEqual(outward["Decrypt"]?.Resource, firstKey);
      assert.deepEqual(outward["Encrypt"]?.Condition, {
        StringEquals: { "kms:ViaService": "s3.eu-west-1.amazonaws.com" },
      });
    });

    it("brings back what drills of the second location write, and nothing else", () => {
      assert.deepEqual(
        rulesOf("continuous-replication-back").map(({ filter, destination }) => [filter.prefix, destination.bucket]),
        [
          ["prod/drills/", first],
          ["prod/incidents/", first],
        ],
      );
      assert.deepEqual(rights(level3, "continuous-replication-back")["WriteCopies"]?.Resource, [
        `${first}/prod/drills/*`,
        `${first}/prod/incidents/*`,
      ]);
    });

    it("waits for the versions of both buckets, and for the role's rights", () => {
      const { dependsOn } = find(level3, "BucketReplicationConfig", "continuous-replication-outward");
      assert.ok(dependsOn.includes("continuous-replication-outward"));
      for (const name of ["database-bucket-versioning", "continuous-replication-second-versioning"])
        assert.ok(dependsOn.includes(name), name);
    });

    it("copies what was there before by a Command, once the rules stand", () => {
      const command = level3.get("continuous-replication-existing");
      const job = find(level3, "Command", "continuous-replication-existing");
      assert.ok(command !== undefined);
      assert.match(String(job.inputs["create"]), /store:replicate-existing$/);
      assert.equal(job.inputs["update"], undefined);
      const environment = job.inputs["environment"] as Record<string, string>;
      assert.deepEqual(json(environment["DBPROTECT_REPLICATION"]), {
        account: "111122223333",
        source: first,
        destination: second,
        role: "arn:aws:iam:eu-central-1:111122223333:continuous-replication-existing",
      });
      assert.ok(job.dependsOn.includes("continuous-replication-outward"));
      assert.deepEqual(
        Object.values(rights(level3, "continuous-replication-existing")).map(({ Action, Resource }) => [
          Action,
          Resource,
        ]),
        [
          [["s3:InitiateReplication"], `${first}/prod/*`],
          [["s3:GetReplicationConfiguration", "s3:PutInventoryConfiguration"], first],
        ],
      );
    });

    it("alarms where the numbers are published: waiting and late there, failed here", () => {
      const topics = {
        here: "arn:aws:sns:eu-central-1:111122223333:database-dumps-alerts-topic",
        there: "arn:aws:sns:eu-central-1:111122223333:continuous-second-alerts-topic",
      };
      for (const [name, metricName, threshold] of [
        ["pending", "BytesPendingReplication", 10 * 2 ** 30],
        ["latency", "ReplicationLatency", 1800],
      ] as const) {
        const { inputs, provider } = level3.get(`continuous-replication-${name}`);
        assert.equal(provider, "continuous-second-region");
        assert.deepEqual([inputs["metricName"], inputs["threshold"]], [metricName, threshold]);
        assert.deepEqual(inputs["dimensions"], {
          SourceBucket: first.split(":::")[1],
          DestinationBucket: second.split(":::")[1],
          RuleId: "backups",
        });
        assert.deepEqual([inputs["alarmActions"], inputs["okActions"]], [[topics.there], [topics.there]]);
      }
      const { inputs, provider } = level3.get("continuous-replication-failed");
      assert.equal(provider, "");
      const queries = inputs["metricQueries"] as { id: string; returnData: boolean; metric?: any }[];
      assert.deepEqual(
        queries.flatMap(({ metric }) => metric?.dimensions.RuleId ?? []),
        rulesOf("continuous-replication-outward").map(({ id }) => id),
      );
      // CloudWatch takes ten metrics in an alarm, and ids of this form.
      assert.ok(queries.length <= 11 && queries.every(({ id }) => /^[a-z][a-zA-Z0-9_]*$/.test(id)));
      assert.deepEqual(inputs["alarmActions"], [topics.here]);
    });

    it("has S3 tell the topic of copies that failed or are late", () => {
      const { inputs } = level3.get("database-bucket-events");
      assert.equal(inputs["eventbridge"], true);
      assert.deepEqual(inputs["topics"], [
        {
          topicArn: "arn:aws:sns:eu-central-1:111122223333:database-dumps-alerts-topic",
          events: ["s3:Replication:OperationFailedReplication", "s3:Replication:OperationMissedThreshold"],
        },
      ]);
    });
  });

  describe("drills", () => {
    const containerOf = (
      name: string,
    ): { command: string[]; environment: { name: string; value: string }[]; secrets: any[] } =>
      json<any[]>(level3.get(name).inputs["containerDefinitions"])[0];
    const variable = (name: string, wanted: string): string | undefined =>
      containerOf(name).environment.find((each) => each.name === wanted)?.value;

    it("run weekly in both regions, read-only, without the live database", () => {
      for (const [name, provider] of [
        ["continuous-drill", ""],
        ["continuous-second-drill", "continuous-second-region"],
      ] as const) {
        const schedule = find(level3, "Schedule", `${name}-schedule`);
        assert.equal(schedule.inputs["scheduleExpression"], "cron(0 5 ? * SUN *)");
        assert.equal(schedule.provider, provider);
        const container = containerOf(`${name}-locations`);
        assert.deepEqual(container.command, ["sh", "-c", "dbprotect db:drill --json"]);
        assert.ok(!JSON.stringify(container).includes("DATABASE_URL"));
        const egress = find(level3, "SecurityGroup", `${name}-tasks`).inputs["egress"] as { fromPort: number }[];
        assert.deepEqual(
          egress.map(({ fromPort }) => fromPort),
          [443],
        );
      }
      assert.deepEqual(
        containerOf("continuous-second-drill-locations").secrets.map((each) => each.name),
        ["BACKUP_AGE_IDENTITY"],
      );
      const machine = find(level3, "StateMachine", "continuous-drill-machine").inputs["definition"] as string;
      assert.match(machine, /"Drill"|Drills every database/);
    });

    it("of the first region go through both locations; of the second they have rights on nothing in the first", () => {
      assert.match(
        variable("continuous-drill-locations", "BACKUP_STORE")!,
        /^s3:\/\/database-bucket\S+ s3:\/\/continuous-repl\S+region=eu-west-1$/,
      );
      assert.match(
        variable("continuous-second-drill-locations", "BACKUP_STORE")!,
        /^s3:\/\/continuous-replication-second\S+$/,
      );
      assert.equal(variable("continuous-second-drill-locations", "AWS_REGION"), "eu-west-1");
      const policies = level3.registered.filter(
        ({ type, name }) => type.endsWith(":RolePolicy") && name.startsWith("continuous-second-drill"),
      );
      assert.equal(policies.length, 4);
      for (const policy of policies)
        assert.ok(!JSON.stringify(statements(policy)).includes("database-bucket"), policy.name);
    });

    it("may write what they found and nothing that a backup is made of", () => {
      const drill = rights(level3, "continuous-second-drill-locations-task");
      assert.deepEqual(drill["WriteRecords"]?.Resource, [
        ...["drills/*", "incidents/*", "verifications/*"].map((folder) => `${second}/prod/${folder}`),
        ...["control/s3-support.json", "control/conditional-writes.txt"].map((key) => `${second}/prod/${key}`),
      ]);
      assert.deepEqual(drill["UseKey"]?.Resource, [secondKey]);
      const actions = Object.values(drill).flatMap(({ Action }) => Action);
      assert.deepEqual(
        actions.filter((action) => /Delete|Tagging|Bypass|Policy|\*/.test(action)),
        [],
      );
    });

    it("tell when one fails, in the region where it ran", () => {
      const { inputs, provider } = level3.get("continuous-second-drill-failed");
      assert.equal(provider, "continuous-second-region");
      assert.deepEqual(inputs["alarmActions"], [
        "arn:aws:sns:eu-central-1:111122223333:continuous-second-alerts-topic",
      ]);
    });
  });

  it("RPO and RTO are what the last drills measured of the worse location, with their time", () => {
    assert.deepEqual(level3.outputs["rpo"], {
      seconds: 11_000,
      at: "2026-11-22T05:10:00.000Z",
      location: "s3://second/prod",
    });
    assert.deepEqual(level3.outputs["rto"], { ...(level3.outputs["rpo"] as object), seconds: 300 });
  });

  it("knows no figure before there is a bucket to ask", async () => {
    const preview = await record("levelThree", { preview: true });
    assert.deepEqual(preview.errors, []);
    const none = { seconds: null, at: null, location: null };
    assert.deepEqual([preview.outputs["rpo"], preview.outputs["rto"]], [none, none]);
  });

  it("in another account: its role is taken, only what drills found comes back, each keeps to its own account", async () => {
    const far = await record("levelThreeInAnotherAccount");
    assert.deepEqual(far.errors, []);
    assert.deepEqual(json(far.get("continuous-second-region").inputs["assumeRoles"]), [
      { roleArn: "arn:aws:iam::444455556666:role/backups" },
    ]);
    const configs = far.registered.filter(({ type }) => type.endsWith(":BucketReplicationConfig"));
    assert.deepEqual(configs.map(({ name }) => name).sort(), [
      "continuous-replication-back",
      "continuous-replication-outward",
    ]);
    const other = "arn:aws:iam::444455556666:root";
    const lets = (resource: RegisteredResource): unknown[] =>
      statements(resource)
        .filter(({ Principal }) => JSON.stringify(Principal) === JSON.stringify({ AWS: other }))
        .map(({ Action, Resource }) => [Action, Resource]);
    assert.deepEqual(lets(far.get("database-bucket-policy")), [
      [
        ["s3:ReplicateObject", "s3:ReplicateTags"],
        [`${first}/prod/drills/*`, `${first}/prod/incidents/*`],
      ],
      [["s3:GetBucketVersioning"], first],
    ]);
    assert.deepEqual(lets(far.get("database-bucket-key")), [[["kms:Encrypt", "kms:GenerateDataKey"], "*"]]);
    assert.deepEqual([lets(level3.get("database-bucket-policy")), lets(level3.get("database-bucket-key"))], [[], []]);
    assert.ok(!far.registered.some(({ name }) => name === "continuous-replication-existing"));
    assert.ok(!JSON.stringify(rights(far, "continuous-drill-locations-task")).includes("second"));
  });

  it("grants no action * and no resource *, but for the registry's", () => {
    for (const policy of level3.registered.filter(({ type }) => type.endsWith(":RolePolicy")))
      for (const { Sid, Action, Resource } of statements(policy)) {
        assert.ok(![Action].flat().some((action) => action.includes("*")), `${policy.name} ${Sid}`);
        assert.ok(![Resource].flat().includes("*") || Sid === "EnterRegistry", `${policy.name} ${Sid}`);
      }
  });

  it("says in one line what cannot be", async () => {
    const errors = async (name: "secondBucketWithoutLock" | "drillTooLarge") => (await record(name)).errors.join("\n");
    assert.match(await errors("secondBucketWithoutLock"), /replication: found lockMode: none: expected governance/);
    assert.match(await errors("drillTooLarge"), /drill: found gibibytes: 91: expected at most 90/);
  });

  it("the example evaluates, from its configuration to the release that waits for the gate", async () => {
    const example = await record("exampleOfLevelThree");
    assert.deepEqual(example.errors, []);
    assert.equal(example.get("continuous-second-region").inputs["region"], "eu-west-1");
    assert.ok(find(example, "Command", "release-verification").dependsOn.includes("database-gate-run"));
    assert.equal((example.outputs["rto"] as { seconds: number }).seconds, 300);
    const settings = json<{ platform: { level: number }; drill: object }>(
      (example.get("database-gate-run").inputs["environment"] as Record<string, string>)["DBPROTECT_SETTINGS"],
    );
    assert.equal(settings.platform.level, 3);
    assert.deepEqual(settings.drill, { maxAgeDays: 14, onOverdue: "halt" });
  });
});
