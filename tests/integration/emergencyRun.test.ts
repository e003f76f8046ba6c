/** `npm run emergency` as people run it: by a plan file, killed at each step and gone on with, two at once. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { listSuspects } from "../../scripts/backup/manifest";
import { readEmergency, takeEmergencyTurn } from "../../scripts/control/emergency";
import { readFreezes } from "../../scripts/control/freeze";
import { runCli, startCli } from "../servers/cli";
import { closeCrmClients } from "../servers/crm";
import { protectedCrm } from "../servers/damage";
import { ask } from "../servers/postgres";
import { temporaryFolder } from "../servers/stores";

const quiet = { checks: "none", environment: { required: [], critical: [] } };
describe("npm run emergency", function () {
  this.timeout(240_000);
  after(closeCrmClients);

  it("killed with -9 at each step, the next run goes on there; a second operator waits (3)", async () => {
    const crm = await protectedCrm();
    await ask(crm.url, "ALTER TABLE tasks DROP COLUMN title");
    const plan = join(temporaryFolder(), "plan.json");
    writeFileSync(plan, JSON.stringify({ person: "Ada", reason: "a column is gone" }));
    const env = { DATABASE_URL: crm.url, BACKUP_STORE: crm.address, DBPROTECT_SETTINGS: JSON.stringify(quiet) };
    const words = ["emergency", "--plan", plan, "--yes"];
    for (const point of [
      /1 of 7: deploy:freeze$/m,
      /2 of 7: db:assess$/m,
      /3 of 7: db:backup$/m,
      /4 of 7: recover \(db:emergency-restore\)$/m,
      /about to take the place of/,
      /5 of 7: db:emergency-verify$/m,
      /6 of 7: test:emergency$/m,
      /7 of 7: deploy:unfreeze$/m,
    ]) {
      const child = startCli(words, env);
      child.process.stderr?.on("data", () => {
        if (point.test(child.stderr())) child.process.kill("SIGKILL");
      });
      const { code, stderr } = await child.ended;
      assert.equal(code, null, `not killed at ${point.source}:\n${stderr}`);
      assert.equal((await readEmergency(crm.store))?.state, "under way", stderr);
    }
    const turn = await takeEmergencyTurn(crm.store, "first", (current) => current!);
    const second = await runCli(words, env);
    assert.equal(second.code, 3, second.stderr);
    assert.match(second.stderr, /an emergency is being carried out: first/);
    await turn.end();
    const last = await runCli(words, env);
    assert.equal(last.code, 0, last.stderr);
    assert.match(last.stderr, /goes on with emergency [^]*6 of 7: test:emergency: done before/);
    assert.deepEqual(await ask(crm.url, "SELECT count(title)::int AS titles FROM tasks"), [{ titles: 600 }]);
    assert.equal((await readEmergency(crm.store))?.state, "done");
    assert.deepEqual(await readFreezes(crm.store), []);
    assert.ok((await listSuspects(crm.store)).size > 0);
  });

  it("a plan that is none is a usage error, and without one and a terminal nothing is changed", async () => {
    const crm = await protectedCrm(1, 5);
    const env = { DATABASE_URL: crm.url, BACKUP_STORE: crm.address };
    const plan = join(temporaryFolder(), "plan.json");
    writeFileSync(plan, JSON.stringify({ person: "Ada", reason: "x", recover: "pray" }));
    const wrong = await runCli(["emergency", "--plan", plan, "--yes"], env);
    assert.equal(wrong.code, 2, wrong.stderr);
    assert.match(wrong.stderr, /--plan: .*: recover: Invalid option/);
    assert.equal((await runCli(["emergency", "--yes"], env)).code, 2);
    const asked = await runCli(["emergency"], env);
    assert.match(asked.stderr, /freezes releases of [^]*no terminal to ask on: nothing was changed/);
    assert.deepEqual(await readFreezes(crm.store), []);
  });
});
