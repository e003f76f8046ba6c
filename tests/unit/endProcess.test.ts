/** Ending a process that was written down: it gets its time, and more only for tidying up. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Unavailable } from "../../scripts/contract/failure";
import { endProcess } from "../../scripts/process/endProcess";
import { type ProcessKey, findProcess } from "../../scripts/process/processIdentity";

const seconds = 0.1;

describe("ending a process", () => {
  const children: ChildProcess[] = [];
  afterEach(() => children.splice(0).forEach((child) => child.kill("SIGKILL")));

  /** Ends so many milliseconds after SIGTERM. */
  async function slowly(milliseconds: number): Promise<ProcessKey> {
    const program = `process.on("SIGTERM", () => setTimeout(() => process.exit(), ${milliseconds})); setInterval(() => {}, 1000); console.log("ready")`;
    const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    await once(child.stdout, "data");
    return findProcess(child.pid ?? 0)!;
  }

  it("gives up on one that does not end in its time", async () => {
    await assert.rejects(endProcess(await slowly(60_000), "SIGTERM", { seconds }), Unavailable);
  });

  it("waits for one that only tidies up, however long that takes", async () => {
    const isTidying = (): boolean => true;
    assert.equal(await endProcess(await slowly(500), "SIGTERM", { seconds, isTidying }), "gone");
  });
});
