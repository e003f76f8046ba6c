/** `db:compare-counts` compares a database with its own backups only. */
import assert from "node:assert/strict";
import { freshCrm, freshStore, closeCrmClients, deploymentVariables } from "../servers/crm";
import { runCli } from "../servers/cli";

describe("db:compare-counts", function () {
  this.timeout(60_000);
  after(closeCrmClients);

  it("shows fewer rows, and refuses a store that belongs to another database", async () => {
    const [own, other] = [await freshCrm(20), await freshCrm(20)];
    const env = { BACKUP_STORE: freshStore(), ...deploymentVariables };
    const run = (words: string[], url: string) => runCli(words, { ...env, DATABASE_URL: url });
    const backup = await run(["db:backup"], own.url);
    assert.equal(backup.code, 0, backup.stderr);
    assert.equal((await run(["db:compare-counts"], own.url)).code, 0);
    await own.client.query("DELETE FROM tasks WHERE id = 1");
    const fewer = await run(["db:compare-counts"], own.url);
    assert.equal(fewer.code, 1, fewer.stderr);
    assert.match(fewer.stdout, /public\.tasks .*1 row\(s\) fewer/);
    const foreign = await run(["db:compare-counts"], other.url);
    assert.equal(foreign.code, 2, foreign.stdout);
    assert.match(foreign.stderr, /belongs to database/);
  });
});
