/**
 * The state machine of scheduled tasks, in Amazon States Language: every database's task is run, repeated when it
 * fails, and none stops the others; what failed in the end is told in one message, and fails the execution.
 */

/** What the tasks do: in the states' names and in messages. */
export type TaskKind = "dump" | "drill" | "check";

export interface StateTask {
  /** For people: in the message about what failed. */
  readonly name: string;
  readonly taskDefinition: string;
}

export interface StateMachineFacts {
  readonly tasks: readonly StateTask[];
  readonly cluster: string;
  /** ARN of the topic that is told what failed; null: nobody is told. */
  readonly topic: string | null;
  readonly subnets: readonly string[];
  readonly securityGroup: string;
  readonly assignPublicIp: boolean;
  /** Tasks that run at the same time. */
  readonly concurrency: number;
  /** Seconds after which a task is stopped and counts as failed. */
  readonly timeoutSeconds: number;
}

/** Seconds before a failed task is tried again, doubled each time: a lease or a lock that is held is given back meanwhile. */
const retry = { IntervalSeconds: 300, MaxAttempts: 2, BackoffRate: 2 };

/** By the time that a check could be tried again, the next one runs. */
const retries: Readonly<Record<TaskKind, object>> = {
  dump: { Retry: [{ ErrorEquals: ["States.TaskFailed"], ...retry }] },
  drill: { Retry: [{ ErrorEquals: ["States.TaskFailed"], ...retry }] },
  check: {},
};

export function taskStateMachine(kind: TaskKind, facts: StateMachineFacts): object {
  const { topic } = facts;
  const [verb, done] = [capitalised(kind), `All${capitalised(kind)}ed`];
  return {
    Comment: `${verb}s every database, and tells which of them failed`,
    StartAt: "Databases",
    States: {
      Databases: { Type: "Pass", Result: facts.tasks, ResultPath: "$.databases", Next: "Each" },
      Each: {
        Type: "Map",
        ItemsPath: "$.databases",
        MaxConcurrency: facts.concurrency,
        ItemProcessor: { ProcessorConfig: { Mode: "INLINE" }, StartAt: verb, States: itemStates(kind, facts) },
        ResultPath: "$.results",
        Next: "Summary",
      },
      Summary: {
        Type: "Pass",
        Parameters: {
          "someFailed.$": "States.ArrayContains($.results[*].outcome, 'failed')",
          "results.$": "$.results",
        },
        Next: done,
      },
      [done]: {
        Type: "Choice",
        Choices: [{ Variable: "$.someFailed", BooleanEquals: true, Next: topic === null ? "SomeFailed" : "Failures" }],
        Default: "Done",
      },
      ...(topic === null ? {} : tell(kind, topic)),
      SomeFailed: { Type: "Fail", Error: `${verb}Failed`, Cause: `a scheduled ${kind} failed: see the tasks' log` },
      Done: { Type: "Succeed" },
    },
  };
}

/** A task that ends with another exit code than 0 fails the state, which the schedule's own retries would not see. */
function itemStates(kind: TaskKind, facts: StateMachineFacts): object {
  const done = `${capitalised(kind)}ed`;
  return {
    [capitalised(kind)]: {
      Type: "Task",
      Resource: "arn:aws:states:::ecs:runTask.sync",
      Parameters: {
        LaunchType: "FARGATE",
        Cluster: facts.cluster,
        "TaskDefinition.$": "$.taskDefinition",
        NetworkConfiguration: {
          AwsvpcConfiguration: {
            Subnets: facts.subnets,
            SecurityGroups: [facts.securityGroup],
            AssignPublicIp: facts.assignPublicIp ? "ENABLED" : "DISABLED",
          },
        },
      },
      TimeoutSeconds: facts.timeoutSeconds,
      ...retries[kind],
      Catch: [{ ErrorEquals: ["States.ALL"], ResultPath: "$.error", Next: "Failed" }],
      // The task's description would take the place of the database's name.
      ResultPath: null,
      Next: done,
    },
    [done]: { Type: "Pass", Parameters: { "name.$": "$.name", outcome: `${kind}ed` }, End: true },
    // Not the cause: it holds the whole description of the task.
    Failed: {
      Type: "Pass",
      Parameters: { "name.$": "$.name", outcome: "failed", "error.$": "$.error.Error" },
      End: true,
    },
  };
}

function capitalised(kind: TaskKind): string {
  return kind.charAt(0).toUpperCase() + kind.slice(1);
}

function tell(kind: TaskKind, topic: string): object {
  return {
    // Only here: a filter that finds nothing is an error to some interpreters of the language.
    Failures: {
      Type: "Pass",
      Parameters: {
        "failed.$": "$.results[?(@.outcome == 'failed')]",
        "total.$": "States.ArrayLength($.results)",
      },
      Next: "Tell",
    },
    Tell: {
      Type: "Task",
      Resource: "arn:aws:states:::sns:publish",
      Parameters: {
        TopicArn: topic,
        Subject: `A scheduled ${kind} failed`,
        "Message.$": `States.Format('{} of {} scheduled ${kind}s failed: {}', States.ArrayLength($.failed), $.total, States.JsonToString($.failed))`,
      },
      Retry: [{ ErrorEquals: ["States.ALL"], IntervalSeconds: 10, MaxAttempts: 5, BackoffRate: 2 }],
      // That nobody could be told must not make the execution look as if nobody had to be.
      Catch: [{ ErrorEquals: ["States.ALL"], ResultPath: "$.untold", Next: "SomeFailed" }],
      ResultPath: null,
      Next: "SomeFailed",
    },
  };
}
