/** The CI example calls what exists, stores no key, and its role may do what the stack needs and nothing else. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";
import { fetchedNodeVersion } from "../../bin/setup/projectNode.js";

const root = path.resolve(__dirname, "../..");
const read = (name: string): string => readFileSync(path.join(root, name), "utf8");
// js-yaml comes with the SDK.
const { load } = createRequire(require.resolve("@pulumi/pulumi"))("js-yaml") as { load(text: string): any };

const text = read("examples/ci/github-actions.yaml");
const workflow = load(text);
const reference = read("docs/reference.md");
const steps: {
  name?: string;
  run?: string;
  uses?: string;
  with?: Record<string, unknown>;
  env?: Record<string, string>;
}[] = workflow.jobs.release.steps;
const job = workflow.jobs.release;

describe("examples/ci", () => {
  it("runs commands and options that exist", () => {
    const commands = steps.flatMap(({ run = "" }) => [...run.matchAll(/npx dbprotect (\S+)([^\n]*)/g)]);
    assert.ok(commands.length > 0);
    for (const [, command = "", words = ""] of commands) {
      const [, section = ""] = reference.split(`### \`${command}\`\n`);
      const [own = ""] = section.split("\n### ");
      assert.notEqual(own, "", `no command ${command}`);
      for (const [option] of words.matchAll(/--[\w-]+/g))
        assert.match(own, new RegExp(`\`${option}[ \`]`), `${command} ${option}`);
    }
    const [, postgres] = /npm run setup -- --postgres (\d+)/.exec(text) ?? [];
    assert.ok(Number(postgres) >= 14 && Number(postgres) <= 18);
  });

  it("sets variables that the program reads", () => {
    for (const name of Object.keys(job.env).filter((each) => each !== "TMPDIR"))
      assert.ok(reference.includes(`| \`${name}\``) || reference.includes(`\`${name}\``), name);
  });

  it("stores no key: what is secret comes from the environment's secrets, AWS's rights from OIDC", () => {
    assert.deepEqual(workflow.permissions, { contents: "read", "id-token": "write" });
    assert.equal(job.environment, "production");
    for (const [name, value] of Object.entries<string>(job.env))
      if (/TOKEN|PASSPHRASE|DATABASE_URL|SECRET/.test(name)) assert.equal(value, `\${{ secrets.${name} }}`);
    assert.doesNotMatch(text, /AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)/);
    const credentials =
      steps.find(({ uses }) => uses?.startsWith("aws-actions/configure-aws-credentials@"))?.with ?? {};
    assert.deepEqual(Object.keys(credentials).sort(), ["aws-region", "role-duration-seconds", "role-to-assume"]);
    assert.ok(Number(credentials["role-duration-seconds"]) >= job["timeout-minutes"] * 60);
  });

  it("gives the role to this repository's environment only", () => {
    const { Statement } = JSON.parse(read("examples/ci/trust-policy.json"));
    assert.equal(Statement.length, 1);
    const conditions = Statement[0].Condition.StringEquals;
    assert.equal(conditions["token.actions.githubusercontent.com:aud"], "sts.amazonaws.com");
    assert.match(conditions["token.actions.githubusercontent.com:sub"], /^repo:[^*]+:environment:production$/);
    assert.equal(job.environment, conditions["token.actions.githubusercontent.com:sub"].split(":").at(-1));
  });

  it("gives the role no action *, no resource * but where AWS knows none, and no right to lose a backup", () => {
    const { Statement } = JSON.parse(read("examples/ci/rights.json")) as {
      Statement: { Sid: string; Effect: string; Action: string[]; Resource: string | string[] }[];
    };
    const everywhere = Statement.filter(({ Resource }) => [Resource].flat().includes("*")).map(({ Sid }) => Sid);
    assert.deepEqual(everywhere, ["CreateKeys", "LookAround"]);
    for (const { Effect, Action, Sid } of Statement) {
      assert.equal(Effect, "Allow");
      for (const action of Action) {
        assert.ok(!action.includes("*"), action);
        assert.doesNotMatch(action, /^s3:(Delete|Bypass)|^kms:(Disable|Schedule)|^logs:Delete/, `${Sid} may ${action}`);
      }
    }
  });

  it("holds the stack to the policy pack", () => {
    const up = steps.find(({ uses }) => uses?.startsWith("pulumi/actions@"))?.with ?? {};
    assert.equal(up["policyPacks"], "policy");
    assert.match(read("policy/PulumiPolicy.yaml"), /^runtime:/m);
  });

  it("has the disk, the Node.js and the time that a restore needs, and never cuts a release short", () => {
    for (const name of ["TMPDIR", "DBPROTECT_CACHE", "DBPROTECT_REPORTS"]) {
      assert.match(job.env[name], /^\/mnt\/dbprotect\//);
      assert.ok(
        steps.some(({ run = "" }) => run.includes(` ${job.env[name]}`)),
        `${job.env[name]} is made`,
      );
    }
    const node = steps.find(({ uses }) => uses?.startsWith("actions/setup-node@"))?.with?.["node-version"];
    assert.equal(String(node), fetchedNodeVersion.split(".")[0]);
    assert.deepEqual(workflow.concurrency, { group: "production", "cancel-in-progress": false });
    for (const { uses } of steps) if (uses !== undefined) assert.match(uses, /@v\d+$|@[0-9a-f]{40}$/);
  });
});
