/** Keys and digests: stable, bound to name, passphrase and salt. */
import assert from "node:assert/strict";
import { UsageError } from "../../../scripts/contract/failure";
import { Keyring, type RootKeys, readPassphrase } from "../../../scripts/environment/keyring";

const salt = "0123456789abcdef";

describe("environment digests", () => {
  function keysOf(passphrase: string, ofSalt = salt): Promise<RootKeys> {
    const identity = {
      ...{ schemaVersion: 1 as const, salt: Buffer.from(ofSalt).toString("base64"), createdAt: "" },
      database: { systemIdentifier: "1", name: "crm" },
    };
    const keyring = new Keyring(identity, { BACKUP_PASSPHRASE: passphrase });
    return keyring.open(keyring.ofPassphrase);
  }

  it("is the same for the same passphrase, salt, name and value, and only then", async () => {
    const keys = await keysOf("correct horse");
    const again = await keysOf("correct horse");
    const otherPassphrase = await keysOf("correct horsf");
    const otherSalt = await keysOf("correct horse", "0123456789abcdeF");
    const digest = keys.digest("A", "value");
    assert.match(digest, /^d1:[A-Za-z0-9_-]{22}$/);
    assert.equal(again.digest("A", "value"), digest);
    assert.equal(again.keyCheck, keys.keyCheck);
    assert.deepEqual(again.sealingKey("one"), keys.sealingKey("one"));
    assert.notDeepEqual(again.sealingKey("one"), keys.sealingKey("two"));
    for (const other of [otherPassphrase, otherSalt]) {
      assert.notEqual(other.digest("A", "value"), digest);
      assert.notEqual(other.keyCheck, keys.keyCheck);
      assert.notEqual(other.authenticate("text"), keys.authenticate("text"));
      assert.notDeepEqual(other.sealingKey("one"), keys.sealingKey("one"));
    }
    assert.notEqual(keys.digest("B", "value"), digest);
    assert.notEqual(keys.digest("A", "Value"), digest);
    assert.notEqual(keys.digest("AB", "C"), keys.digest("A", "BC"));
  });

  it("has not changed since schemaVersion 1", async () => {
    // Computed independently: Python's hashlib.scrypt (n=65536, r=8, p=1), HKDF by RFC 5869, hmac.
    const keys = await keysOf("correct horse");
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
