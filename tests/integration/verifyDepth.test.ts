/** Depth 5: restored and equal, its data checked, and the other stores read back; the depth that was reached is recorded. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FinishedBackup, createBackup } from "../../scripts/backup/createBackup";
import { fileKey } from "../../scripts/backup/manifest";
import { parseTarget } from "../../scripts/database/target";
import { readDepths } from "../../scripts/retention/inventory";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { readVerification } from "../../scripts/verification/readVerification";
import type { VerificationResult } from "../../scripts/verification/verificationResult";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { runCli } from "../servers/cli";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { damageFile } from "../servers/damageFile";

describe("depth 5", function () {
  this.timeout(60_000);
  let url: string;
  let second: string;
  let addresses: string;
  let store: Store;
  let backup: FinishedBackup;
  let root: string;

  before(async () => {
    ({ url } = await freshCrm(50));
    second = freshStore();
    addresses = `${freshStore()} ${second}`;
    store = openStore(addresses);
    backup = await createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "deep" });
    root = mkdtempSync(join(tmpdir(), "dbprotect-checks-"));
    mkdirSync(join(root, "checks"));
  });
  after(async () => {
    rmSync(root, { recursive: true });
    await closeCrmClients();
  });

  const verify = async (of: Store = store): Promise<VerificationResult> => {
    const run = { runId: `run-${Math.random()}`.replace(".", "") };
    return (
      await verifyBackup({
        store: of,
        backup: backup.reference,
        depth: 5,
        dataChecks: { checks: "checks", root },
        ...run,
      })
    ).result;
  };
  const demand = (rows: number): void =>
    writeFileSync(
      join(root, "checks/clients.sql"),
      `-- name: all-clients\n-- severity: halt\n-- expect: value = ${rows}\nSELECT count(*) FROM clients;\n`,
    );

  it("is recorded with what was found, and counts wherever 4 is asked for", async () => {
    demand(50);
    const result = await verify();
    assert.deepEqual([result.depth, result.verdict], [5, "verified"]);
    assert.match(result.notes.join("\n"), /on the restored copy: \d+ of \d+ data checks passed/);
    assert.ok(
      result.notes.some((note) => note.startsWith(`${second} holds the same`)),
      result.notes.join("\n"),
    );
    assert.equal((await readDepths(store)).get(backup.reference.name), 5);
    assert.deepEqual(await readVerification(store, backup.reference.name, 4), result);
  });

  it("is not reached when a data check fails on the restored copy", async () => {
    demand(51);
    await assert.rejects(verify(), { exitCode: 1, message: /is equal to its snapshot, but .*all-clients \(fail\)/ });
  });

  it("is not reached with one store", async () => {
    await assert.rejects(verify(openStore(addresses.split(" ")[0])), { exitCode: 2, message: /found one store/ });
    const env = { BACKUP_STORE: addresses.split(" ")[0]! };
    const run = await runCli(["db:verify", "latest", "--depth", "5"], env);
    assert.equal(run.code, 2, run.stderr);
    assert.match(run.stderr, /name several in BACKUP_STORE/);
  });

  it("is not reached when the other store holds other bytes, or lacks some, which no other depth sees", async () => {
    demand(50);
    const path = (file: string): string => join(fileURLToPath(second), fileKey(backup.reference, file));
    damageFile(path("data-000.dump.zst"));
    await verifyBackup({ store, backup: backup.reference, depth: 3, runId: "not-seen" });
    await assert.rejects(verify(), { exitCode: 4, message: /data-000\.dump\.zst is damaged: its SHA-256/ });
    rmSync(path("data-000.dump.zst"));
    await assert.rejects(verify(), { exitCode: 4, message: /data-000\.dump\.zst is missing there/ });
  });
});
