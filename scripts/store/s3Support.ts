/**
 * What an S3 server supports, found out by trying: what its documentation says, and what it answers with 200, proves
 * nothing. Recorded in the store itself, so that only the first run pays for it.
 */
import { z } from "zod";
import { Unavailable, UsageError } from "../contract/failure";
import { encodeDocument } from "./documents";
import { s3ProbeKey, s3SupportKey } from "./layout";
import type { S3Connection } from "./s3Connection";
import type { Encryption, WriteCondition } from "./s3Writes";
import { isAbsent, isConditionRefused, isTransient, nameOf, statusOf } from "./s3Failure";

const probeBody = Buffer.from("Written to prove that this S3 server honours conditional writes.\n");

/** Days after which a record counts no longer: servers are upgraded, and versioning can be suspended. */
const recordDays = 30;

export const s3SupportSchema = z.object({
  schemaVersion: z.literal(1),
  /** Of the server that was tried: a bucket that was copied to another one has the record of the first. */
  host: z.string(),
  at: z.iso.datetime(),
  /** Whether `If-None-Match: *` keeps an object from being replaced by a plain write. */
  writeOnce: z.boolean(),
  /** The same for a completed upload. */
  completeOnce: z.boolean(),
  /** Whether `If-Match` keeps an object of another version from being replaced. */
  swap: z.boolean(),
  multipart: z.boolean(),
  /** `unknown` where these credentials may not ask. */
  versioning: z.enum(["enabled", "suspended", "off", "unknown"]),
  objectLock: z.enum(["enabled", "off", "unknown"]),
});

export type S3Support = z.infer<typeof s3SupportSchema>;

/**
 * The store's record, or a new one where there is none that counts.
 *
 * @param demand `conditions`: nothing is written to a server that ignores one of the three conditions, for two runs
 *   could overwrite each other's objects there. `nothing`: whoever asks has another store that decides.
 * @param encryption what every write asks for; a bucket's policy may refuse others.
 * @throws UsageError naming the condition that the server ignores; the failure of a request.
 */
export async function s3Support(
  connection: S3Connection,
  demand: "conditions" | "nothing",
  encryption: Encryption,
): Promise<S3Support> {
  const recorded = await readRecord(connection);
  const known = recorded?.support;
  if (known !== undefined && (demand === "nothing" || (known.writeOnce && known.completeOnce && known.swap)))
    return known;
  const support = await probe(connection, demand, encryption);
  await record(connection, support, recorded?.version, encryption);
  return support;
}

/** The record with the version that replacing it must name; without `support` where it does not count. */
async function readRecord(
  connection: S3Connection,
): Promise<{ support: S3Support | undefined; version: string } | undefined> {
  try {
    return await connection.send(async ({ sdk, client }) => {
      const answer = await client.send(new sdk.GetObjectCommand(connection.at(s3SupportKey)));
      const text = (await answer.Body?.transformToString()) ?? "";
      return { support: countingRecord(text, connection.host), version: answer.ETag ?? "" };
    });
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw connection.failure(error);
  }
}

/** Undefined for one of another server, too old, or damaged: it is only a memory of what can be tried again. */
function countingRecord(text: string, host: string): S3Support | undefined {
  try {
    const support = s3SupportSchema.parse(JSON.parse(text));
    const days = (Date.now() - Date.parse(support.at)) / 86_400_000;
    return support.host === host && days >= 0 && days < recordDays ? support : undefined;
  } catch {
    return undefined;
  }
}

async function record(
  connection: S3Connection,
  support: S3Support,
  replaced: string | undefined,
  encryption: Encryption,
): Promise<void> {
  const condition = replaced === undefined ? { IfNoneMatch: "*" } : { IfMatch: replaced };
  try {
    await connection.send(({ sdk, client }) =>
      client.send(
        new sdk.PutObjectCommand({
          ...connection.at(s3SupportKey),
          Body: encodeDocument(support),
          ...encryption,
          ...(support.writeOnce && support.swap && condition),
        }),
      ),
    );
  } catch (error) {
    // Somebody else who found out the same was faster.
    if (!isConditionRefused(error) && !isAbsent(error)) throw connection.failure(error);
  }
}

