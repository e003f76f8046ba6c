/**
 * A stand-in for CloudWatch's PutMetricData as the SDK speaks it (AWS JSON 1.0, gzip where it is worth it): refuses what the
 * service's documentation does not allow, and keeps what it took.
 */
import { z } from "zod";
import { AwsRefusal, awsCredentials, startAwsFake } from "./awsFake";

const hour = 3_600_000;

/** API_PutMetricData, API_MetricDatum, API_Dimension. */
const requestSchema = z.strictObject({
  Namespace: z
    .string()
    .regex(/^[^:].{0,254}$/)
    .refine((name) => !name.startsWith("AWS/"), "AWS/ is AWS's own"),
  MetricData: z
    .array(
      z.strictObject({
        MetricName: z.string().min(1).max(255),
        Unit: z.enum(["None", "Percent", "Seconds", "Milliseconds", "Bytes", "Count"]),
        Value: z
          .number()
          .refine((value) => value === 0 || (Math.abs(value) >= 8.51592e-109 && Math.abs(value) <= 1.174271e108)),
        /** Unix seconds: no older than two weeks, at most two hours ahead. */
        Timestamp: z.number().refine((seconds) => {
          const age = Date.now() - seconds * 1000;
          return age < 14 * 24 * hour && age > -2 * hour;
        }),
        Dimensions: z
          .array(z.strictObject({ Name: z.string().min(1).max(255), Value: z.string().min(1).max(1024) }))
          .max(30),
      }),
    )
    .min(1)
    .max(1000),
});

export type PutMetricDataRequest = z.infer<typeof requestSchema>;

export interface CloudWatchFake {
  readonly requests: readonly PutMetricDataRequest[];
  /** What leads the SDK here. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export async function startCloudWatch(): Promise<CloudWatchFake> {
  const requests: PutMetricDataRequest[] = [];
  const server = await startAwsFake({
    service: "monitoring",
    namespace: "com.amazonaws.cloudwatch",
    contentType: "application/x-amz-json-1.0",
    answer: (target, body) => {
      if (target !== "GraniteServiceVersion20100801.PutMetricData")
        throw new AwsRefusal("UnknownOperationException", target);
      const request = requestSchema.safeParse(body);
      if (!request.success) throw new AwsRefusal("InvalidParameterValueException", z.prettifyError(request.error));
      requests.push(request.data);
      return {};
    },
  });
  return {
    requests,
    env: { ...awsCredentials, AWS_ENDPOINT_URL_CLOUDWATCH: server.url },
    close: () => server.close(),
  };
}
