/** Secrets of the environment in everything that is printed: masked whatever wrote them; the rest stays readable. */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { redact, registerEnvironmentSecrets, withoutCredentials } from "../../../scripts/contract/redaction";

describe("redaction", () => {
  const masked = (env: NodeJS.ProcessEnv, text: string): string => {
    registerEnvironmentSecrets(env);
    return redact(text);
  };

  it("masks known variables and those whose names say secret", () => {
    const names = [
      ...["BACKUP_PASSPHRASE", "RAILWAY_TOKEN", "RAILWAY_API_TOKEN", "VERCEL_TOKEN", "SUPABASE_ACCESS_TOKEN"],
      ...["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD", "SUPABASE_SERVICE_ROLE_KEY", "JWT_SECRET"],
      ...["STRIPE_APIKEY", "smtp_password", "SIGNING_KEYS_OLD"],
    ];
    for (const name of names) {
      assert.equal(masked({ [name]: `value/of+${name}` }, `it is value/of+${name}!`), "it is [redacted]!", name);
    }
  });

  it("masks passwords inside the URLs of variables, as written and decoded", () => {
    for (const name of ["DATABASE_URL_PROD", "SCRATCH_DATABASE_URL", "APP_URL", "FRONTEND_URL", "HTTPS_PROXY"]) {
      const env = { [name]: `https://user:pass%20${name}@host/path` };
      assert.equal(masked(env, `pass%20${name} or pass ${name} at host`), "[redacted] or [redacted] at host", name);
    }
  });

  it("masks any password inside a URL, but not the word in an example of one", () => {
    assert.equal(redact("postgres://u:password@h/d"), "postgres://u:[redacted]@h/d");
    const example = "postgres://<user>:<password>@<host>:5432/<database>";
    assert.equal(redact(example), example);
    assert.equal(redact("postgres://u:<password>x@h/d"), "postgres://u:[redacted]@h/d");
  });

  it("masks a secret inside JSON, inside a URL, and line by line", () => {
    registerEnvironmentSecrets({ A_KEY: 'with "quotes" & more', PRIVATE_KEY: "--BEGIN--\nMIIEvQIBADANBg\n--END--\n" });
    assert.equal(redact(JSON.stringify({ a: 'with "quotes" & more' })), '{"a":"[redacted]"}');
    assert.equal(redact(`x=${encodeURIComponent('with "quotes" & more')}`), "x=[redacted]");
    assert.equal(redact("line: MIIEvQIBADANBg"), "line: [redacted]");
  });

  it("leaves alone what is short, a number, a file or merely sounds alike", () => {
    const file = join(mkdtempSync(join(tmpdir(), "dbprotect-redaction-")), "id_ed25519");
    writeFileSync(file, "");
    const values = { SORT_KEY: "created", TOKEN_LIFETIME: "1234567890", SSH_KEY: file, MONKEYS_HOME: "a-big-jungle" };
    for (const [name, value] of Object.entries(values)) assert.equal(masked({ [name]: value }, value), value, name);
    const address = "https://keys.example.com/v1";
    assert.equal(masked({ KEY_URL: address }, address), address);
  });

  it("stores addresses without user name and password, and otherwise as they were written", () => {
    assert.equal(withoutCredentials("https://user:pass@app.example.com/base"), "https://app.example.com/base");
    assert.equal(withoutCredentials("https://user@app.example.com"), "https://app.example.com/");
    assert.equal(withoutCredentials("https://app.example.com"), "https://app.example.com");
    assert.equal(withoutCredentials("http://u:p4ssword@:x"), "http://u:[redacted]@:x");
  });
});
