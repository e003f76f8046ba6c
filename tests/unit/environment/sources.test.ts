/** What is read from the process and from dotenv files, and what of it counts as secret. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../../scripts/contract/failure";
import { redact } from "../../../scripts/contract/redaction";
import { matchesAny } from "../../../scripts/environment/namePatterns";
import { observeEnvironment } from "../../../scripts/environment/sources";
import { environmentSettingsSchema } from "../../../scripts/settings";

describe("environment sources", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "environment-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  it("takes only named variables of the process", async () => {
    const settings = environmentSettingsSchema.parse({ critical: ["STRIPE_*"], required: ["DATABASE_URL"] });
    const env = { STRIPE_KEY: "a", STRIPE: "b", DATABASE_URL: "c", HOME: "/root", NODE_ENV: "production" };
    const { variables, scope } = await observeEnvironment(settings, env, folder);
    assert.deepEqual(
      variables.map(({ name, source, target }) => [name, source, target]),
      [
        ["DATABASE_URL", "process", "run"],
        ["NODE_ENV", "process", "run"],
        ["STRIPE_KEY", "process", "run"],
      ],
    );
    assert.deepEqual(scope, [
      { source: "process", target: "run", patterns: ["CORS_ORIGIN", "DATABASE_URL", "NODE_ENV", "STRIPE_*"] },
    ]);
  });

  it("takes everything of a dotenv file, quotes and multiple lines included", async () => {
    writeFileSync(join(folder, ".env.production"), `A=1 # one\nB="two\nlines"\nexport C='th=ree'\n`);
    const settings = environmentSettingsSchema.parse({ sources: [{ kind: "dotenv", path: ".env.production" }] });
    const { variables } = await observeEnvironment(settings, { A: "not this one" }, folder);
    assert.deepEqual(
      variables.map(({ name, value, source, target }) => [name, value, source, target]),
      [
        ["A", "1", "dotenv", ".env.production"],
        ["B", "two\nlines", "dotenv", ".env.production"],
        ["C", "th=ree", "dotenv", ".env.production"],
      ],
    );
  });

  it("names a dotenv file that is not there", async () => {
    const settings = environmentSettingsSchema.parse({ sources: [{ kind: "dotenv", path: "gone.env" }] });
    await assert.rejects(
      observeEnvironment(settings, {}, folder),
      (error) => error instanceof UsageError && /dotenv file gone\.env: no such file/.test(error.message),
    );
  });

  it("masks secrets, and leaves words and addresses that also occur elsewhere readable", async () => {
    const settings = environmentSettingsSchema.parse({ critical: ["*"] });
    await observeEnvironment(
      settings,
      {
        JWT_SECRET: "one-plain-word",
        WEBHOOK: "https://hooks.example.com/?sig=0123456789abcdef",
        DATABASE_URL: "postgres://app:p4ssw0rd@db.example.com/app",
        PGDATABASE: "postgres",
        SUPABASE_URL: "https://abcdefgh.supabase.co",
      },
      folder,
    );
    assert.equal(redact("one-plain-word"), "[redacted]");
    assert.equal(redact("https://hooks.example.com/?sig=0123456789abcdef"), "[redacted]");
    assert.equal(redact("p4ssw0rd of postgres://app:p4ssw0rd@db.example.com/app").includes("://app:p4ssw0rd"), false);
    assert.equal(
      redact("database postgres of https://abcdefgh.supabase.co"),
      "database postgres of https://abcdefgh.supabase.co",
    );
  });
});

describe("name patterns", () => {
  it("treats * as any characters and everything else literally", () => {
    assert.ok(matchesAny("VITE_SUPABASE_URL", ["X", "VITE_*"]));
    assert.ok(matchesAny("A_B_C", ["A*C"]));
    assert.ok(!matchesAny("XVITE_A", ["VITE_*"]));
    assert.ok(!matchesAny("AXB", ["A.B"]));
    assert.ok(!matchesAny("A.B*", ["A.B"]));
    assert.ok(matchesAny("A.B1", ["A.B*"]));
  });
});
