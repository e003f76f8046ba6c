/** `gate.backup: reuse`: which backup a gate takes instead of its own, what the receipt says, and what is compared then. */
import assert from "node:assert/strict";
import { truncateSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createBackup } from "../../scripts/backup/createBackup";
import { type BackupReference, fileKey } from "../../scripts/backup/manifest";
import { exitCode } from "../../scripts/contract/failure";
import { withConnection } from "../../scripts/database/connect";
import { readIdentity } from "../../scripts/database/identity";
import { parseTarget } from "../../scripts/database/target";
import type { GateContext } from "../../scripts/gate/context";
import { runGate } from "../../scripts/gate/gate";
import { findReusableBackup } from "../../scripts/gate/reusableBackup";
import { readTrustedReceipt } from "../../scripts/record/receipt";
import { recordEvent } from "../../scripts/record/releaseEvents";
import { gateSettingsSchema, operationSettingsSchema } from "../../scripts/settings";
import { encodeDocument } from "../../scripts/store/documents";
import { suspectMarkKey, verificationKey } from "../../scripts/store/layout";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { claimStore } from "../../scripts/store/storeIdentity";
import { compareWithReceipt } from "../../scripts/verification/verifyReceipt";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { type Crm, closeCrmClients, deploymentVariables, freshCrm, freshStore } from "../servers/crm";

interface Scene extends Crm {
  readonly context: GateContext;
  readonly store: Store;
  readonly storeUrl: string;
  readonly backup: BackupReference;
}

/** A database, and a backup of it that no release came after. */
async function scene(verify = true): Promise<Scene> {
  const crm = await freshCrm(300);
  const target = parseTarget(crm.url, "DATABASE_URL");
  const storeUrl = freshStore();
  const store = openStore(storeUrl);
  const identity = await withConnection(target, (client) => readIdentity(client, target));
  await claimStore(store, { systemIdentifier: identity.systemIdentifier, name: identity.database });
  const { reference } = await createBackup({ target, store, tier: "manual", runId: "earlier" });
  if (verify) await verifyBackup({ store, backup: reference, depth: 4, runId: "earlier" });
  const context: GateContext = {
    settings: operationSettingsSchema.parse({
      environment: { required: [], critical: [] },
      gate: { backup: "reuse" },
    }),
    target,
    store,
    runId: "20260101T000000Z-reuse",
    releaseVersion: "v1",
    stack: "project/test",
    addresses: { appUrl: undefined, frontendUrl: undefined },
    takeOver: true,
    waitSeconds: 0,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  };
  return { ...crm, context, store, storeUrl, backup: reference };
}

describe("a gate that may reuse a backup", function () {
  this.timeout(90_000);
  before(() => Object.assign(process.env, { BACKUP_PASSPHRASE: deploymentVariables["BACKUP_PASSPHRASE"] }));
  after(async () => {
    delete process.env["BACKUP_PASSPHRASE"];
    await closeCrmClients();
  });

  it("takes the verified one, says what it lacks, and compares with it honestly", async () => {
    const { context, store, client, backup } = await scene();
    const result = await runGate(context);
    assert.equal(result.verdict, "pass", result.message ?? "");
    const { receipt, receiptSha256 } = await readTrustedReceipt(store, result.runId);
    assert.deepEqual([receipt.backup.name, receipt.backup.depth], [backup.name, 4]);
    assert.equal(receipt.scratch, null);
    const rpo = receipt.backup.rpoSeconds ?? -1;
    assert.ok(rpo >= 0 && rpo < 90, `${rpo} s`);
    assert.match(
      result.steps.find(({ step }) => step === "backup")?.summary ?? "",
      new RegExp(`is reused: it lacks the writes of the last ${rpo} s before this gate`),
    );

    const input = { store, receipt, receiptSha256, live: context.target };
    await client.query("INSERT INTO clients (name) VALUES ('after the backup')");
    assert.equal((await compareWithReceipt(input)).comparison.verdict, "pass", "a new row is no loss");
    await client.query("DELETE FROM tasks WHERE id = 5");
    const { comparison, findings } = await compareWithReceipt(input);
    assert.equal(comparison.verdict, "fail", "what traffic deleted since the backup counts as missing");
    assert.match(findings.join("\n"), /public\.tasks: 1 row\(s\) of the snapshot are missing/);
  });

  it("halts (4) when one of its objects is not as it was", async () => {
    const { context, storeUrl, backup } = await scene();
    truncateSync(join(fileURLToPath(storeUrl), fileKey(backup, "fingerprint.ndjson.zst")), 10);
    const result = await runGate(context);
    assert.deepEqual([result.verdict, result.exitCode], ["halt", exitCode.damaged]);
    assert.equal(result.steps.at(-1)?.step, "verification");
  });

  it("takes its own where there is none, and says why", async () => {
    const { context, store, backup } = await scene(false);
    const result = await runGate(context);
    assert.equal(result.verdict, "pass", result.message ?? "");
    const { receipt } = await readTrustedReceipt(store, result.runId);
    assert.notEqual(receipt.backup.name, backup.name);
    assert.equal(receipt.backup.rpoSeconds, null);
    assert.match(JSON.stringify(receipt.steps), /none reused: there is no verified one/);
  });

  it("knows which one would not do: too old, suspect, from before a release, of another database", async () => {
    const { context, store, backup } = await scene(false);
    await store.create(verificationKey(backup.name, "20260101T000000Z-x", 4), encodeDocument({}));
    const identity = await withConnection(context.target, (client) => readIdentity(client, context.target));
    const why = async (reuseMinutes: number, who = identity): Promise<string | undefined> => {
      const settings = { ...gateSettingsSchema.parse({ backup: "reuse" }), reuseMinutes };
      const found = await findReusableBackup({ store, target: context.target, settings }, who);
      return found.reference === undefined ? found.why : undefined;
    };
    assert.equal(await why(60), undefined);
    assert.match((await why(-1)) ?? "", /minutes old, at most -1 may be/);
    assert.match((await why(60, { ...identity, database: "other" })) ?? "", /is of another database/);
    const run = { runId: "20260101T000000Z-r", releaseVersion: "v0", stack: "project/test", receiptSha256: "00" };
    await recordEvent(store, run, "verified", "");
    assert.match((await why(60)) ?? "", /is from before the end of the last release/);
    await store.create(suspectMarkKey(backup.name, "20260101T000000Z-1"), encodeDocument({}));
    assert.match((await why(60)) ?? "", /there is no verified one/);
  });
});
