/**
 * Keyed digests of variables: equal values can be recognised without the value being stored, and nobody
 * without the passphrase can test a guess against a digest.
 */
import { createHmac, hkdfSync, scrypt } from "node:crypto";
import { UsageError } from "../contract/failure";
import { registerSecret } from "../contract/redaction";

/**
 * scrypt's cost: 64 MiB and 0.15 to 0.3 s here. It runs several times in every `pulumi up` (preview, gate,
 * provider), so it is one step below the 2^17 that OWASP's password storage cheat sheet gives for r = 8,
 * p = 1. Part of the snapshot's schemaVersion: other numbers give other digests.
 */
const cost = { N: 2 ** 16, r: 8, p: 1, maxmem: 2 ** 27 };

/** HMAC-SHA256 cut to 128 bits (RFC 2104, section 5, allows half the length): 22 characters in a state diff. */
const digestBytes = 16;

export interface EnvironmentKeys {
  /** `d1:` and 22 characters of base64url: HMAC-SHA256 of name, NUL and value. The prefix names this algorithm. */
  digest(name: string, value: string): string;
  /** Authenticates a stored snapshot: 43 characters of base64url. */
  authenticate(text: string): string;
  /** Says whether a snapshot was made with the same passphrase, whatever else may be wrong with it. */
  readonly keyCheck: string;
}

/** The passphrase that seals snapshots and keys their digests. */
export function readPassphrase(env: NodeJS.ProcessEnv): string {
  const passphrase = env["BACKUP_PASSPHRASE"];
  if (passphrase === undefined || passphrase === "") {
    throw new UsageError("BACKUP_PASSPHRASE: found nothing: expected the passphrase of this store", {
      hint: "export BACKUP_PASSPHRASE, or put it into the stack's secret config",
    });
  }
  registerSecret(passphrase);
  return passphrase;
}

/**
 * One root key by scrypt, and from it by HKDF-SHA256 one key per use, so that no output of one use says
 * anything about another.
 *
 * @param salt the store's own, from its `store.json`.
 */
export async function deriveKeys(passphrase: string, salt: Buffer): Promise<EnvironmentKeys> {
  const root = await rootKey(passphrase, salt);
  const digestKey = useKey(root, "digest");
  const authenticationKey = useKey(root, "authentication");
  return {
    digest: (name, value) =>
      `d1:${hmac(digestKey, `${name}\0${value}`).subarray(0, digestBytes).toString("base64url")}`,
    authenticate: (text) => hmac(authenticationKey, text).toString("base64url"),
    keyCheck: useKey(root, "key-check").toString("base64url"),
  };
}

function rootKey(passphrase: string, salt: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, 32, cost, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}

function useKey(root: Buffer, use: string): Buffer {
  return Buffer.from(hkdfSync("sha256", root, "", `dbprotect/environment/${use}/v1`, 32));
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text, "utf8").digest();
}
