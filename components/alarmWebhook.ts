/**
 * Alarms in a channel of Slack, or of whatever takes the same webhook: EventBridge hears of every change of an alarm and
 * posts it. Not a subscription of the topic: SNS posts only to who confirms it, which a webhook of Slack cannot.
 */
import * as cloudwatch from "@pulumi/aws/cloudwatch";
import * as iam from "@pulumi/aws/iam";
import * as pulumi from "@pulumi/pulumi";
import { policy, trust } from "./dumpPolicies";
import { placeOf } from "./encryptionKey";

export interface AlarmWebhookArgs {
  /** `https://hooks.slack.com/services/…`: whoever knows it can post, so it is a secret. */
  readonly url: pulumi.Input<string>;
  /** What the names of the alarms begin with. */
  readonly alarmPrefix: string;
}

/** @param opts `parent` decides account and region. */
export function alarmWebhook(
  name: string,
  { url, alarmPrefix }: AlarmWebhookArgs,
  opts: pulumi.CustomResourceOptions & { readonly parent: pulumi.Resource },
): void {
  const place = placeOf(opts.parent);
  const connection = new cloudwatch.EventConnection(
    name,
    {
      description: "The webhook's address is its own key; EventBridge wants one besides",
      authorizationType: "API_KEY",
      authParameters: { apiKey: { key: "X-Alarms-Of", value: alarmPrefix } },
    },
    opts,
  );
  const destination = new cloudwatch.EventApiDestination(
    name,
    {
      connectionArn: connection.arn,
      invocationEndpoint: pulumi.secret(url),
      httpMethod: "POST",
      // What Slack takes of one webhook.
      invocationRateLimitPerSecond: 1,
    },
    opts,
  );
  const destinationArn = pulumi.unsecret(destination.arn);
  const role = new iam.Role(
    name,
    { assumeRolePolicy: pulumi.jsonStringify(place.apply(({ account }) => trust("events.amazonaws.com", account))) },
    opts,
  );
  const rights = new iam.RolePolicy(
    name,
    {
      role: role.name,
      policy: pulumi.jsonStringify(
        destinationArn.apply((arn) =>
          policy({ Sid: "Post", Effect: "Allow", Action: ["events:InvokeApiDestination"], Resource: arn }),
        ),
      ),
    },
    opts,
  );
  const rule = new cloudwatch.EventRule(
    name,
    {
      description: `Changes of the alarms ${alarmPrefix}…`,
      eventPattern: JSON.stringify({
        source: ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        detail: {
          alarmName: [{ prefix: alarmPrefix }],
          // That something is well is news only where it was not.
          $or: [{ state: { value: ["ALARM"] } }, { state: { value: ["OK"] }, previousState: { value: ["ALARM"] } }],
        },
      }),
    },
    opts,
  );
  new cloudwatch.EventTarget(
    name,
    {
      rule: rule.name,
      arn: destinationArn,
      roleArn: role.arn,
      inputTransformer: {
        inputPaths: {
          alarm: "$.detail.alarmName",
          state: "$.detail.state.value",
          what: "$.detail.configuration.description",
        },
        inputTemplate: '{"text": "<state>: <alarm>: <what>"}',
      },
    },
    { ...opts, dependsOn: [rights] },
  );
}
