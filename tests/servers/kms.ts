/**
 * A stand-in for AWS KMS as the SDK speaks it (AWS JSON 1.1): GenerateDataKey and Decrypt of symmetric keys, which really
 * wrap. Refuses what the service's documentation does not allow, in its words.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { z } from "zod";
import { AwsRefusal, awsCredentials, awsRegion, startAwsFake } from "./awsFake";

/** API_GenerateDataKey, API_Decrypt: at most 8 KiB of context, 6,144 bytes of ciphertext. */
const context = z.record(z.string().min(1), z.string()).refine((pairs) => JSON.stringify(pairs).length <= 8192);
const generateSchema = z.strictObject({
  KeyId: z.string().min(1).max(2048),
  KeySpec: z.literal("AES_256"),
  EncryptionContext: context.optional(),
});
const decryptSchema = z.strictObject({
  KeyId: z.string().min(1).max(2048),
  CiphertextBlob: z.base64().refine((text) => text.length > 0 && Buffer.from(text, "base64").length <= 6144),
  EncryptionContext: context.optional(),
});

export interface KmsKey {
  readonly arn: string;
  state: "Enabled" | "Disabled" | "PendingDeletion";
  /** Actions that its policy refuses these credentials. */
  readonly refused: Set<string>;
}

export interface KmsCall {
  readonly action: string;
  readonly keyArn: string;
  readonly context: Readonly<Record<string, string>>;
}

export interface KmsFake {
  readonly calls: KmsCall[];
  /** What leads the SDK here. */
  readonly env: Readonly<Record<string, string>>;
  createKey(): KmsKey;
  /** The next requests fail with this error of KMS's. */
  fail(type: string, times: number): void;
  close(): Promise<void>;
}

export async function startKms(): Promise<KmsFake> {
  const keys = new Map<string, { readonly key: KmsKey; readonly material: Buffer }>();
  const calls: KmsCall[] = [];
  let failing: { readonly type: string; times: number } | undefined;

  function use(action: string, keyArn: string, pairs: Readonly<Record<string, string>> = {}): Buffer {
    calls.push({ action, keyArn, context: pairs });
    if (failing !== undefined && failing.times-- > 0) throw new AwsRefusal(failing.type, "planned", 500);
    const found = keys.get(keyArn);
    if (found === undefined) throw new AwsRefusal("NotFoundException", `Key '${keyArn}' does not exist`);
    if (found.key.refused.has(action))
      throw new AwsRefusal("AccessDeniedException", `User is not authorized to perform: kms:${action}`);
    if (found.key.state === "Disabled") throw new AwsRefusal("DisabledException", `${keyArn} is disabled.`);
    if (found.key.state === "PendingDeletion")
      throw new AwsRefusal("KMSInvalidStateException", `${keyArn} is pending deletion.`);
    return found.material;
  }

  /** The same pairs in any order are the same context. */
  const canonical = (pairs: Readonly<Record<string, string>> = {}): Buffer =>
    Buffer.from(JSON.stringify(Object.entries(pairs).sort(([a], [b]) => (a < b ? -1 : 1))));

  function parse<T>(schema: z.ZodType<T>, body: unknown): T {
    const parsed = schema.safeParse(body);
    if (!parsed.success) throw new AwsRefusal("ValidationException", z.prettifyError(parsed.error));
    return parsed.data;
  }

  const server = await startAwsFake({
    service: "kms",
    namespace: "com.amazonaws.kms",
    contentType: "application/x-amz-json-1.1",
    answer: (target, body) => {
      if (target === "TrentService.GenerateDataKey") {
        const { KeyId, EncryptionContext } = parse(generateSchema, body);
        const material = use("GenerateDataKey", KeyId, EncryptionContext);
        const plain = randomBytes(32);
        const nonce = randomBytes(12);
        const cipher = createCipheriv("aes-256-gcm", material, nonce).setAAD(canonical(EncryptionContext));
        const wrapped = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
        return { KeyId, Plaintext: plain.toString("base64"), CiphertextBlob: wrapped.toString("base64") };
      }
      if (target !== "TrentService.Decrypt") throw new AwsRefusal("UnknownOperationException", target);
      const { KeyId, CiphertextBlob, EncryptionContext } = parse(decryptSchema, body);
      const material = use("Decrypt", KeyId, EncryptionContext);
      const wrapped = Buffer.from(CiphertextBlob, "base64");
      try {
        const decipher = createDecipheriv("aes-256-gcm", material, wrapped.subarray(0, 12));
        decipher.setAAD(canonical(EncryptionContext)).setAuthTag(wrapped.subarray(-16));
        const plain = Buffer.concat([decipher.update(wrapped.subarray(12, -16)), decipher.final()]);
        return { KeyId, Plaintext: plain.toString("base64"), EncryptionAlgorithm: "SYMMETRIC_DEFAULT" };
      } catch {
        // Also for another context: KMS does not say which.
        throw new AwsRefusal("InvalidCiphertextException", "");
      }
    },
  });
  return {
    calls,
    env: { ...awsCredentials, AWS_ENDPOINT_URL_KMS: server.url },
    createKey: () => {
      const id = [8, 4, 4, 4, 12].map((digits) => randomBytes(digits / 2).toString("hex")).join("-");
      const arn = `arn:aws:kms:${awsRegion}:111122223333:key/${id}`;
      const key: KmsKey = { arn, state: "Enabled", refused: new Set() };
      keys.set(arn, { key, material: randomBytes(32) });
      return key;
    },
    fail: (type, times) => {
      failing = { type, times };
    },
    close: () => server.close(),
  };
}
