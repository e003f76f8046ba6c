/** The accepted environment under the real CLI, wherever there is one: `refresh` sees a change, and launders none. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { LocalWorkspaceOptions, Stack } from "@pulumi/pulumi/automation";
import { chooseEngine } from "../../scripts/rehearsal/engine";
import { FileStore } from "../../scripts/store/fileStore";
import { claimStore } from "../../scripts/store/storeIdentity";
import { skip } from "../skip";

const root = resolve(__dirname, "../..");

const values = {
  SUPABASE_URL: "https://abcdefghijklmnopqrst.supabase.co",
  SUPABASE_ANON_KEY: "anon-key-of-the-engine-test",
  SUPABASE_SERVICE_ROLE_KEY: "service-role-of-the-engine-test",
  VITE_SUPABASE_URL: "https://abcdefghijklmnopqrst.supabase.co",
  VITE_SUPABASE_ANON_KEY: "anon-key-of-the-engine-test",
  BACKUP_PASSPHRASE: "passphrase of the engine test",
};

describe("environment snapshot under the Pulumi CLI", function () {
  this.timeout(300_000);
  let folder: string;
  let store: FileStore;
  before(async function () {
    const { engine, reason } = await chooseEngine();
    if (engine.name !== "automation") return skip(this, reason);
    folder = mkdtempSync(join(tmpdir(), "dbprotect-environment-"));
    mkdirSync(join(folder, "state"));
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    store = new FileStore(join(folder, "store"));
    await claimStore(store, { systemIdentifier: "7300000000000000001", name: "crm" });
    writeFileSync(join(folder, "package.json"), '{"name":"someones"}');
    writeFileSync(
      join(folder, "Pulumi.yaml"),
      `name: someones\nmain: index.js\nruntime:\n  name: nodejs\n  options:\n    typescript: false\n    nodeargs: --require tsx/cjs\n`,
    );
    const access = { backupStore: store.url, program: `node ${join(root, "bin/dbprotect.js")}` };
    writeFileSync(
      join(folder, "index.js"),
      `const { EnvironmentSnapshot } = require(${JSON.stringify(join(root, "components/environmentSnapshot.ts"))});
       const { operationSettingsSchema } = require(${JSON.stringify(join(root, "scripts/settings.ts"))});
       const operation = operationSettingsSchema.parse({ environment: { content: "ignore" } });
       const environment = new EnvironmentSnapshot("environment", { access: ${JSON.stringify(access)}, context: { operation } });
       exports.baseline = environment.baseline;
       exports.variables = environment.variables;`,
    );
  });
  after(() => (folder === undefined ? undefined : rm(folder, { recursive: true })));

  /** What was said, and whether it ended well. */
  async function run(
    operation: "up" | "refresh",
    env: Record<string, string>,
  ): Promise<{ readonly ok: boolean; readonly said: string; readonly outputs: Record<string, unknown> }> {
    const { LocalWorkspace } = await import("@pulumi/pulumi/automation/index.js");
    const options: LocalWorkspaceOptions = {
      envVars: {
        ...env,
        PULUMI_BACKEND_URL: pathToFileURL(join(folder, "state")).href,
        PULUMI_CONFIG_PASSPHRASE: "engine",
        PULUMI_SKIP_UPDATE_CHECK: "true",
      },
    };
    const stack: Stack = await LocalWorkspace.createOrSelectStack({ stackName: "test", workDir: folder }, options);
    let said = "";
    const onOutput = (text: string): void => void (said += text);
    const ok = await stack[operation]({ onOutput, color: "never" }).then(
      () => true,
      (error: unknown) => {
        said += String(error);
        return false;
      },
    );
    const outputs = Object.entries(await stack.outputs()).map(([name, { value }]) => [name, value]);
    return { ok, said, outputs: Object.fromEntries(outputs) };
  }

  it("halts an up after a refresh that saw the change", async () => {
    const first = await run("up", values);
    assert.ok(first.ok, first.said);
    assert.match(String(first.outputs["baseline"]), /^environment_\d{8}T\d{6}Z_/);

    const changed = { ...values, SUPABASE_ANON_KEY: "another-anon-key-of-the-engine-test" };
    const refreshed = await run("refresh", changed);
    assert.ok(refreshed.ok, refreshed.said);
    assert.deepEqual(refreshed.outputs, first.outputs, "the baseline moved");

    const halted = await run("up", changed);
    assert.equal(halted.ok, false);
    assert.match(halted.said, /SUPABASE_ANON_KEY \(process\): changed; critical: not acknowledged/);

    assert.equal((await store.list("environment/")).length, 1);

    const state = readdirSync(join(folder, "state"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
      .join("\n");
    assert.match(state, /"observed"/, "the refresh left what it saw");
    const everything = [state, first.said, refreshed.said, halted.said].join("\n");
    for (const secret of [values.SUPABASE_ANON_KEY, values.SUPABASE_SERVICE_ROLE_KEY, changed.SUPABASE_ANON_KEY])
      assert.ok(!everything.includes(secret), secret);
    assert.ok(!everything.includes(values.BACKUP_PASSPHRASE));
  });
});
