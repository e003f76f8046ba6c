/**
 * The state machine of the scheduled tasks, executed: what one failing database does to the others, what is repeated, what
 * is told. An interpreter of the States Language runs it; only ECS and SNS are fakes, which look at what they are sent.
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { StateMachine } from "aws-local-stepfunctions";
import { type StateMachineFacts, taskStateMachine } from "../../components/taskStateMachine";

/** The package has no types. */
const aslValidator = createRequire(__filename)("asl-validator") as (machine: object) => {
  readonly isValid: boolean;
  errorsText(): string;
};

const region = "eu-central-1:111122223333";
const names = ["crm", "shop", "wiki"] as const;
const facts: StateMachineFacts = {
  tasks: names.map((name) => ({ name, taskDefinition: `arn:aws:ecs:${region}:task-definition/dumps-${name}:3` })),
  cluster: `arn:aws:ecs:${region}:cluster/dumps`,
  topic: `arn:aws:sns:${region}:alarms`,
  subnets: ["subnet-1"],
  securityGroup: "sg-1",
  assignPublicIp: false,
  concurrency: 2,
  timeoutSeconds: 21_600,
};

/** What ECS ends a task with that did not exit 0, as `runTask.sync` reports it. */
class TaskFailed extends Error {
  override readonly name = "States.TaskFailed";
}

interface World {
  /** How a try of this database's task ends; undefined: well. */
  readonly ends: (database: string, attempt: number) => Error | undefined;
  /** Database whose task never ends. */
  readonly hangs?: string;
  readonly publish?: (attempt: number) => Error | undefined;
}

interface Execution {
  /** Name of the error, or null: it succeeded. */
  readonly failure: string | null;
  /** Of each database, in the order in which they were started. */
  readonly started: readonly string[];
  readonly mostAtOnce: number;
  readonly messages: readonly { readonly TopicArn: string; readonly Subject: string; readonly Message: string }[];
}

async function execute(world: World, given: Partial<StateMachineFacts> = {}): Promise<Execution> {
  const definition = taskStateMachine("dump", { ...facts, ...given });
  const started: string[] = [];
  const messages: Execution["messages"][number][] = [];
  let [running, mostAtOnce, publications] = [0, 0, 0];
  const runTask = async (sent: unknown): Promise<object> => {
    const { LaunchType, Cluster, TaskDefinition } = sent as Record<string, string>;
    assert.deepEqual([LaunchType, Cluster], ["FARGATE", facts.cluster]);
    const task =
      facts.tasks.find(({ taskDefinition }) => taskDefinition === TaskDefinition) ?? assert.fail(TaskDefinition);
    started.push(task.name);
    mostAtOnce = Math.max(mostAtOnce, ++running);
    if (world.hangs === task.name) return new Promise(() => undefined);
    // Where one hangs, the others must not be waiting for the event loop when its time is up.
    if (world.hangs === undefined) await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    const error = world.ends(task.name, started.filter((name) => name === task.name).length);
    if (error !== undefined) throw error;
    return { Containers: [{ ExitCode: 0 }] };
  };
  const publish = (sent: unknown): object => {
    const error = world.publish?.(++publications);
    if (error !== undefined) throw error;
    messages.push(sent as Execution["messages"][number]);
    return { MessageId: "1" };
  };
  const run = new StateMachine(definition as ConstructorParameters<typeof StateMachine>[0]).run(
    { version: "0", "detail-type": "Scheduled Event" },
    {
      overrides: {
        taskResourceLocalHandlers: { Dump: runTask as never, Tell: publish as never },
        retryIntervalOverrides: { Dump: 0, Tell: 0 },
      },
    },
  );
  await run.result.catch(() => undefined);
  let failure: string | null = null;
  for await (const event of run.eventLogs) if (event.type === "ExecutionFailed") failure = event.Error;
  return { failure, started, mostAtOnce, messages };
}

const always = (name: string) => (database: string) =>
  database === name ? new TaskFailed("Essential container in task exited") : undefined;

