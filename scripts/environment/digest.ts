/**
 * What one root key is used for: keyed digests, by which equal values can be recognised without the value being stored and
 * without anybody testing a guess; the authentication of a stored snapshot; the sealing of its values.
 */
import { createHmac, hkdfSync } from "node:crypto";

/** HMAC-SHA256 cut to 128 bits (RFC 2104, section 5, allows half the length): 22 characters in a state diff. */
const digestBytes = 16;

export interface EnvironmentKeys {
  /** `d1:` and 22 characters of base64url: HMAC-SHA256 of name, NUL and value. The prefix names this algorithm. */
  digest(name: string, value: string): string;
  /** Authenticates a stored snapshot: 43 characters of base64url. */
  authenticate(text: string): string;
  /** 32 bytes that seal the values of the snapshot of this name, and of no other. */
  sealingKey(snapshot: string): Buffer;
  /** Says whether a snapshot was made with the same root key, whatever else may be wrong with it. */
  readonly keyCheck: string;
}

/**
 * By HKDF-SHA256 one key per use, so that no output of one use says anything about another.
 *
 * @param root 32 bytes.
 */
export function deriveKeys(root: Buffer): EnvironmentKeys {
  const digestKey = useKey(root, "digest");
  const authenticationKey = useKey(root, "authentication");
  return {
    digest: (name, value) =>
      `d1:${hmac(digestKey, `${name}\0${value}`).subarray(0, digestBytes).toString("base64url")}`,
    authenticate: (text) => hmac(authenticationKey, text).toString("base64url"),
    sealingKey: (snapshot) => useKey(root, "sealing", snapshot),
    keyCheck: useKey(root, "key-check").toString("base64url"),
  };
}

function useKey(root: Buffer, use: string, salt = ""): Buffer {
  return Buffer.from(hkdfSync("sha256", root, salt, `dbprotect/environment/${use}/v1`, 32));
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text, "utf8").digest();
}
