/** The accepted environment in a real store: first run, changes, consent, damage, and no value in the clear. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Decrypter, armor } from "age-encryption";
import { Damage, Refusal, UsageError } from "../../scripts/contract/failure";
import { acceptEnvironment } from "../../scripts/environment/acceptEnvironment";
import {
  type EnvironmentCheck,
  checkEnvironment,
  environmentCheckSchema,
} from "../../scripts/environment/checkEnvironment";
import { type EnvironmentSettings, environmentSettingsSchema } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import { claimStore } from "../../scripts/store/storeIdentity";

const passphrase = "correct horse battery staple";

const values = {
  SUPABASE_URL: "https://abcdefghijklmnop.supabase.co",
  SUPABASE_ANON_KEY: "anon-key-4711-value",
  SUPABASE_SERVICE_ROLE_KEY: "service-role-4712-value",
  VITE_SUPABASE_URL: "https://abcdefghijklmnop.supabase.co",
  VITE_SUPABASE_ANON_KEY: "anon-key-4711-value",
  JWT_SECRET: "jwt-secret-4713-value",
  CORS_ORIGIN: "https://crm.example.com",
};

describe("environment snapshots", function () {
  this.timeout(60_000);
  let folder: string;
  let store: FileStore;
  let env: NodeJS.ProcessEnv;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "environment-"));
    store = new FileStore(join(folder, "store"));
    env = { ...values, BACKUP_PASSPHRASE: passphrase, UNRELATED: "never read" };
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const claim = () => claimStore(store, { systemIdentifier: "7300000000000000001", name: "crm" });

  const settingsOf = (over: Record<string, unknown> = {}): EnvironmentSettings =>
    environmentSettingsSchema.parse({ content: "ignore", ...over });

  async function check(over: Record<string, unknown> = {}, now = new Date()): Promise<EnvironmentCheck> {
    const result = await checkEnvironment({ store, settings: settingsOf(over), env, folder, now });
    assert.deepEqual(environmentCheckSchema.parse(JSON.parse(JSON.stringify(result))), result);
    for (const value of [...Object.values(values), ...Object.values(env)]) {
      assert.ok(!value || !JSON.stringify(result).includes(value), `the result holds the value ${value}`);
    }
    return result;
  }

  const accept = (runId: string, over: Record<string, unknown> = {}, now = new Date(), overridden: string[] = []) =>
    acceptEnvironment({ store, settings: settingsOf(over), env, folder, runId, now, overridden });

  const stored = () => readdirSync(join(folder, "store", "environment")).sort();
  const newest = () => join(folder, "store", "environment", stored().at(-1)!);

  it("checks only required names before the store has an identity, without a passphrase", async () => {
    delete env["BACKUP_PASSPHRASE"];
    const first = await check();
    assert.deepEqual([first.verdict, first.comparison, first.baseline], ["pass", "no store identity", null]);
    assert.ok(first.variables.every(({ digest }) => digest === undefined));
    assert.match(first.lines.join("\n"), /^7 variables read; the store is still empty/);
    env["SUPABASE_ANON_KEY"] = "";
    delete env["VITE_SUPABASE_URL"];
    const missing = await check();
    assert.deepEqual([missing.verdict, missing.missing], ["halt", ["SUPABASE_ANON_KEY", "VITE_SUPABASE_URL"]]);
    assert.equal(missing.lines[0], "SUPABASE_ANON_KEY: required, but missing or empty in process");
    const unknown = await checkEnvironment({ store: undefined, settings: settingsOf(), env, folder });
    assert.deepEqual([unknown.verdict, unknown.comparison], ["halt", "no store"]);
    assert.ok(!existsSync(join(folder, "store")), "a check wrote into the store");
    await assert.rejects(
      accept("run-1", { required: [] }),
      (error) => error instanceof UsageError && /store\.json/.test(error.message),
    );
  });

  it("accepts the first snapshot, writes none while nothing changes, and halts on a changed critical variable", async () => {
    await claim();
    assert.deepEqual([(await check()).comparison, (await check()).verdict], ["no baseline", "pass"]);
    const first = await accept("run-1");
    assert.match(first.name, /^environment_\d{8}T\d{6}Z_[0-9a-f]{8}$/);
    assert.equal(first.written, true);
    assert.deepEqual(await accept("run-2"), { name: first.name, written: false });
    assert.deepEqual(stored(), [`${first.name}.json.enc`]);

    env["SUPABASE_ANON_KEY"] = "another-anon-key-value";
    env["CORS_ORIGIN"] = "https://new.example.com";
    env["JWT_SECRET"] = "another-jwt-secret-value";
    const halted = await check();
    assert.deepEqual([halted.verdict, halted.baseline, halted.comparison], ["halt", first.name, "compared"]);
    assert.deepEqual(halted.lines.slice(0, 3), [
      "JWT_SECRET (process): changed; critical: not acknowledged",
      "SUPABASE_ANON_KEY (process): changed; critical: not acknowledged",
      "CORS_ORIGIN (process): changed; not critical, passes",
    ]);
    assert.deepEqual(
      halted.findings.map(({ name }) => name),
      ["JWT_SECRET", "SUPABASE_ANON_KEY"],
    );
    await assert.rejects(accept("run-3"), (error) => error instanceof Refusal && error.details.length === 2);
    assert.equal((await check()).baseline, first.name);
  });

  it("moves the baseline with an acknowledgement, once", async () => {
    await claim();
    const now = new Date("2026-11-22T12:00:00Z");
    const first = await accept("run-1", {}, now);
    const acknowledgement = {
      name: "JWT_SECRET",
      reason: "rotated after the audit",
      person: "Ada",
      expires: "2026-12-01",
    };
    const over = { acknowledgements: [acknowledgement] };
    env["JWT_SECRET"] = "second-jwt-secret-value";
    const acknowledged = await check(over, now);
    assert.equal(acknowledged.verdict, "pass");
    assert.match(
      acknowledged.lines[0]!,
      /^JWT_SECRET \(process\): changed; critical, acknowledged by Ada until 2026-12-01: rotated/,
    );
    // The clock of the second machine is an hour behind: its snapshot must still become the baseline.
    const second = await accept("run-2", over, new Date("2026-11-22T11:00:00Z"));
    assert.ok(second.name > first.name);
    assert.match(second.name, /^environment_20261122T120001Z_/);
    assert.deepEqual([(await check(over, now)).verdict, (await check(over, now)).baseline], ["pass", second.name]);

    env["JWT_SECRET"] = "third-jwt-secret-value";
    const spent = await check(over, now);
    assert.match(spent.findings[0]!.message, /its acknowledgement by Ada was used for an earlier change$/);
    const late = await check(over, new Date("2026-12-01T00:00:00Z"));
    assert.match(late.findings[0]!.message, /its acknowledgement by Ada expired \(2026-12-01\)$/);
    // An override of the gate stands above the check, but only for what it names.
    await assert.rejects(accept("run-3", over, now, ["SUPABASE_URL"]), Refusal);
    assert.equal((await accept("run-3", over, now, ["JWT_SECRET"])).written, true);
    assert.equal((await check(over, now)).verdict, "pass");
  });

  it("watches all of a dotenv file, beside the process", async () => {
    writeFileSync(
      join(folder, ".env"),
      "SUPABASE_URL=https://abcdefghijklmnop.supabase.co\nSMTP_PASSWORD=smtp-4714-value\n",
    );
    await claim();
    await accept("run-1");
    const sources = [{ kind: "process" }, { kind: "dotenv", path: ".env" }];
    const widened = await check({ sources });
    assert.deepEqual(
      [widened.verdict, widened.changes, widened.newlyWatched],
      ["pass", [], ["SMTP_PASSWORD", "SUPABASE_URL"]],
    );
    assert.equal((await accept("run-2", { sources })).written, true);
    writeFileSync(join(folder, ".env"), "SUPABASE_URL=https://elsewhere.supabase.co\n");
    assert.deepEqual((await check({ sources })).lines.slice(0, 2), [
      "SUPABASE_URL (dotenv .env): changed; critical: not acknowledged",
      "SMTP_PASSWORD (dotenv .env): removed; not critical, passes",
    ]);
  });

  it("seals the values so that age alone gives them back, and keeps none in the clear", async () => {
    await claim();
    const { name } = await accept("run-1");
    const text = readFileSync(newest(), "utf8");
    for (const value of Object.values(values)) assert.ok(!text.includes(value), `${value} is in the clear`);
    const decrypter = new Decrypter();
    decrypter.addPassphrase(passphrase);
    const sealed = (JSON.parse(text) as { sealed: { armor: string } }).sealed.armor;
    const opened = JSON.parse(await decrypter.decrypt(armor.decode(sealed), "text")) as {
      name: string;
      variables: { name: string; value: string }[];
    };
    assert.equal(opened.name, name);
    assert.deepEqual(Object.fromEntries(opened.variables.map((variable) => [variable.name, variable.value])), values);
  });

  it("tells damage, tampering, a wrong passphrase and a newer form apart", async () => {
    await claim();
    await accept("run-1");
    const file = newest();
    const intact = readFileSync(file, "utf8");
    const document = JSON.parse(intact) as Record<string, unknown>;
    const writeOver = (text: string) => {
      rmSync(file, { force: true });
      writeFileSync(file, text);
    };
    const isDamage = (words: RegExp) => (error: unknown) => error instanceof Damage && words.test(error.message);
    const isUsage = (words: RegExp) => (error: unknown) => error instanceof UsageError && words.test(error.message);

    writeOver(intact.slice(0, -20));
    await assert.rejects(check(), isDamage(/is damaged/));
    writeOver(intact.replace('"run-1"', '"run-2"'));
    await assert.rejects(check(), isDamage(/does not match its own SHA-256/));
    writeOver(intact);
    const renamed = join(folder, "store", "environment", "environment_20991231T000000Z_00000000.json.enc");
    renameSync(file, renamed);
    await assert.rejects(check(), isDamage(/altered or renamed/));
    renameSync(renamed, file);
    // Whoever can write to the store, but lacks the passphrase, can make the SHA-256 right, not the MAC.
    const { createHash } = await import("node:crypto");
    const forged: Record<string, unknown> = { ...document, variables: [] };
    delete forged["integrity"];
    const sha256 = createHash("sha256").update(JSON.stringify(forged)).digest("hex");
    writeOver(JSON.stringify({ ...forged, integrity: { ...(document["integrity"] as object), sha256 } }));
    await assert.rejects(check(), isDamage(/altered or renamed/));
    writeOver(JSON.stringify({ ...document, schemaVersion: 2 }));
    await assert.rejects(check(), isUsage(/found schemaVersion 2: this program reads up to 1/));

    writeOver(intact);
    assert.equal((await check()).verdict, "pass");
    env["BACKUP_PASSPHRASE"] = "some other passphrase";
    await assert.rejects(check(), isUsage(/^BACKUP_PASSPHRASE: found another passphrase/));
    delete env["BACKUP_PASSPHRASE"];
    await assert.rejects(check(), isUsage(/^BACKUP_PASSPHRASE: found nothing/));
  });
});
