/** Whether a process lives, told by its number and its start, on this host alone. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { currentProcess, fateOf } from "../../scripts/process/processIdentity";

describe("process identity", () => {
  it("knows that this process lives", () => {
    assert.equal(fateOf(currentProcess()), "alive");
    assert.match(currentProcess().processStart, /^[0-9A-Za-z]+-[0-9A-Za-z]+$/);
  });

  it("knows that a process with this number that started at another time is gone", () => {
    const { pid, processStart } = currentProcess();
    assert.equal(fateOf({ pid, processStart: processStart.replace(/-.*/, "-1") }), "gone");
  });

  it("knows that an ended process is gone", async () => {
    const child = spawn("true");
    const pid = child.pid ?? assert.fail("not started");
    await once(child, "exit");
    assert.equal(fateOf({ pid, processStart: currentProcess().processStart }), "gone");
  });

  it("says nothing about processes of another host, boot or container", () => {
    assert.equal(fateOf({ pid: 1, processStart: "ffffffffffffn4026531836-1" }), "unknown");
  });
});
