/**
 * A gate that is ended while it runs, by Ctrl-C or by its timeout: it is told, cleans up, and nothing is released. The CLI
 * kills no more than the shell that started it.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { chooseEngine } from "../../scripts/rehearsal/engine";
import { automationEngine } from "../../scripts/rehearsal/engine/automation";
import type { UpResult } from "../../scripts/rehearsal/engine/engine";
import { RecorderProject } from "../components/recorderProject";
import { skip } from "../skip";

describe("a gate that is ended while it runs", function () {
  this.timeout(180_000);
  let project: RecorderProject | undefined;

  before(async function () {
    const { engine, reason } = await chooseEngine();
    if (engine.name !== "automation") return skip(this, reason);
    project = new RecorderProject();
    project.answer({ hangs: "gate run --print receipt" });
  });
  after(() => project?.remove());

  const isThere = (file: string): string | undefined => {
    const path = join(project!.folder, file);
    return existsSync(path) ? readFileSync(path, "utf8") : undefined;
  };

  /** @param ends what is done once the gate runs. */
  async function upWhose(
    gate: { timeoutSeconds: number },
    ends: (interruption: AbortController) => void,
  ): Promise<void> {
    const { folder, stateDir } = project!;
    for (const file of ["hanging", "cleaned-up"]) rmSync(join(folder, file), { force: true });
    const interruption = new AbortController();
    let result: UpResult | undefined;
    const update = automationEngine
      .up({
        ...{ projectDir: folder, stateDir, stack: "ended", signal: interruption.signal },
        config: {
          "database-protection:backupStore": "file:///srv/backups",
          "database-protection:releaseVersion": "v1",
          "database-protection:railway": { command: "railway up --ci" },
          "database-protection:gate": gate,
        },
        secrets: { "database-protection:databaseUrl": "postgres://app:word@db.example:5432/crm" },
        env: { BACKUP_PASSPHRASE: "passphrase" },
      })
      .then((ended) => void (result = ended));
    while (isThere("hanging") === undefined && result === undefined) await sleep(50);
    const pid = Number(isThere("hanging"));
    assert.ok(pid > 0, `the gate did not run: ${result?.errors.join("\n")}`);
    try {
      ends(interruption);
      await update;
    } finally {
      if (isThere("cleaned-up") === undefined) process.kill(pid, "SIGKILL");
    }
    assert.equal(isThere("cleaned-up"), "gate run --print receipt");
    assert.equal(result?.ok, false);
    while (existsSync(`/proc/${pid}`)) await sleep(50);
    const words = project!.takeCalls().map((call) => call.words);
    assert.ok(words.includes("gate run --print receipt"));
    assert.deepEqual(
      words.filter((call) => /^release |^db:verify|--accept/.test(call)),
      [],
    );
  }

  it("by its timeout, cleans up and releases nothing", () => upWhose({ timeoutSeconds: 3 }, () => undefined));

  it("by Ctrl-C, cleans up and releases nothing", () =>
    upWhose({ timeoutSeconds: 600 }, (interruption) => interruption.abort()));
});
