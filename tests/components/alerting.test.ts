/** Who is told that dumps fail or stop: what each alarm watches, and that its message can get through. */
import assert from "node:assert/strict";
import { type SignalGroup, metricName, signalDefinitions, signalNames, thresholdsOf } from "../../scripts/thresholds";
import { containsSecret, unwrapSecrets } from "../../scripts/rehearsal/engine/wire";
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
      name: "someones-project-prod-database-dumps-alarms-no-dump",
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
    const waking = [
      ...["no-dump", "dump-failed", "up-critical", "failed-verifications-critical", "connections-critical"],
      ...["disk-critical", "wraparound-critical", "replica-lag-critical", "slots-lost-critical"],
      ...["replica-follows-critical", "replica-seconds-critical", "replica-slot-room-critical", "backup-age-critical"],
    ].map((name) => `ALARM("database-dumps-alarms-${name}")`);
    assert.equal(composite?.inputs["alarmRule"], waking.join(" OR "));
    assert.deepEqual(composite?.inputs["alarmActions"], ["arn:aws:sns:eu-central-1:111122223333:pager"]);
    assert.equal(composite?.inputs["alarmName"], "someones-project-prod-database-dumps-alarms-unprotected");
  });

  it("lets CloudWatch publish, and use the topic's key, for this account only", () => {
    const [publish, tls] = statements(typed("TopicPolicy")[0]!);
    const account = { StringEquals: { "aws:SourceAccount": "111122223333" } };
    assert.deepEqual(publish, {
      Sid: "Alarms",
      Effect: "Allow",
      Principal: { Service: ["cloudwatch.amazonaws.com", "s3.amazonaws.com"] },
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
    const [machineOfDumps] = typed("StateMachine").filter(({ name }) => name === "database-dumps-machine");
    const definition = JSON.parse(machineOfDumps?.inputs["definition"] as string) as {
      States: { Tell: { Parameters: { TopicArn: string } } };
    };
    assert.equal(definition.States.Tell.Parameters.TopicArn, topic);
  });

  it("watches every threshold of every signal by what db:health emits: 3 of 5, missing data only where it tells", () => {
    const signals = typed("metricAlarm:MetricAlarm").filter(
      ({ inputs }) => inputs["namespace"] === "DatabaseProtection",
    );
    const expected = signalNames.flatMap((signal) =>
      (["warn", "critical"] as const).flatMap((level) => {
        const { bad, [level]: threshold } = thresholdsOf(signal, { drillAge: { warn: 35 }, growth: { warn: null } });
        const above = bad === "above";
        return threshold === null ? [] : [[metricName(signal), threshold, above ? "Maximum" : "Minimum", above]];
      }),
    );
    const watched = signals.map(({ inputs }) => [
      inputs["metricName"],
      inputs["threshold"],
      inputs["statistic"],
      inputs["comparisonOperator"] === "GreaterThanOrEqualToThreshold",
    ]);
    assert.deepEqual(watched.map(String).sort(), expected.map(String).sort());
    assert.ok(watched.map(String).includes("DrillAge,35,Maximum,true"), "the stack's own thresholds count");
    assert.ok(!watched.map(String).some((alarm) => alarm.startsWith("Growth")), "null takes an alarm away");
    for (const { name, inputs } of signals) {
      assert.deepEqual([inputs["period"], inputs["evaluationPeriods"], inputs["datapointsToAlarm"]], [300, 5, 3], name);
      assert.deepEqual(inputs["dimensions"], { Project: "someones-project", Environment: "prod" });
      assert.deepEqual([inputs["alarmActions"], inputs["okActions"]], [[topic], [topic]]);
      const heartbeat = ["Up", "BackupAge"].includes(String(inputs["metricName"]));
      assert.equal(inputs["treatMissingData"], heartbeat ? "breaching" : "missing", name);
    }
    for (const { inputs } of typed("metricAlarm:MetricAlarm"))
      assert.match(String(inputs["name"]), /^someones-project-prod-/, "another stack's alarm would be replaced");
  });

  it("reads health every five minutes, with rights to look, and none to be told of a failure twice", () => {
    const schedule = alerts.get("database-dumps-health-schedule").inputs;
    const rates = typed("schedule:Schedule").map(({ inputs }) => inputs["scheduleExpression"]);
    assert.ok(rates.includes("rate(5 minutes)"), JSON.stringify(schedule));
    const machines = typed("StateMachine").map(({ inputs }) => inputs["definition"] as string);
    const check = machines.find((definition) => definition.includes('"Check"')) ?? "";
    assert.ok(!check.includes("Retry") && !check.includes("sns:publish"));
    const task = typed("taskDefinition:TaskDefinition").find(({ name }) => name.includes("health"));
    const [container] = JSON.parse(String(task?.inputs["containerDefinitions"])) as {
      command: string[];
      environment: { name: string; value: string }[];
      secrets: { name: string }[];
    }[];
    assert.equal(container?.command[2], "dbprotect db:health --open-incident || [ $? -eq 1 ] || [ $? -eq 3 ]");
    const variables = Object.fromEntries((container?.environment ?? []).map(({ name, value }) => [name, value]));
    assert.equal(variables["DBPROTECT_STACK"], "someones-project/prod");
    assert.equal(variables["SUPABASE_PROJECT_REF"], "abcdefghijklmnopqrst");
    assert.deepEqual(
      container?.secrets.map(({ name }) => name),
      ["DATABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"],
    );
    const rights = alerts.registered.find(
      ({ type, name }) => type.endsWith("RolePolicy") && name === "database-dumps-health-database-task",
    )!;
    const writing = statements(rights).filter(({ Action }) => JSON.stringify(Action).includes("Put"));
    assert.deepEqual(
      writing.map(({ Action, Resource }) => [Action, Resource]),
      [
        [
          ["s3:PutObject"],
          ["arn:aws:s3:::existing/prod/control/health.json", "arn:aws:s3:::existing/prod/incidents/*"],
        ],
      ],
    );
    for (const { Action, Resource } of statements(rights))
      assert.ok(!JSON.stringify([Action, Resource]).includes('"*"'), JSON.stringify(Action));
  });

  it("posts every change of this stack's alarms to a channel, and keeps its address secret", async () => {
    const { registered, errors } = await record("alarmsInAChannel");
    assert.deepEqual(errors, []);
    const inputsOf = (type: string): Readonly<Record<string, unknown>> =>
      registered.find((each) => each.type.endsWith(type))!.inputs;
    const destination = inputsOf("eventApiDestination:EventApiDestination");
    assert.ok(containsSecret(destination["invocationEndpoint"]));
    assert.equal(
      unwrapSecrets(destination["invocationEndpoint"]),
      "https://hooks.slack.com/services/T0/B0/spoken-friend",
    );
    const pattern = JSON.parse(String(inputsOf("eventRule:EventRule")["eventPattern"])) as {
      detail: { alarmName: { prefix: string }[]; $or: object[] };
    };
    assert.deepEqual(pattern.detail.$or, [
      { state: { value: ["ALARM"] } },
      { state: { value: ["OK"] }, previousState: { value: ["ALARM"] } },
    ]);
    const [{ prefix } = { prefix: "" }] = pattern.detail.alarmName;
    const names = registered
      .map(({ inputs }) => inputs["alarmName"] ?? inputs["name"])
      .filter((each): each is string => typeof each === "string");
    assert.equal(names.length, 3);
    for (const each of names) assert.ok(each.startsWith(prefix), each);
    const { inputTransformer } = inputsOf("eventTarget:EventTarget") as {
      inputTransformer: { inputTemplate: string; inputPaths: Record<string, string> };
    };
    const filled = inputTransformer.inputTemplate.replace(/<(\w+)>/g, (_, path: string) => {
      assert.ok(inputTransformer.inputPaths[path]?.startsWith("$.detail."), path);
      return "x";
    });
    assert.deepEqual(JSON.parse(filled), { text: "x: x: x" });
    // In JSON a placeholder is put in as it is: what people wrote into it must need no escaping.
    for (const { inputs } of registered)
      assert.ok(!/["\\]/.test((inputs["alarmDescription"] as string | undefined) ?? ""));
  });

  it("shows the verdict before what led to it", () => {
    const body = JSON.parse(typed("Dashboard")[0]?.inputs["dashboardBody"] as string) as {
      widgets: {
        type: string;
        width: number;
        height: number;
        properties: { alarms?: string[]; title?: string; markdown?: string };
      }[];
    };
    const charts = (group: SignalGroup): string[] =>
      signalNames
        .map((signal) => signalDefinitions[signal])
        .filter((signal) => signal.group === group)
        .map(({ title, unit }) => `metric ${unit === "" ? title : `${title}, ${unit}`}`);
    assert.deepEqual(
      body.widgets.map(({ type, properties: { title, markdown } }) =>
        type === "text" ? markdown : `${type} ${title}`,
      ),
      [
        ...["alarm Verdict", "alarm Signals", ...charts("verdict"), "## Traffic, errors, latency", ...charts("golden")],
        ...["## Saturation", ...charts("saturation"), "## Backups", ...charts("backup")],
        ...["metric Scheduled dumps", "metric Milliseconds of a run"],
      ],
    );
    assert.equal(body.widgets[0]?.properties.alarms?.length, 3);
    assert.ok(body.widgets.every(({ width, height }) => width >= 1 && width <= 24 && height >= 1));
  });
});
