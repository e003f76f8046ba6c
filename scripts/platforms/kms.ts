/**
 * Data keys of AWS KMS: a key that encrypts here, and the same key wrapped, which KMS alone opens again. The encryption
 * context is authenticated with it, shown in CloudTrail, and what a policy can tell uses apart by.
 */
import type { KMSClient as Client } from "@aws-sdk/client-kms";
import { Refusal, Unavailable, UsageError } from "../contract/failure";
import { type AwsPatience, type AwsRequestOptions, askAws, awsBounds, awsFailure } from "./awsRequest";

/** Names and values that are not secret: CloudTrail shows them in the clear. */
export type EncryptionContext = Readonly<Record<string, string>>;

export interface DataKey {
  /** 32 bytes. */
  readonly plain: Buffer;
  /** What KMS takes to give it again, base64. */
  readonly wrapped: string;
}

/** KMS does not know this wrapped key, or not in this context: it was changed, or belongs to something else. */
export class ForeignDataKey extends Error {}

const keyArnPattern = /^arn:(?:aws|aws-cn|aws-us-gov):kms:([a-z0-9-]+):\d{12}:key\/[A-Za-z0-9-]{1,64}$/;

/** Whether it is the ARN of one key; an alias could point elsewhere tomorrow. */
export function isKeyArn(text: string): boolean {
  return keyArnPattern.test(text);
}

/** @throws UsageError for a key that cannot be used; Refusal without the right; Unavailable when KMS does not answer. */
export async function generateDataKey(
  keyArn: string,
  context: EncryptionContext,
  patience?: AwsPatience,
): Promise<DataKey> {
  const { GenerateDataKeyCommand } = await import("@aws-sdk/client-kms");
  const command = new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: "AES_256", EncryptionContext: { ...context } });
  const { Plaintext, CiphertextBlob } = await ask(keyArn, "kms:GenerateDataKey", patience, (client, options) =>
    client.send(command, options),
  );
  if (CiphertextBlob === undefined || CiphertextBlob.length === 0) throw unknownForm(keyArn);
  return { plain: keyOf(keyArn, Plaintext), wrapped: Buffer.from(CiphertextBlob).toString("base64") };
}

/** The key of 32 bytes that was wrapped. @throws as `generateDataKey`; ForeignDataKey. */
export async function openDataKey(
  keyArn: string,
  wrapped: string,
  context: EncryptionContext,
  patience?: AwsPatience,
): Promise<Buffer> {
  const { DecryptCommand } = await import("@aws-sdk/client-kms");
  const command = new DecryptCommand({
    KeyId: keyArn,
    CiphertextBlob: Buffer.from(wrapped, "base64"),
    EncryptionContext: { ...context },
  });
  const { Plaintext } = await ask(keyArn, "kms:Decrypt", patience, (client, options) => client.send(command, options));
  return keyOf(keyArn, Plaintext);
}

async function ask<T>(
  keyArn: string,
  right: string,
  patience: AwsPatience | undefined,
  request: (client: Client, options: AwsRequestOptions) => Promise<T>,
): Promise<T> {
  const [, region = ""] = keyArnPattern.exec(keyArn) ?? [];
  const { KMSClient } = await import("@aws-sdk/client-kms");
  const client = new KMSClient({ ...awsBounds, region });
  try {
    return await askAws((options) => request(client, options), patience);
  } catch (error) {
    patience?.signal?.throwIfAborted();
    throw failureOf(error, keyArn, region, right);
  } finally {
    client.destroy();
  }
}

/** Errors of API_GenerateDataKey and API_Decrypt. */
function failureOf(error: unknown, keyArn: string, region: string, right: string): Error {
  switch (error instanceof Error ? error.name : "") {
    case "AccessDeniedException":
      return new Refusal(`${keyArn}: KMS refuses ${right}`, {
        hint: `give these credentials ${right} on the key, in the key's policy or their own`,
      });
    case "InvalidCiphertextException":
    case "IncorrectKeyException":
      return new ForeignDataKey("KMS does not know this data key");
    case "NotFoundException":
    case "InvalidArnException":
      return new UsageError(`${keyArn}: KMS in ${region} has no such key`, { hint: "correct BACKUP_KMS_KEY" });
    case "DisabledException":
    case "KMSInvalidStateException":
      return new UsageError(`${keyArn}: the key is disabled, or about to be deleted: expected one that can be used`, {
        hint: "enable it, or cancel its deletion (aws kms cancel-key-deletion), and run again",
      });
    case "InvalidKeyUsageException":
      return new UsageError(`${keyArn}: expected a symmetric key for encryption`, { hint: "correct BACKUP_KMS_KEY" });
    default:
      return awsFailure(error, `KMS in ${region}`, "check credentials and the network, and run again");
  }
}

function keyOf(keyArn: string, plain: Uint8Array | undefined): Buffer {
  if (plain?.length !== 32) throw unknownForm(keyArn);
  return Buffer.from(plain);
}

function unknownForm(keyArn: string): Unavailable {
  return new Unavailable(`${keyArn}: KMS answered without a data key of 32 bytes`);
}
