/** The environment's provider as Pulumi runs it: serialised, in its own process, spoken to over gRPC. */
import assert from "node:assert/strict";
import { DynamicProvider } from "../../scripts/rehearsal/engine/dynamicProvider";
import type { Properties } from "../../scripts/rehearsal/engine/wire";
import { record } from "./record";
import { RecorderProject } from "./recorderProject";

const urn = "urn:pulumi:prod::p::pulumi-nodejs:dynamic/database-protection:EnvironmentSnapshot::environment";
const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

describe("environmentSnapshot's provider", function () {
  this.timeout(60_000);
  let project: RecorderProject;
  let provider: DynamicProvider;
  let inputs: Properties;

  before(async () => {
    project = new RecorderProject();
    const { __provider } = (await record("protectionWithStore")).get("database-environment").inputs;
    inputs = {
      __provider,
      schemaVersion: 1,
      command: `${project.program} env:snapshot --json`,
      backupStore: "file:///srv/backups",
      settings: "{}",
      stack: "p/prod",
    };
    const config = { "database-protection:databaseUrl": "postgres://u:spoken-friend@h/d" };
    provider = await DynamicProvider.start(process.env, () => undefined);
    await provider.configure(config);
  });
  beforeEach(() => {
    project.answer({});
    project.takeCalls();
  });
  after(() => {
    provider.stop();
    project.remove();
  });

  const check = (news: Properties = {}, olds: Properties = {}) => provider.check(urn, olds, { ...inputs, ...news });
  /** What is in the state after a first `up`. */
  async function created(): Promise<Properties> {
    return (await provider.create(urn, (await check()).inputs)).outputs;
  }

  it("checks what is there now, and gives the command the stack's secrets without keeping them", async () => {
    const { inputs: checked, failures } = await check();
    assert.deepEqual(failures, []);
    assert.deepEqual(checked["variables"], [
      { name: "SUPABASE_URL", source: "process", target: "local", kind: "plain", critical: true, digest: "digest-1" },
    ]);
    assert.equal(checked["baseline"], "baseline-1");
    const [call] = project.takeCalls();
    assert.equal(call?.words, "env:snapshot --json");
    assert.equal(call?.env["DATABASE_URL"], "postgres://u:spoken-friend@h/d");
    assert.equal(call?.env["BACKUP_STORE"], "file:///srv/backups");
    assert.ok(!JSON.stringify(checked).includes("spoken-friend"));
  });

  it("refuses a changed critical variable in one line, without a property whose value would be printed", async () => {
    project.answer({ exitCodes: { "env:snapshot --json": 1 } });
    assert.deepEqual((await check()).failures, ["SUPABASE_URL (process): changed"]);
  });

  it("refuses in one line when the environment could not be read at all", async () => {
    project.answer({ exitCodes: { "env:snapshot --json": 3 } });
    assert.deepEqual((await check()).failures, ["the store is unreachable: check BACKUP_STORE"]);
    const [failure, ...more] = (await check({ command: "echo no such program >&2; exit 127; #" })).failures;
    assert.equal(failure, "env:snapshot ended with 127: no such program");
    assert.deepEqual(more, []);
  });

  it("asks nothing while the store is not known", async () => {
    const { failures } = await check({ backupStore: unknown });
    assert.deepEqual(failures, []);
    assert.deepEqual(project.takeCalls(), []);
  });

  it("accepts when created and when updated, and keeps no value", async () => {
    const state = await created();
    assert.equal(state["baseline"], "baseline-1");
    project.answer({ digest: "digest-2" });
    const updated = await provider.update(urn, "p/prod", state, (await check()).inputs);
    assert.match(JSON.stringify(updated["variables"]), /digest-2/);
    const words = project.takeCalls().map((call) => call.words);
    assert.deepEqual(words, [
      "env:snapshot --json",
      "env:snapshot --json --accept",
      "env:snapshot --json",
      "env:snapshot --json --accept",
    ]);
    const { __provider: code, ...kept } = updated;
    assert.ok(typeof code === "string");
    assert.ok(!JSON.stringify(kept).includes("value-of-supabase-url"));
  });

  it("does not accept what halts between check and create", async () => {
    const { inputs: checked } = await check();
    project.answer({ exitCodes: { "env:snapshot --json --accept": 1 } });
    await assert.rejects(provider.create(urn, checked), { message: "SUPABASE_URL (process): changed" });
  });

  it("sees a difference in digests, baseline, store or schema only", async () => {
    const state = await created();
    const differs = async (news: Properties): Promise<boolean> =>
      provider.diff(urn, "p/prod", state, { ...(await check()).inputs, ...news });
    assert.equal(await differs({}), false);
    assert.equal(await differs({ command: "node elsewhere/dbprotect.js env:snapshot --json" }), false);
    assert.equal(await differs({ __provider: `${String(inputs["__provider"])}\n// another text` }), false);
    assert.equal(await differs({ settings: '{"checks":"none"}' }), false);
    assert.equal(await differs({ backupStore: "file:///elsewhere" }), true);
    assert.equal(await differs({ schemaVersion: 2 }), true);
    project.answer({ digest: "digest-2" });
    assert.equal(await differs({}), true);
    project.answer({ baseline: "baseline-2" });
    assert.equal(await differs({}), true);
  });

  it("copes with a state that an older version wrote", async () => {
    const old = {
      __provider: inputs["__provider"],
      command: inputs["command"],
      stack: "p/prod",
      backupStore: "file:///srv/backups",
    };
    const checked = (await provider.check(urn, old, { ...inputs })).inputs;
    assert.equal(await provider.diff(urn, "p/prod", old, checked), true);
    const updated = await provider.update(urn, "p/prod", old, checked);
    assert.equal(updated["schemaVersion"], 1);
  });

  it("shows at refresh what is there now, and leaves the baseline where it was", async () => {
    const state = await created();
    project.takeCalls();
    project.answer({ digest: "digest-2", exitCodes: { "env:snapshot --json": 1 } });
    const refreshed = await provider.read(urn, "p/prod", state);
    assert.deepEqual(refreshed["variables"], state["variables"]);
    assert.equal(refreshed["baseline"], state["baseline"]);
    assert.match(JSON.stringify(refreshed["observed"]), /digest-2/);
    assert.deepEqual(
      project.takeCalls().map((call) => call.words),
      ["env:snapshot --json"],
    );
    assert.deepEqual(
      (await check({}, refreshed)).failures,
      ["SUPABASE_URL (process): changed"],
      "a refresh must not launder a change",
    );
  });

  it("deletes nothing from the store", async () => {
    const state = await created();
    project.takeCalls();
    await provider.delete(urn, "p/prod", state);
    assert.deepEqual(project.takeCalls(), []);
  });
});
