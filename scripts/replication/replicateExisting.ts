/**
 * Copies to a bucket's second location what was in it before S3 began to copy: one job of S3 Batch Replication, which no
 * resource of a provider stands for. Asking again asks for the same job.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Refusal, UsageError } from "../contract/failure";
import { askAws, awsBounds, awsFailure } from "../platforms/awsRequest";
import { backupsPrefix } from "../store/layout";
import type { Store } from "../store/store";

const replicationJobSchema = z.strictObject({
  /** Twelve digits. */
  account: z.string().regex(/^\d{12}$/),
  /** ARN of the bucket that is copied. */
  source: z.string().startsWith("arn:"),
  /** ARN of the bucket that gets the copies; of the job it is only part of the token: the rules know where to copy. */
  destination: z.string().startsWith("arn:"),
  /** ARN of the role that S3 Batch Operations takes. */
  role: z.string().startsWith("arn:"),
});

export type ReplicationJob = z.infer<typeof replicationJobSchema>;

/** @throws UsageError where `DBPROTECT_REPLICATION` is no such document. */
export function readReplicationJob(env: NodeJS.ProcessEnv = process.env): ReplicationJob {
  const text = env["DBPROTECT_REPLICATION"] ?? "";
  try {
    return replicationJobSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new UsageError("DBPROTECT_REPLICATION: expected JSON with account, source, destination and role", {
      hint: "the component BucketReplication writes it; by hand, store:sync copies what is missing",
      cause: error,
    });
  }
}

export interface StartedJob {
  /** Null: there was nothing to copy. */
  readonly id: string | null;
  readonly status: string;
}

export interface ReplicateOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
  /** Seconds that the job may take to begin; it goes on by itself after that. Default 600. */
  readonly patienceSeconds?: number;
  /** Milliseconds between two questions. Default 5000. */
  readonly pauseMilliseconds?: number;
  /** Milliseconds that S3 has for each answer. Default: `awsMilliseconds`. */
  readonly answerMilliseconds?: number;
}

/**
 * Starts the job and waits until S3 has found the objects and begun, not until it has copied them.
 *
 * @param store the first location.
 * @throws Refusal when the job fails; Unavailable when S3 cannot be asked.
 */
export async function replicateExisting(
  store: Store,
  job: ReplicationJob,
  { signal, onProgress, patienceSeconds = 600, pauseMilliseconds = 5000, answerMilliseconds }: ReplicateOptions = {},
): Promise<StartedJob> {
  // S3 fails a job that finds no object.
  if ((await store.list(backupsPrefix)).length === 0) return { id: null, status: "nothing to copy" };
  const sdk = await import("@aws-sdk/client-s3-control");
  const endpoint = process.env["AWS_ENDPOINT_URL_S3_CONTROL"];
  // The SDK puts the account's number before the host, also of an endpoint of one's own, which has no such names.
  const own = endpoint ? { endpointProvider: () => ({ url: new URL(endpoint) }), disableHostPrefix: true } : {};
  const client = new sdk.S3ControlClient({ ...awsBounds, ...own });
  const patience = { milliseconds: answerMilliseconds, signal };
  try {
    const create = new sdk.CreateJobCommand({
      AccountId: job.account,
      ClientRequestToken: createHash("sha256").update(`${job.source} ${job.destination}`).digest("hex"),
      Description: "What was there before replication began",
      Operation: { S3ReplicateObject: {} },
      ManifestGenerator: {
        S3JobManifestGenerator: {
          ...{ ExpectedBucketOwner: job.account, SourceBucket: job.source, EnableManifestOutput: false },
          Filter: { EligibleForReplication: true, ObjectReplicationStatuses: ["NONE", "FAILED"] },
        },
      },
      // store:compare names what is missing in the second location; a report would be one more thing to keep.
      Report: { Enabled: false },
      ...{ Priority: 10, RoleArn: job.role, ConfirmationRequired: false },
    });
    const created = await askAws((options) => client.send(create, options), patience);
    const id = created.JobId ?? "";
    const deadline = performance.now() + patienceSeconds * 1000;
    for (;;) {
      const describe = new sdk.DescribeJobCommand({ AccountId: job.account, JobId: id });
      const { Job } = await askAws((options) => client.send(describe, options), patience);
      const status = Job?.Status ?? "unknown";
      onProgress?.(`job ${id}: ${status}`);
      if (["Active", "Completing", "Complete"].includes(status)) return { id, status };
      if (["Failed", "Failing", "Cancelled", "Cancelling", "Suspended", "Paused"].includes(status)) {
        const why = Job?.FailureReasons?.map(({ FailureReason }) => FailureReason).join("; ") ?? "no reason given";
        throw new Refusal(`the job ${id} that copies existing objects is ${status}: ${why}`, {
          hint: "store:sync copies what the second location lacks",
        });
      }
      if (performance.now() > deadline) return { id, status };
      await sleep(pauseMilliseconds, undefined, signal === undefined ? {} : { signal });
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof Refusal) throw error;
    const hint = "it needs s3:CreateJob, s3:DescribeJob, iam:PassRole for the job's role, AWS_REGION and credentials";
    throw awsFailure(error, "S3 does not start the job that copies existing objects", hint);
  } finally {
    client.destroy();
  }
}
