/**
 * AES-256-GCM over a snapshot's values. The snapshot's name and time are authenticated with them, so that values moved into
 * another snapshot, or under another time, do not open.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { z } from "zod";

const algorithm = "AES-256-GCM";

/** NIST SP 800-38D: 96 bits of nonce, 128 of tag. */
const nonceBytes = 12;
const tagBytes = 16;

/** All base64. */
export const sealedSchema = z.object({
  algorithm: z.literal(algorithm),
  nonce: z.base64(),
  ciphertext: z.base64(),
  tag: z.base64(),
});

export type Sealed = z.infer<typeof sealedSchema>;

/** What the values belong to. */
export interface SealedFor {
  /** Of the snapshot. */
  readonly name: string;
  /** ISO date-time. */
  readonly acceptedAt: string;
}

/** @param key 32 bytes, of this snapshot only. */
export function seal(key: Buffer, what: SealedFor, text: string): Sealed {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(additionalData(what));
  const ciphertext = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]).toString("base64");
  return { algorithm, nonce: nonce.toString("base64"), ciphertext, tag: cipher.getAuthTag().toString("base64") };
}

/** @throws Error when any of it was changed, or it was sealed for something else. */
export function open(key: Buffer, what: SealedFor, { nonce, ciphertext, tag }: Sealed): string {
  const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(nonce, "base64"), { authTagLength: tagBytes });
  decipher.setAAD(additionalData(what));
  decipher.setAuthTag(Buffer.from(tag, "base64"));
  return Buffer.concat([decipher.update(Buffer.from(ciphertext, "base64")), decipher.final()]).toString("utf8");
}

function additionalData({ name, acceptedAt }: SealedFor): Buffer {
  return Buffer.from(`${name}\n${acceptedAt}`, "utf8");
}
