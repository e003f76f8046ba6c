/** `pulumi preview --policy-pack policy` by the real CLI, wherever there is one: the pack starts, and halts what it should. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Stack } from "@pulumi/pulumi/automation";
import { chooseEngine } from "../../scripts/rehearsal/engine";
import { skip } from "../skip";

const root = resolve(__dirname, "../..");

describe("policy pack under the Pulumi CLI", function () {
  this.timeout(300_000);
  let folder: string;
  before(async function () {
    const { engine, reason } = await chooseEngine();
    if (engine.name !== "automation") return skip(this, reason);
    folder = mkdtempSync(join(tmpdir(), "dbprotect-policy-"));
    mkdirSync(join(folder, "state"));
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    writeFileSync(join(folder, "package.json"), '{"name":"someones"}');
    writeFileSync(
      join(folder, "Pulumi.yaml"),
      "name: someones\nmain: index.js\nruntime:\n  name: nodejs\n  options: { typescript: false }\n",
    );
  });
  after(() => (folder === undefined ? undefined : rm(folder, { recursive: true })));

  async function preview(release: string): Promise<string> {
    writeFileSync(
      join(folder, "index.js"),
      `const { local } = require("@pulumi/command");
       const gate = new local.Command("gate", { create: "node bin/dbprotect.js gate run" });
       ${release}`,
    );
    const { LocalWorkspace } = await import("@pulumi/pulumi/automation/index.js");
    const stack: Stack = await LocalWorkspace.createOrSelectStack(
      { stackName: "test", workDir: folder },
      {
        envVars: {
          PULUMI_BACKEND_URL: pathToFileURL(join(folder, "state")).href,
          PULUMI_CONFIG_PASSPHRASE: "policy",
          PULUMI_SKIP_UPDATE_CHECK: "true",
        },
      },
    );
    let output = "";
    const onOutput = (text: string): void => void (output += text);
    await stack.preview({ policyPacks: [join(root, "policy")], onOutput }).catch((error: unknown) => {
      output += String(error);
    });
    return output;
  }

  it("lets a release pass that depends on the gate, and halts one that does not", async () => {
    const gated = await preview('new local.Command("live", { create: "railway up" }, { dependsOn: gate });');
    assert.match(gated, /database-protection@v[\d.]+/);
    assert.ok(!/mandatory/.test(gated), gated);
    const free = await preview('new local.Command("live", { create: "railway up" });');
    assert.match(free, /\[mandatory\]\s+releases-gated/);
    assert.match(free, /live: found "railway up" without a dependency on a gate/);
  });
});
