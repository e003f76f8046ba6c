/** A process group has ended when nobody of it runs, whether or not anybody has looked after what is left. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { endGroup, groupRuns } from "../../scripts/process/processGroup";
import { skip } from "../skip";

describe("a process group", () => {
  it("runs as long as one of it does, and is ended whole", async () => {
    const child = spawn("/bin/sh", ["-c", "sleep 300 & echo started; sleep 300"], {
      detached: true,
      stdio: ["ignore", "pipe", "ignore"],
    });
    await once(child.stdout, "data");
    assert.ok(groupRuns(child.pid!));
    await endGroup(child.pid!, 10);
    assert.ok(!groupRuns(child.pid!));
  });

  it("does not run when all of it are zombies, although they answer to signals", async function () {
    if (process.platform !== "linux") return skip(this, "only Linux shows the state of a process in /proc");
    // Whoever blocks its own event loop never looks after its children.
    const neglect = `const { pid } = require("node:child_process").spawn("sleep", ["0.2"], { detached: true });
      require("node:fs").writeSync(1, String(pid)); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);`;
    const parent = spawn(process.execPath, ["-e", neglect], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      const [said] = (await once(parent.stdout, "data")) as [Buffer];
      const group = Number(said.toString());
      assert.ok(groupRuns(group));
      while (!/\) Z /.test(readFileSync(`/proc/${group}/stat`, "latin1"))) await sleep(10);
      assert.ok(process.kill(-group, 0));
      assert.ok(!groupRuns(group));
    } finally {
      parent.kill("SIGKILL");
    }
  });
});
