/** The scheduled dumps: what runs when and where, what each role may do, what happens when one fails. */
import assert from "node:assert/strict";
import { taskSize } from "../../components/scheduledTasks";
import { s3Places } from "../../components/dumpPolicies";
import { containsSecret, unwrapSecrets } from "../../scripts/rehearsal/engine/wire";
import { type Recording, type RegisteredResource, record } from "./record";

interface Statement {
  readonly Sid: string;
  readonly Action: string | readonly string[];
  readonly Resource?: string | readonly string[];
  readonly Condition?: object;
  readonly Principal?: object;
}

interface State {
  readonly Type: string;
  readonly Next?: string;
  readonly End?: boolean;
  readonly Default?: string;
  readonly Choices?: readonly { readonly Next: string }[];
  readonly Catch?: readonly { readonly Next: string }[];
  readonly [key: string]: unknown;
}

interface Machine {
  readonly StartAt: string;
  readonly States: Readonly<Record<string, State>>;
}

const json = <T>(text: unknown): T => JSON.parse(unwrapSecrets(text) as string) as T;
const statementsOf = ({ inputs }: RegisteredResource): Statement[] =>
  json<{ Statement: Statement[] }>(inputs["policy"] ?? inputs["assumeRolePolicy"]).Statement;
const byName = ({ registered }: Recording, type: string, name: string): RegisteredResource => {
  const found = registered.find((resource) => resource.type === type && resource.name === name);
  assert.ok(found !== undefined, `${type} ${name}`);
  return found;
};
const rightsOf = (recording: Recording, name: string): Record<string, Statement> =>
  Object.fromEntries(
    statementsOf(byName(recording, "aws:iam/rolePolicy:RolePolicy", name)).map((statement) => [
      statement.Sid,
      statement,
    ]),
  );

