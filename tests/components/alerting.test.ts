/** Who is told that dumps fail or stop: what each alarm watches, and that its message can get through. */
import assert from "node:assert/strict";
import { type Recording, type RegisteredResource, record } from "./record";

describe("components/alerting", function () {
  this.timeout(60_000);
  let alerts: Recording;
  const topic = "arn:aws:sns:eu-central-1:111122223333:database-dumps-alerts-topic";
  const machine = "arn:aws:sfn:eu-central-1:111122223333:database-dumps-machine";

  const typed = (type: string): RegisteredResource[] => alerts.registered.filter((each) => each.type.endsWith(type));
  const statements = (resource: RegisteredResource): Record<string, unknown>[] =>
    (JSON.parse(resource.inputs["policy"] as string) as { Statement: Record<string, unknown>[] }).Statement;

  before(async () => {
    alerts = await record("protectionWithAlerts");
    assert.deepEqual(alerts.errors, []);
  });

  it("alarms when no dump has succeeded for 26 hours, and when nothing is heard at all", () => {
    const { alarmDescription, ...inputs } = alerts.get("database-dumps-alarms-no-dump").inputs;
    assert.match(String(alarmDescription), /docs\/schedules\.md/);
    assert.deepEqual(inputs, {
      namespace: "AWS/States",
      metricName: "ExecutionsSucceeded",
      dimensions: { StateMachineArn: machine },
      statistic: "Sum",
      period: 3600,
      evaluationPeriods: 26,
      threshold: 1,
      comparisonOperator: "LessThanThreshold",
      treatMissingData: "breaching",
      alarmActions: [topic],
      okActions: [topic],
    });
  });

  it("alarms at every way in which a run can end but success, and returns one number", () => {
    const { inputs } = alerts.get("database-dumps-alarms-dump-failed");
    const queries = inputs["metricQueries"] as { id: string; returnData: boolean; metric?: { metricName: string } }[];
    assert.deepEqual(
      queries.flatMap(({ metric }) => metric?.metricName ?? []),
      ["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"],
    );
    assert.equal(queries.filter(({ returnData }) => returnData).length, 1);
    for (const { id } of queries) assert.match(id, /^[a-z][a-zA-Z0-9_]*$/, "what CloudWatch takes as an id");
    assert.equal(inputs["treatMissingData"], "notBreaching");
    assert.deepEqual(inputs["alarmActions"], [topic]);
  });

  it("has one alarm over all, for whoever is to be woken", () => {
    const [composite, ...others] = typed("CompositeAlarm");
    assert.deepEqual(others, []);
    assert.equal(
      composite?.inputs["alarmRule"],
      'ALARM("database-dumps-alarms-no-dump") OR ALARM("database-dumps-alarms-dump-failed")',
    );
    assert.deepEqual(composite?.inputs["alarmActions"], ["arn:aws:sns:eu-central-1:111122223333:pager"]);
    assert.equal(composite?.inputs["alarmName"], "someones-project-prod-database-dumps-alarms-unprotected");
  });

  it("lets CloudWatch publish, and use the topic's key, for this account only", () => {
    const [publish, tls] = statements(typed("TopicPolicy")[0]!);
    const account = { StringEquals: { "aws:SourceAccount": "111122223333" } };
    assert.deepEqual(publish, {
      Sid: "Alarms",
      Effect: "Allow",
      Principal: { Service: "cloudwatch.amazonaws.com" },
      Action: "sns:Publish",
      Resource: topic,
      Condition: account,
    });
    assert.equal(tls?.["Effect"], "Deny");
    const key = statements(alerts.get("database-dumps-alerts-key")).find(({ Sid }) => Sid === "Alarms");
    assert.deepEqual([key?.["Action"], key?.["Condition"]], [["kms:Decrypt", "kms:GenerateDataKey"], account]);
    assert.equal(
      alerts.get("database-dumps-alerts-topic").inputs["kmsMasterKeyId"] ??
        typed("topic:Topic")[0]?.inputs["kmsMasterKeyId"],
      "arn:aws:kms:eu-central-1:111122223333:database-dumps-alerts-key",
    );
  });

  it("subscribes everybody, and has the state machine tell them too", () => {
    assert.deepEqual(
      typed("TopicSubscription")
        .map(({ inputs }) => [inputs["protocol"], inputs["endpoint"]])
        .sort(),
      [
        ["email", "oncall@example.com"],
        ["https", "https://alerts.example/x"],
      ],
    );
    const definition = JSON.parse(typed("StateMachine")[0]?.inputs["definition"] as string) as {
      States: { Tell: { Parameters: { TopicArn: string } } };
    };
    assert.equal(definition.States.Tell.Parameters.TopicArn, topic);
  });

  it("shows the verdict before what led to it", () => {
    const body = JSON.parse(typed("Dashboard")[0]?.inputs["dashboardBody"] as string) as {
      widgets: { type: string; properties: { alarms?: string[] } }[];
    };
    assert.deepEqual(
      body.widgets.map(({ type }) => type),
      ["alarm", "metric", "metric"],
    );
    assert.equal(body.widgets[0]?.properties.alarms?.length, 3);
  });
});
