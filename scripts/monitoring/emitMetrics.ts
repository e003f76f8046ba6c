/**
 * Numbers for CloudWatch: inside ECS a line of its embedded metric format on stderr, which the log driver carries there
 * without any right of ours; elsewhere, where it is asked for, PutMetricData.
 */
import { UsageError } from "../contract/failure";
import { redact } from "../contract/redaction";
import { type AwsPatience, askAws, awsBounds, awsFailure } from "../platforms/awsRequest";
import { metricDimensions, metricNamespace } from "../thresholds";

/** CloudWatch's units, as far as they are used: docs, API_MetricDatum. */
export type MetricUnit = "None" | "Percent" | "Seconds" | "Bytes" | "Count";

export interface Metric {
  readonly name: string;
  readonly unit: MetricUnit;
  readonly value: number;
}

const metricModes = ["auto", "cloudwatch", "none"] as const;

type Place = "emf" | "cloudwatch";

/**
 * Where metrics go: `DBPROTECT_METRICS`; by default to the log inside ECS, which sets `ECS_CONTAINER_METADATA_URI_V4`, and
 * nowhere elsewhere.
 *
 * @throws UsageError for another value.
 */
function placeOf(env: NodeJS.ProcessEnv): Place | undefined {
  const text = env["DBPROTECT_METRICS"] || "auto";
  const mode = metricModes.find((known) => known === text);
  if (mode === undefined)
    throw new UsageError(`DBPROTECT_METRICS: found ${JSON.stringify(text)}: expected one of ${metricModes.join(", ")}`);
  if (mode === "none") return undefined;
  if (env["ECS_CONTAINER_METADATA_URI_V4"]) return "emf";
  return mode === "cloudwatch" ? "cloudwatch" : undefined;
}

/**
 * @param at by our own clock: CloudWatch refuses what is two weeks old or two hours ahead.
 * @param write takes the line of the embedded metric format. Default: stderr.
 * @throws UsageError when nobody said whose metrics they are. @throws Unavailable when CloudWatch does not take them.
 */
export async function emitMetrics(
  metrics: readonly Metric[],
  at: Date,
  env: NodeJS.ProcessEnv = process.env,
  write: (line: string) => void = (line) => void process.stderr.write(`${line}\n`),
  patience: AwsPatience = {},
): Promise<void> {
  const place = placeOf(env);
  if (place === undefined || metrics.length === 0) return;
  const stack = env["DBPROTECT_STACK"];
  if (stack === undefined || !/^[^/]+\/[^/]+$/.test(stack))
    throw new UsageError(`DBPROTECT_STACK: found ${JSON.stringify(stack ?? "")}: expected project/environment`, {
      hint: "metrics are told apart by it",
    });
  if (place === "emf") write(redact(embeddedLine(metrics, at, stack)));
  else await putMetricData(metrics, at, stack, patience);
}

/** One document: docs, CloudWatch_Embedded_Metric_Format_Specification; at most 100 metrics in it. */
function embeddedLine(metrics: readonly Metric[], at: Date, stack: string): string {
  const dimensions = metricDimensions(stack);
  return JSON.stringify({
    _aws: {
      Timestamp: at.getTime(),
      CloudWatchMetrics: [
        {
          Namespace: metricNamespace,
          Dimensions: [Object.keys(dimensions)],
          Metrics: metrics.map(({ name, unit }) => ({ Name: name, Unit: unit })),
        },
      ],
    },
    ...dimensions,
    ...Object.fromEntries(metrics.map(({ name, value }) => [name, value])),
  });
}

async function putMetricData(
  metrics: readonly Metric[],
  at: Date,
  stack: string,
  patience: AwsPatience,
): Promise<void> {
  // Only who sends metrics waits for the SDK to load.
  const { CloudWatchClient, PutMetricDataCommand } = await import("@aws-sdk/client-cloudwatch");
  const client = new CloudWatchClient(awsBounds);
  const dimensions = Object.entries(metricDimensions(stack)).map(([Name, Value]) => ({ Name, Value }));
  const command = new PutMetricDataCommand({
    Namespace: metricNamespace,
    MetricData: metrics.map(({ name, unit, value }) => ({
      MetricName: name,
      Unit: unit,
      Value: value,
      Timestamp: at,
      Dimensions: dimensions,
    })),
  });
  try {
    await askAws((options) => client.send(command, options), patience);
  } catch (error) {
    patience.signal?.throwIfAborted();
    const hint = "it needs cloudwatch:PutMetricData, AWS_REGION and credentials";
    throw awsFailure(error, "CloudWatch does not take the metrics", hint);
  } finally {
    client.destroy();
  }
}