async function probe(
  connection: S3Connection,
  demand: "conditions" | "nothing",
  encryption: Encryption,
): Promise<S3Support> {
  const insist = (supported: boolean, condition: string): boolean => {
    if (supported || demand === "nothing") return supported;
    throw new UsageError(
      `store ${connection.url}: ${connection.host} ignores ${condition}, so two runs could overwrite each other's objects`,
      {
        hint: "use AWS S3 or another server that honours conditional writes, or a file:// store; this one can be an additional store",
      },
    );
  };
  const once = { IfNoneMatch: "*" };
  const object = { ...connection.at(s3ProbeKey), ...encryption };
  const refuses = (condition: WriteCondition): Promise<boolean> =>
    isRefused(connection, ({ sdk, client }) =>
      client.send(new sdk.PutObjectCommand({ ...object, Body: probeBody, ...condition })),
    ).catch((error: unknown) => {
      throw connection.failure(error);
    });
  // The first probe of a store writes the object; only the second can be refused.
  const refusedOnce = (await refuses(once)) || (await refuses(once));
  // Refused now, the server honours it, and one of the two before was taken and not kept.
  if (!refusedOnce && (await refuses(once)))
    throw new Unavailable(`store ${connection.url}: ${connection.host} took an object and did not keep it`, {
      hint: "run again; if it happens again, do not trust this server with backups",
    });
  const writeOnce = insist(refusedOnce, "If-None-Match");
  const swap = insist(await refuses({ IfMatch: '"00000000000000000000000000000000"' }), "If-Match");
  const completeOnce = await probeUpload(connection, encryption);
  insist(completeOnce === true, "If-None-Match on CompleteMultipartUpload");
  return {
    schemaVersion: 1,
    host: connection.host,
    at: new Date().toISOString(),
    writeOnce,
    completeOnce: completeOnce === true,
    swap,
    multipart: completeOnce !== undefined,
    versioning: await readVersioning(connection),
    objectLock: await readObjectLock(connection),
  };
}

/** How often an upload is tried that another run, which found it unfinished, takes back meanwhile. */
const uploadAttempts = 3;

/** Some servers honour the condition of a plain write but not of a completed upload. Undefined: there are no uploads. */
async function probeUpload(connection: S3Connection, encryption: Encryption): Promise<boolean | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryUpload(connection, encryption);
    } catch (error) {
      if (nameOf(error) === "NoSuchUpload" && attempt < uploadAttempts) continue;
      if (statusOf(error) === 501) return undefined;
      throw connection.failure(error);
    }
  }
}

/** @throws the SDK's error. */
async function tryUpload(connection: S3Connection, encryption: Encryption): Promise<boolean> {
  const object = connection.at(s3ProbeKey);
  const { UploadId } = await connection.send(({ sdk, client }) =>
    client.send(new sdk.CreateMultipartUploadCommand({ ...object, ...encryption })),
  );
  const upload = { ...object, UploadId };
  try {
    const { ETag } = await connection.send(({ sdk, client }) =>
      client.send(new sdk.UploadPartCommand({ ...upload, PartNumber: 1, Body: probeBody })),
    );
    const whole = { MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] } };
    return await isRefused(connection, ({ sdk, client }) =>
      client.send(new sdk.CompleteMultipartUploadCommand({ ...upload, ...whole, IfNoneMatch: "*" })),
    );
  } finally {
    await connection
      .send(({ sdk, client }) => client.send(new sdk.AbortMultipartUploadCommand(upload)))
      .catch(() => undefined);
  }
}

/** @throws the SDK's error, when it is another one than a refusal. */
async function isRefused(connection: S3Connection, write: Parameters<S3Connection["send"]>[0]): Promise<boolean> {
  try {
    await connection.send(write);
    return false;
  } catch (error) {
    // 404: what `If-Match` names is not there. 501: the server says itself that it can't.
    if (isConditionRefused(error) || isAbsent(error)) return true;
    if (statusOf(error) === 501) return false;
    throw error;
  }
}

async function readVersioning(connection: S3Connection): Promise<S3Support["versioning"]> {
  try {
    const { Status } = await connection.send(({ sdk, client }) =>
      client.send(new sdk.GetBucketVersioningCommand({ Bucket: connection.bucket })),
    );
    return Status === "Enabled" ? "enabled" : Status === "Suspended" ? "suspended" : "off";
  } catch (error) {
    return unknownUnlessBroken(connection, error);
  }
}

export async function readObjectLock(connection: S3Connection): Promise<S3Support["objectLock"]> {
  try {
    const { ObjectLockConfiguration } = await connection.send(({ sdk, client }) =>
      client.send(new sdk.GetObjectLockConfigurationCommand({ Bucket: connection.bucket })),
    );
    return ObjectLockConfiguration?.ObjectLockEnabled === "Enabled" ? "enabled" : "off";
  } catch (error) {
    if (nameOf(error) === "ObjectLockConfigurationNotFoundError") return "off";
    return unknownUnlessBroken(connection, error);
  }
}

/** Asking needs rights of its own, and no server must know these requests: only a broken connection is a failure. */
function unknownUnlessBroken(connection: S3Connection, error: unknown): "unknown" {
  if (statusOf(error) !== undefined && !isTransient(error)) return "unknown";
  throw connection.failure(error);
}