describe("components/dumpSchedule", function () {
  this.timeout(60_000);
  let dumps: Recording;
  before(async () => {
    dumps = await record("dumps");
    assert.deepEqual(dumps.errors, []);
  });

  it("starts the state machine when it should", () => {
    const { inputs, dependsOn } = byName(dumps, "aws:scheduler/schedule:Schedule", "dumps-schedule");
    assert.equal(inputs["scheduleExpression"], "cron(30 1 * * ? *)");
    assert.equal(inputs["scheduleExpressionTimezone"], "Europe/Berlin");
    assert.deepEqual(inputs["flexibleTimeWindow"], { mode: "OFF" });
    assert.equal((inputs["target"] as { arn: string }).arn, "arn:aws:sfn:eu-central-1:111122223333:dumps-machine");
    assert.ok(dependsOn.includes("dumps-schedule"));
  });

  it("runs a verified backup, then prunes and yields to a release, on a read-only root", () => {
    const [container, ...others] = json<Record<string, unknown>[]>(
      dumps.get("dumps-crm").inputs["containerDefinitions"],
    );
    assert.deepEqual(others, []);
    assert.deepEqual(container?.["command"], [
      "sh",
      "-c",
      "dbprotect db:backup --tier scheduled && { dbprotect db:prune --yes || [ $? -eq 3 ]; }",
    ]);
    assert.equal(container?.["readonlyRootFilesystem"], true);
    assert.deepEqual(container?.["secrets"], [
      { name: "DATABASE_URL", valueFrom: "arn:aws:secretsmanager:eu-central-1:111122223333:secret:crm-url-a1b2c3" },
    ]);
    const { inputs } = dumps.get("dumps-shop");
    assert.deepEqual(
      [inputs["cpu"], inputs["memory"], inputs["ephemeralStorage"], inputs["networkMode"]],
      ["4096", "8192", { sizeInGib: 100 }, "awsvpc"],
    );
  });

  it("keeps the connection URL out of everything but the secret's value", () => {
    const version = byName(dumps, "aws:secretsmanager/secretVersion:SecretVersion", "dumps-shop-url");
    assert.ok(containsSecret(version.inputs["secretString"]));
    for (const resource of dumps.registered.filter(({ type }) => !type.endsWith("SecretVersion")))
      assert.ok(!JSON.stringify(resource.inputs).includes("spoken-friend"), resource.name);
  });

  it("grants no action * and no resource *, but for the one that AWS knows no narrower resource for", () => {
    const policies = dumps.registered.filter(({ type }) => type === "aws:iam/rolePolicy:RolePolicy");
    assert.equal(policies.length, 5);
    const everywhere: string[] = [];
    for (const { Sid, Action, Resource } of policies.flatMap(statementsOf)) {
      for (const action of [Action].flat()) assert.ok(!action.includes("*"), `${Sid}: ${action}`);
      for (const resource of [Resource ?? []].flat()) {
        if (resource === "*") everywhere.push(Sid);
        else assert.match(resource, /^arn:aws:[a-z0-9]+:[a-z0-9-]*:\d*:.+/, Sid);
      }
    }
    assert.deepEqual(everywhere, ["EnterRegistry"]);
  });

  it("lets a task tag what may expire, and delete nothing, in its own prefix of each store only", () => {
    const rights = rightsOf(dumps, "dumps-shop-task");
    const actions = Object.values(rights).flatMap(({ Action }) => Action);
    assert.deepEqual(
      actions.filter((action) => /Delete|Lifecycle|Policy|Bypass|PutBucket/.test(action)),
      [],
    );
    assert.deepEqual(rights["TagWhatMayExpire"]?.Action, ["s3:PutObjectTagging"]);
    assert.deepEqual(rights["TagWhatMayExpire"]?.Resource, [
      "arn:aws:s3:::backups/shop/backups/*",
      "arn:aws:s3:::copies/shop/backups/*",
    ]);
    assert.deepEqual(rights["ListStore"]?.Condition, { StringLike: { "s3:prefix": ["shop/*"] } });
    assert.equal(rights["UseKey"], undefined);
    assert.deepEqual(rights["LockWhatIsWritten"], {
      Sid: "LockWhatIsWritten",
      Effect: "Allow",
      Action: ["s3:PutObjectRetention"],
      Resource: ["arn:aws:s3:::copies/shop/*"],
    });
    assert.equal(rightsOf(dumps, "dumps-crm-task")["LockWhatIsWritten"], undefined);
    assert.ok(rightsOf(dumps, "dumps-crm-task")["UseKey"] !== undefined);
  });

  it("lets roles be assumed by their service for this account only", () => {
    const roles = dumps.registered.filter(({ type }) => type === "aws:iam/role:Role");
    assert.equal(roles.length, 5);
    for (const { Condition, Principal } of roles.flatMap(statementsOf)) {
      assert.deepEqual(Condition, { StringEquals: { "aws:SourceAccount": "111122223333" } });
      assert.match(JSON.stringify(Principal), /^\{"Service":"(ecs-tasks|states|scheduler)\.amazonaws\.com"\}$/);
    }
  });

  it("lets tasks out to HTTPS and their databases, and nobody in", () => {
    const { inputs } = byName(dumps, "aws:ec2/securityGroup:SecurityGroup", "dumps-tasks");
    assert.deepEqual(inputs["ingress"], []);
    const egress = inputs["egress"] as { fromPort: number; toPort: number }[];
    assert.deepEqual(
      egress.map(({ fromPort, toPort }) => [fromPort, toPort]),
      [
        [443, 443],
        [6543, 6543],
        [5432, 5432],
      ],
    );
  });

  it("has a state machine whose every state is reached and leads somewhere, inside the map too", () => {
    const machine = json<Machine>(
      byName(dumps, "aws:sfn/stateMachine:StateMachine", "dumps-machine").inputs["definition"],
    );
    assertSound(machine);
    const inner = machine.States["Each"]?.["ItemProcessor"] as Machine;
    assertSound(inner);
    assert.equal(machine.States["Each"]?.["MaxConcurrency"], 2);
    const dump = inner.States["Dump"]!;
    assert.equal(dump["Resource"], "arn:aws:states:::ecs:runTask.sync");
    assert.deepEqual(dump["Retry"], [
      { ErrorEquals: ["States.TaskFailed"], IntervalSeconds: 300, MaxAttempts: 2, BackoffRate: 2 },
    ]);
    assert.deepEqual(dump.Catch, [{ ErrorEquals: ["States.ALL"], ResultPath: "$.error", Next: "Failed" }]);
    assert.deepEqual(dump["Parameters"], {
      LaunchType: "FARGATE",
      Cluster: "arn:aws:ecs:eu-central-1:111122223333:dumps-cluster",
      "TaskDefinition.$": "$.taskDefinition",
      NetworkConfiguration: {
        AwsvpcConfiguration: {
          Subnets: ["subnet-own"],
          SecurityGroups: ["dumps-tasks-id"],
          AssignPublicIp: "DISABLED",
        },
      },
    });
    assert.equal(machine.States["Tell"]?.Next, "SomeFailed", "a dump that failed fails the execution, told or not");
    assert.deepEqual(
      machine.States["Tell"]?.Catch?.map(({ Next }) => Next),
      ["SomeFailed"],
    );
  });

  it("finds a broken state machine", () => {
    const sound = { StartAt: "A", States: { A: { Type: "Pass", Next: "B" }, B: { Type: "Succeed" } } };
    assertSound(sound);
    assert.throws(() => assertSound({ ...sound, StartAt: "C" }), /C/);
    assert.throws(
      () => assertSound({ ...sound, States: { ...sound.States, C: { Type: "Fail" } } }),
      /C is never reached/,
    );
    assert.throws(() => assertSound({ StartAt: "A", States: { A: { Type: "Pass" } } }), /A leads nowhere/);
  });

  it("keeps the log, encrypted, and takes what the protection of a database knows", async () => {
    const protection = await record("protectionWithSchedule");
    assert.deepEqual(protection.errors, []);
    const log = protection.get("database-dumps-log");
    assert.equal(log.inputs["retentionInDays"], 90);
    assert.equal(log.inputs["kmsKeyId"], "arn:aws:kms:eu-central-1:111122223333:database-dumps-key");
    assert.ok(log.retainOnDelete);
    const schedule = byName(protection, "aws:scheduler/schedule:Schedule", "database-dumps-schedule");
    assert.equal(schedule.inputs["scheduleExpression"], "cron(0 2 * * ? *)");
    assert.equal(schedule.inputs["scheduleExpressionTimezone"], "UTC");
    assert.deepEqual(schedule.inputs["flexibleTimeWindow"], { mode: "FLEXIBLE", maximumWindowInMinutes: 15 });
    const rights = rightsOf(protection, "database-dumps-database-task");
    assert.deepEqual(rights["UseKey"]?.Resource, ["arn:aws:kms:eu-central-1:111122223333:database-bucket-key"]);
    assert.deepEqual(rights["TagWhatMayExpire"]?.Resource, [
      "arn:aws:s3:::database-bucket-bucket-1a2b3c4/prod/backups/*",
    ]);
    const [container] = json<{ environment: { name: string; value: string }[] }[]>(
      protection.get("database-dumps-database").inputs["containerDefinitions"],
    );
    const store = container?.environment.find(({ name }) => name === "BACKUP_STORE")?.value;
    assert.match(store ?? "", /^s3:\/\/database-bucket-bucket-1a2b3c4\/prod\?lockMode=governance&lockDays=daily:7,/);
    const execution = rightsOf(protection, "database-dumps-execution");
    assert.equal(execution["EnterRegistry"], undefined, "another registry than AWS's needs no right there");
  });

  it("builds the image where none is given, and runs it by its digest", async () => {
    const built = await record("everythingInAws");
    const { inputs } = built.get("database-dumps-container-image");
    const repository = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/database-dumps-container-repository";
    assert.deepEqual(inputs["context"], { location: "." });
    assert.deepEqual(inputs["buildArgs"], {
      NODE_IMAGE: `node:24.21.0-bookworm-slim@sha256:${"0".repeat(64)}`,
      ...{ POSTGRES_MAJORS: "17", POSTGRES_EXTENSIONS: "pgvector cron" },
    });
    assert.deepEqual(
      [inputs["tags"], inputs["platforms"], inputs["push"], inputs["buildOnPreview"]],
      [[`${repository}:current`], ["linux/amd64"], true, false],
    );
    const [registry] = inputs["registries"] as { password: unknown }[];
    assert.ok(containsSecret(registry?.password));
    const [container] = json<{ image: string }[]>(built.get("database-dumps-database").inputs["containerDefinitions"]);
    assert.match(container?.image ?? "", /\/database-dumps-container-image@sha256:0{64}$/);
    assert.ok(
      !JSON.stringify(rightsOf(built, "database-dumps-execution")).includes("sha256"),
      "rights on its repository",
    );
    for (const resource of built.registered)
      if (resource.name !== "database-dumps-container-image")
        assert.ok(!JSON.stringify(resource.inputs).includes("spoken-token"), resource.name);
  });

  it("says in one line what cannot be", async () => {
    type Wrong = "dumpsIntoAFolder" | "dumpsWithoutDatabaseUrl" | "dumpsFromTwoImages" | "dumpsOfAnotherServer";
    const errors = async (name: Wrong) => (await record(name)).errors.join("\n");
    assert.match(
      await errors("dumpsIntoAFolder"),
      /dumps-crm: found a store that is not s3:\/\/bucket\/prefix: expected/,
    );
    assert.match(await errors("dumpsFromTwoImages"), /^dumps: found both image and build: expected one of the two/);
    assert.match(
      await errors("dumpsOfAnotherServer"),
      /^dumps-container: found the extension "pgvector; rm -rf \/": exp/,
    );
    assert.match(
      await errors("dumpsWithoutDatabaseUrl"),
      /^dumps: crm: found both or none of databaseUrl and databaseUrlS/,
    );
  });

  it("sizes a task by its database, within what Fargate has", () => {
    assert.deepEqual(taskSize(0.1), { cpu: 1024, memoryMebibytes: 2048, diskGibibytes: 21 });
    assert.deepEqual(taskSize(10), { cpu: 2048, memoryMebibytes: 4096, diskGibibytes: 40 });
    assert.equal(taskSize(90)?.diskGibibytes, 200);
    assert.equal(taskSize(91), undefined);
  });

  it("finds the buckets of an address", () => {
    assert.deepEqual(s3Places("s3://a/b/c?region=x optional:s3://d"), [
      { bucket: "a", prefix: "b/c", locked: false },
      { bucket: "d", prefix: "", locked: false },
    ]);
    assert.deepEqual(s3Places("s3://a/b?region=x&lockMode=compliance&lockDays=7"), [
      { bucket: "a", prefix: "b", locked: true },
    ]);
    assert.equal(s3Places("s3://a/b file:///c"), undefined);
  });
});

/** What the States Language demands of names and ends: every state is reached, and every way ends. */
function assertSound({ StartAt, States }: Machine): void {
  const reached = new Set<string>();
  const visit = (name: string): void => {
    if (reached.has(name)) return;
    reached.add(name);
    const state = States[name];
    assert.ok(state !== undefined, `no state ${name}`);
    const next = [
      state.Next,
      state.Default,
      ...[...(state.Choices ?? []), ...(state.Catch ?? [])].map(({ Next }) => Next),
    ];
    const following = next.filter((each) => each !== undefined);
    const ends = state.End === true || ["Succeed", "Fail"].includes(state.Type);
    assert.ok(ends !== following.length > 0, `${name} leads nowhere`);
    following.forEach(visit);
  };
  visit(StartAt);
  for (const name of Object.keys(States)) assert.ok(reached.has(name), `${name} is never reached`);
}
