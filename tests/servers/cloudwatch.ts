/**
 * A stand-in for CloudWatch's PutMetricData as the SDK speaks it (AWS JSON 1.0, gzip where it is worth it): refuses what the
 * service's documentation does not allow, and keeps what it took.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { z } from "zod";

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
  const server = createServer((request, response) => {
    void (async () => {
      const raw = await buffer(request);
      const refuse = (type: string, message: string): void => {
        response
          .writeHead(400, { "content-type": "application/x-amz-json-1.0", "x-amzn-query-error": `${type};Sender` })
          .end(JSON.stringify({ __type: `com.amazonaws.cloudwatch#${type}`, message }));
      };
      const { authorization = "", "x-amz-target": target, "content-encoding": encoding } = request.headers;
      if (!/^AWS4-HMAC-SHA256 Credential=test\/\d{8}\/eu-central-1\/monitoring\/aws4_request,/.test(authorization))
        return refuse("AccessDeniedException", "not signed for this service and region");
      if (target !== "GraniteServiceVersion20100801.PutMetricData")
        return refuse("UnknownOperationException", String(target));
      const body = requestSchema.safeParse(JSON.parse(String(encoding === "gzip" ? gunzipSync(raw) : raw)));
      if (!body.success) return refuse("InvalidParameterValueException", z.prettifyError(body.error));
      requests.push(body.data);
      response.writeHead(200, { "content-type": "application/x-amz-json-1.0" }).end("{}");
    })();
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    requests,
    env: {
      AWS_ENDPOINT_URL_CLOUDWATCH: url,
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