describe("components/taskStateMachine", () => {
  it("dumps every database, no more at once than allowed, and tells nobody when all is well", async () => {
    const execution = await execute({ ends: () => undefined });
    assert.equal(execution.failure, null);
    assert.deepEqual([...execution.started].sort(), [...names]);
    assert.equal(execution.mostAtOnce, facts.concurrency);
    assert.deepEqual(execution.messages, []);
  });

  it("goes on with the others when one fails, tells which of how many, and fails at the end", async () => {
    const { failure, started, messages } = await execute({ ends: always("crm") });
    assert.equal(failure, "DumpFailed");
    assert.deepEqual(
      [...started].sort(),
      ["crm", "crm", "crm", "shop", "wiki"],
      "twice more, and each of the others once",
    );
    assert.equal(messages.length, 1);
    const [{ TopicArn, Subject, Message }] = messages as [Execution["messages"][number]];
    assert.equal(TopicArn, facts.topic);
    assert.equal(Subject, "A scheduled dump failed");
    const [, failed, total, list = ""] = /^(\d+) of (\d+) scheduled dumps failed: (.*)$/.exec(Message) ?? [];
    assert.deepEqual([failed, total], ["1", "3"]);
    assert.deepEqual(JSON.parse(list), [{ name: "crm", outcome: "failed", error: "States.TaskFailed" }]);
  });

  it("tells of all that failed, in the order of the databases", async () => {
    const { failure, messages } = await execute({ ends: () => new TaskFailed("exited") });
    assert.equal(failure, "DumpFailed");
    assert.match(messages[0]!.Message, /^3 of 3 .*"crm".*"shop".*"wiki"/);
  });

  it("repeats a dump that failed, and is content when the repetition succeeds", async () => {
    const ends = (database: string, attempt: number) =>
      database === "shop" && attempt < 3 ? new TaskFailed("the lease is held") : undefined;
    const { failure, started, messages } = await execute({ ends });
    assert.equal(failure, null);
    assert.equal(started.filter((name) => name === "shop").length, 3);
    assert.deepEqual(messages, []);
  });

  it("does not repeat a dump that took too long: it failed, and the others go on", async () => {
    const { failure, started, messages } = await execute(
      { ends: () => undefined, hangs: "wiki" },
      { timeoutSeconds: 1, concurrency: 3 },
    );
    assert.equal(failure, "DumpFailed");
    assert.deepEqual([...started].sort(), [...names]);
    assert.match(messages[0]!.Message, /"error":"States.Timeout"/);
  });

  it("repeats telling, and fails all the same when nobody can be told", async () => {
    const lost = new Error("InternalError");
    const once = await execute({ ends: always("crm"), publish: (attempt) => (attempt === 1 ? lost : undefined) });
    assert.deepEqual([once.failure, once.messages.length], ["DumpFailed", 1]);
    const never = await execute({ ends: always("crm"), publish: () => lost });
    assert.deepEqual([never.failure, never.messages.length], ["DumpFailed", 0]);
  });

  it("fails without a topic too", async () => {
    const { failure, messages } = await execute({ ends: always("crm") }, { topic: null });
    assert.deepEqual([failure, messages.length], ["DumpFailed", 0]);
  });

  it("is what the States Language allows, for dumps and for drills; each malformed twin is not", () => {
    for (const kind of ["dump", "drill"] as const)
      for (const topic of [facts.topic, null]) {
        const { isValid, errorsText } = aslValidator(taskStateMachine(kind, { ...facts, topic }));
        assert.ok(isValid, errorsText());
      }
    const twins: Record<string, (machine: any) => void> = {
      "a state that is not there": ({ States }) => (States.Each.Next = "Nowhere"),
      "a start that is not there": (machine) => (machine.StartAt = "Nowhere"),
      "a state that is never reached": ({ States }) => (States.Lost = { Type: "Succeed" }),
      "a state that leads nowhere": ({ States }) => delete States.Summary.Next,
      "a type that does not exist": ({ States }) => (States.Done.Type = "Done"),
      "a task without a resource": ({ States }) => delete States.Each.ItemProcessor.States.Dump.Resource,
      "a retry of nothing": ({ States }) => delete States.Each.ItemProcessor.States.Dump.Retry[0].ErrorEquals,
      "a catch that leads out of the map": ({ States }) =>
        (States.Each.ItemProcessor.States.Dump.Catch[0].Next = "Summary"),
      "a path that is none": ({ States }) => (States.Each.ItemsPath = "$.[databases"),
      "a choice without a next state": ({ States }) => delete States.AllDumped.Choices[0].Next,
      "a map without a processor": ({ States }) => delete States.Each.ItemProcessor,
    };
    for (const [what, spoil] of Object.entries(twins)) {
      const machine = structuredClone(taskStateMachine("dump", facts));
      spoil(machine);
      assert.equal(aslValidator(machine).isValid, false, what);
    }
  });
});
