/** Keyed digests: stable, bound to name, passphrase and salt. */
import assert from "node:assert/strict";
import { UsageError } from "../../../scripts/contract/failure";
import { deriveKeys, readPassphrase } from "../../../scripts/environment/digest";

const salt = Buffer.from("0123456789abcdef");

describe("environment digests", () => {
  it("is the same for the same passphrase, salt, name and value, and only then", async () => {
    const keys = await deriveKeys("correct horse", salt);
    const again = await deriveKeys("correct horse", salt);
    const otherPassphrase = await deriveKeys("correct horsf", salt);
    const otherSalt = await deriveKeys("correct horse", Buffer.from("0123456789abcdeF"));
    const digest = keys.digest("A", "value");
    assert.match(digest, /^d1:[A-Za-z0-9_-]{22}$/);
    assert.equal(again.digest("A", "value"), digest);
    assert.equal(again.keyCheck, keys.keyCheck);
    for (const other of [otherPassphrase, otherSalt]) {
      assert.notEqual(other.digest("A", "value"), digest);
      assert.notEqual(other.keyCheck, keys.keyCheck);
      assert.notEqual(other.authenticate("text"), keys.authenticate("text"));
    }
    assert.notEqual(keys.digest("B", "value"), digest);
    assert.notEqual(keys.digest("A", "Value"), digest);
    assert.notEqual(keys.digest("AB", "C"), keys.digest("A", "BC"));
  });

  it("has not changed since schemaVersion 1", async () => {
    // Computed independently: Python's hashlib.scrypt (n=65536, r=8, p=1), HKDF by RFC 5869, hmac.
    const keys = await deriveKeys("correct horse", salt);
    assert.equal(keys.digest("SUPABASE_URL", "https://a.supabase.co"), "d1:pRRHJdszkq4-zVHvRfEhEQ");
  });

  it("names the missing passphrase", () => {
    for (const env of [{}, { BACKUP_PASSPHRASE: "" }]) {
      assert.throws(
        () => readPassphrase(env),
        (error) => error instanceof UsageError && /^BACKUP_PASSPHRASE: /.test(error.message),
      );
    }
  });
});
