/** The process that runs one program after the other. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HostEvent, HostJob } from "../../scripts/rehearsal/engine/hostMessages";
import { HostProcess } from "../../scripts/rehearsal/engine/hostProcess";

const program = `
  const state = require("./state");
  state.runs += 1;
  if (process.env.HOST_TEST_HANGS) setInterval(() => undefined, 1000);
  if (process.env.HOST_TEST_FAILS) Promise.reject(new Error("nobody awaits this"));
  console.log("printed by run " + process.env.HOST_TEST_RUN);
  module.exports = { runs: state.runs, only: process.env.HOST_TEST_ONLY ?? "absent" };`;

describe("the process that runs programs", function () {
  this.timeout(30_000);
  let projectDir: string;
  let host: HostProcess;

  before(() => {
    projectDir = mkdtempSync(join(tmpdir(), "dbprotect-host-"));
    writeFileSync(join(projectDir, "Pulumi.yaml"), "name: host\nruntime: nodejs\n");
    writeFileSync(join(projectDir, "state.js"), "exports.runs = 0;");
    writeFileSync(join(projectDir, "index.js"), program);
    host = new HostProcess();
  });
  after(() => {
    host.close();
    rmSync(projectDir, { recursive: true });
  });

  async function run(env: Record<string, string>, signal?: AbortSignal): Promise<{ ok: boolean; events: HostEvent[] }> {
    const job: HostJob = {
      ...{ projectDir, program: "./index.js", project: "host", stack: "test", preview: false, config: {} },
      ...{ secretKeys: [], stateFile: join(projectDir, "state.json"), passphrase: "host-test", env },
    };
    const events: HostEvent[] = [];
    const ok = await host.run(job, (event) => events.push(event), signal);
    return { ok, events };
  }

  const outputs = (events: readonly HostEvent[]): unknown =>
    events.flatMap((event) => (event.kind === "outputs" ? [event.outputs] : []))[0];

  it("loads each program anew, without the variables of the one before", async () => {
    const first = await run({ HOST_TEST_RUN: "1", HOST_TEST_ONLY: "here" });
    const second = await run({ HOST_TEST_RUN: "2" });
    assert.deepEqual([first.ok, second.ok], [true, true]);
    assert.deepEqual(outputs(first.events), { runs: 1, only: "here" });
    assert.deepEqual(outputs(second.events), { runs: 1, only: "absent" });
    assert.deepEqual(
      second.events.filter(({ kind }) => kind === "line"),
      [{ kind: "line", line: "printed by run 2" }],
    );
  });

  it("tells what nobody caught, and goes on with the next", async () => {
    const failed = await run({ HOST_TEST_FAILS: "yes" });
    assert.equal(failed.ok, false);
    assert.deepEqual(
      failed.events.filter(({ kind }) => kind === "error"),
      [{ kind: "error", message: "nobody awaits this" }],
    );
    assert.equal((await run({})).ok, true);
  });

  it("ends when it is told to, whatever runs in it", async () => {
    const abort = new AbortController();
    const hanging = run({ HOST_TEST_HANGS: "yes" }, abort.signal);
    setTimeout(() => abort.abort(), 200);
    await assert.rejects(hanging, /^Error: the program ended with 130 and no message$/);
    assert.equal(host.isUsable, false);
  });
});
