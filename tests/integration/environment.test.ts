/** The accepted environment in a real store: first run, changes, consent, damage, and no value in the clear. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Damage, Refusal, Unavailable, UsageError } from "../../scripts/contract/failure";
import { acceptEnvironment } from "../../scripts/environment/acceptEnvironment";
import {
  type EnvironmentCheck,
  checkEnvironment,
  environmentCheckSchema,
} from "../../scripts/environment/checkEnvironment";
import { diffSnapshots } from "../../scripts/environment/diffSnapshots";
import { openSnapshot, snapshotAccess, unseal } from "../../scripts/environment/openSnapshot";
import { generateDataKey, openDataKey } from "../../scripts/platforms/kms";
import { type EnvironmentSettings, environmentSettingsSchema } from "../../scripts/settings";
import { FileStore } from "../../scripts/store/fileStore";
import { claimStore } from "../../scripts/store/storeIdentity";
import { type KmsFake, type KmsKey, startKms } from "../servers/kms";

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

  /** What docs/restore-by-hand.md says, run as it stands there. */
  function byHand(name: string, over: Record<string, string>): { variables: { name: string; value: string }[] } {
    const page = readFileSync(resolve(__dirname, "../../docs/restore-by-hand.md"), "utf8");
    const [, block = ""] = /^## Values of environment variables\n[^]*?^```sh\n([^]*?)^```/m.exec(page) ?? [];
    const cwd = join(folder, "store", "environment");
    const { PATH = "" } = process.env;
    const done = spawnSync("bash", ["-c", block], {
      ...{ cwd, encoding: "utf8" },
      env: { PATH, SNAPSHOT: `${name}.json.enc`, ...over },
    });
    assert.equal(done.status, 0, done.stderr);
    return JSON.parse(done.stdout);
  }

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
    const again = await accept("run-2");
    assert.deepEqual([again.name, again.written, again.variables], [first.name, false, first.variables]);
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

  it("seals the values so that what the documentation says gives them back, and keeps none in the clear", async () => {
    await claim();
    const { name } = await accept("run-1");
    const text = readFileSync(newest(), "utf8");
    for (const value of Object.values(values)) assert.ok(!text.includes(value), `${value} is in the clear`);
    const { schemaVersion, key, sealed, integrity } = JSON.parse(text);
    assert.deepEqual([schemaVersion, key.kind, sealed.algorithm], [2, "scrypt", "AES-256-GCM"]);
    assert.match(integrity.sha256, /^[0-9a-f]{64}$/);
    const { variables } = byHand(name, { BACKUP_PASSPHRASE: passphrase });
    assert.deepEqual(valuesOf(variables), values);
  });

  it("reads what was sealed with age before schemaVersion 2, and goes on from there", async () => {
    const name = "environment_20261122T120000Z_4e65d3fb";
    const from = join(__dirname, "environmentSchema1");
    cpSync(join(from, "store.json"), join(folder, "store", "store.json"));
    cpSync(join(from, `${name}.json.enc`), join(folder, "store", "environment", `${name}.json.enc`));
    assert.deepEqual([(await check()).verdict, (await check()).baseline], ["pass", name]);
    assert.deepEqual(await accept("run-2").then(({ written }) => written), false);
    const access = await snapshotAccess(store, env);
    assert.deepEqual(valuesOf(await unseal(access, await openSnapshot(access, name))), values);
    env["CORS_ORIGIN"] = "https://new.example.com";
    const second = await accept("run-3");
    const { schemaVersion } = JSON.parse(readFileSync(newest(), "utf8"));
    assert.deepEqual([second.written, schemaVersion], [true, 2]);
    const diff = await diffSnapshots({ access, settings: settingsOf(), from: name, to: second.name });
    assert.deepEqual(
      diff.differences.map((each) => each.name),
      ["CORS_ORIGIN"],
    );
    const other = await snapshotAccess(store, { BACKUP_PASSPHRASE: "another one" });
    await assert.rejects(openSnapshot(other, name), UsageError);
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
    const forged: Record<string, unknown> = { ...document, variables: [] };
    delete forged["integrity"];
    const sha256 = createHash("sha256").update(JSON.stringify(forged)).digest("hex");
    writeOver(JSON.stringify({ ...forged, integrity: { ...(document["integrity"] as object), sha256 } }));
    await assert.rejects(check(), isDamage(/altered or renamed/));
    writeOver(JSON.stringify({ ...document, schemaVersion: 3 }));
    await assert.rejects(check(), isUsage(/found schemaVersion 3: this program reads up to 2/));

    writeOver(intact);
    assert.equal((await check()).verdict, "pass");
    env["BACKUP_PASSPHRASE"] = "some other passphrase";
    await assert.rejects(check(), isUsage(/^BACKUP_PASSPHRASE: found another passphrase/));
    delete env["BACKUP_PASSPHRASE"];
    await assert.rejects(check(), isUsage(/^BACKUP_PASSPHRASE: found nothing/));
    // What is damaged is told without any key, and comes before a wrong passphrase.
    writeOver(intact.replace('"run-1"', '"run-2"'));
    await assert.rejects(check(), isDamage(/does not match its own SHA-256/));
  });

  it("opens no values that were moved into another snapshot or under another time, whoever moved them", async () => {
    await claim();
    const first = await accept("run-1");
    env["CORS_ORIGIN"] = "https://new.example.com";
    const second = await accept("run-2");
    const access = await snapshotAccess(store, env);
    const [one, two] = await Promise.all([openSnapshot(access, first.name), openSnapshot(access, second.name)]);
    assert.ok(one.snapshot.schemaVersion === 2 && two.snapshot.schemaVersion === 2);
    // As somebody could who has the passphrase: every checksum is right, only what was sealed is not for this snapshot.
    const moved = { ...one, snapshot: { ...one.snapshot, sealed: two.snapshot.sealed } };
    await assert.rejects(
      unseal(access, moved),
      (error) => error instanceof Damage && /cannot be opened/.test(error.message),
    );
    const later = { ...one, snapshot: { ...one.snapshot, acceptedAt: "2026-11-22T12:00:00.000Z" } };
    await assert.rejects(unseal(access, later), Damage);
    const renamed = { ...one, snapshot: { ...one.snapshot, name: two.snapshot.name } };
    await assert.rejects(unseal(access, renamed), Damage);
    assert.equal((await unseal(access, one)).length, Object.keys(values).length);
  });

  describe("with a data key of KMS", () => {
    let kms: KmsFake;
    let key: KmsKey;
    const formerly = { ...process.env };
    before(async () => {
      kms = await startKms();
      // The SDK reads the process's own.
      Object.assign(process.env, kms.env);
    });
    beforeEach(async () => {
      kms.calls.length = 0;
      key = kms.createKey();
      env["BACKUP_KMS_KEY"] = key.arn;
      delete env["BACKUP_PASSPHRASE"];
      await claim();
    });
    after(async () => {
      process.env = formerly;
      await kms.close();
    });
    const document = () => JSON.parse(readFileSync(newest(), "utf8"));
    const overwrite = (changed: object): void => {
      const file = newest();
      rmSync(file);
      const { integrity, ...content } = changed as { integrity: object };
      const sha256 = createHash("sha256").update(JSON.stringify(content)).digest("hex");
      writeFileSync(file, JSON.stringify({ ...content, integrity: { ...integrity, sha256 } }));
    };

    it("needs no passphrase, tells changes, and asks KMS with the context that policies can demand", async () => {
      assert.deepEqual([(await check()).comparison, (await check()).verdict], ["no baseline", "pass"]);
      const first = await accept("run-1");
      // What a later check says of the same values is what was accepted.
      assert.deepEqual((await check()).variables, first.variables);
      assert.equal((await accept("run-2")).written, false);
      env["SUPABASE_ANON_KEY"] = "another-anon-key-value";
      assert.equal((await check()).verdict, "halt");
      const context = { "dbprotect-purpose": "environment-snapshots", "dbprotect-system": "7300000000000000001" };
      assert.deepEqual(document().key.context, context);
      for (const call of kms.calls) assert.deepEqual([call.keyArn, call.context], [key.arn, context]);
      assert.deepEqual(new Set(kms.calls.map(({ action }) => action)), new Set(["GenerateDataKey", "Decrypt"]));
    });

    it("keeps no value in the clear, and gives them back, also by hand", async () => {
      const { name } = await accept("run-1");
      const text = readFileSync(newest(), "utf8");
      for (const value of Object.values(values)) assert.ok(!text.includes(value), `${value} is in the clear`);
      const access = await snapshotAccess(store, env);
      assert.deepEqual(valuesOf(await unseal(access, await openSnapshot(access, name))), values);
      const { keyArn, wrapped, context } = document().key;
      const root = (await openDataKey(keyArn, wrapped, context)).toString("base64");
      assert.deepEqual(valuesOf(byHand(name, { ROOT: root }).variables), values);
      // Reading needs the snapshot alone, not what the next one is made with.
      delete env["BACKUP_KMS_KEY"];
      assert.equal((await check()).verdict, "pass");
    });

    it("takes over from a passphrase, and from another key, without losing the comparison", async () => {
      delete env["BACKUP_KMS_KEY"];
      env["BACKUP_PASSPHRASE"] = passphrase;
      const first = await accept("run-1");
      env["BACKUP_KMS_KEY"] = key.arn;
      env["SUPABASE_ANON_KEY"] = "another-anon-key-value";
      assert.equal((await check()).verdict, "halt");
      env["SUPABASE_ANON_KEY"] = values.SUPABASE_ANON_KEY;
      const second = await accept("run-2");
      assert.deepEqual([second.written, document().key.keyArn], [true, key.arn]);
      const access = await snapshotAccess(store, env);
      const diff = await diffSnapshots({ access, settings: settingsOf(), from: first.name, to: second.name });
      assert.deepEqual(diff.differences, []);
      delete env["BACKUP_PASSPHRASE"];
      const next = kms.createKey();
      env["BACKUP_KMS_KEY"] = next.arn;
      assert.equal((await accept("run-3")).written, true);
      assert.equal(document().key.keyArn, next.arn);
      assert.equal((await check()).verdict, "pass");
    });

    it("tells damage, a missing right, an unusable key and an unreachable KMS apart", async () => {
      await accept("run-1");
      const intact = document();
      const other = kms.createKey();
      const { wrapped } = intact.key as { wrapped: string };
      const flipped = Buffer.from(wrapped, "base64");
      flipped[20]! ^= 1;
      for (const changed of [
        { wrapped: flipped.toString("base64") },
        { context: { ...intact.key.context, "dbprotect-system": "7300000000000000002" } },
        { keyArn: other.arn },
      ]) {
        overwrite({ ...intact, key: { ...intact.key, ...changed } });
        await assert.rejects(check(), Damage, JSON.stringify(changed));
      }
      // A data key that KMS gives for somebody else's snapshot, put into this one.
      const foreign = await generateDataKey(key.arn, intact.key.context);
      overwrite({ ...intact, key: { ...intact.key, wrapped: foreign.wrapped } });
      await assert.rejects(
        check(),
        (error) => error instanceof Damage && /data key is another one/.test(error.message),
      );
      overwrite({ ...intact, runId: "run-2" });
      await assert.rejects(check(), (error) => error instanceof Damage && /altered or renamed/.test(error.message));
      overwrite(intact);
      assert.equal((await check()).verdict, "pass");

      key.refused.add("Decrypt");
      await assert.rejects(
        check(),
        (error) => error instanceof Refusal && /KMS refuses kms:Decrypt$/.test(error.message),
      );
      key.refused.clear();
      for (const state of ["Disabled", "PendingDeletion"] as const) {
        key.state = state;
        await assert.rejects(check(), (error) => error instanceof UsageError && /is disabled, or/.test(error.message));
      }
      key.state = "Enabled";
      kms.fail("DependencyTimeoutException", 9);
      await assert.rejects(
        check(),
        (error) => error instanceof Unavailable && /^KMS in eu-central-1: /.test(error.message),
      );
      kms.fail("", 0);
      for (const arn of ["alias/backups", "arn:aws:kms:eu-central-1:111122223333:alias/backups", "nonsense"]) {
        env["BACKUP_KMS_KEY"] = arn;
        await assert.rejects(
          check(),
          (error) => error instanceof UsageError && /^BACKUP_KMS_KEY: /.test(error.message),
        );
      }
      env["BACKUP_KMS_KEY"] = key.arn.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
      await assert.rejects(check(), (error) => error instanceof UsageError && /has no such key/.test(error.message));
    });
  });
});

const valuesOf = (variables: readonly { name: string; value: string }[]): Record<string, string> =>
  Object.fromEntries(variables.map(({ name, value }) => [name, value]));
