/**
 * A backup that somebody forged who may write to the store: definitions in its archive that psql would take for its own
 * commands, and run as a shell. Nothing of it runs on the machine that restores or verifies it.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { Client } from "pg";
import { createBackup } from "../../scripts/backup/createBackup";
import { encodeManifest, fileKey, readManifest } from "../../scripts/backup/manifest";
import { parseTarget } from "../../scripts/database/target";
import { restoreInPlace } from "../../scripts/restore/restoreInPlace";
import { sha256Of } from "../../scripts/store/documents";
import { manifestKey } from "../../scripts/store/layout";
import { openStore } from "../../scripts/store/openStore";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { freshStore } from "../servers/crm";
import { overwrite } from "../servers/damageFile";
import { freshDatabase } from "../servers/postgres";
import { temporaryFolder } from "../servers/stores";

/** Room for a command in a comment of this many letters: a definition of another length would need new offsets. */
const room = 200;

describe("a forged backup", function () {
  this.timeout(120_000);

  /** Replaces the comment's text by its end, a command of psql in a line of its own, and the begin of another comment. */
  async function forge() {
    const url = await freshDatabase("hostile");
    const client = new Client({ connectionString: url });
    await client.connect();
    await client.query(`CREATE TABLE t (id int PRIMARY KEY); COMMENT ON TABLE t IS '${"x".repeat(room)}'`);
    await client.end();
    const storeUrl = freshStore();
    const store = openStore(storeUrl);
    const { reference } = await createBackup({
      target: parseTarget(url, "test"),
      store,
      tier: "manual",
      runId: "forged",
    });
    const manifest = await readManifest(store, reference);
    const marker = join(temporaryFolder(), "ran");
    let forged = 0;
    for (const archive of manifest.archives.filter(({ format }) => format !== "copy")) {
      const path = join(fileURLToPath(storeUrl), fileKey(reference, archive.file));
      const plain = zstdDecompressSync(readFileSync(path)).toString("latin1");
      const command = `';\n\\! touch ${marker}\nCOMMENT ON TABLE t IS '`;
      const hostile = plain.replaceAll("x".repeat(room), command.padEnd(room, "y"));
      if (hostile === plain) continue;
      forged += 1;
      const stored = zstdCompressSync(Buffer.from(hostile, "latin1"));
      overwrite(path, stored);
      Object.assign(archive, { bytes: stored.length, sha256: sha256Of(stored) });
    }
    assert.ok(forged > 0, "no archive holds the comment");
    const path = join(fileURLToPath(storeUrl), manifestKey(reference.tier, reference.name));
    overwrite(path, encodeManifest(manifest));
    return { url, store, reference, marker, manifest: await readManifest(store, reference) };
  }

  it("runs nothing where it is verified or restored in place, and is not said to be restored", async () => {
    const { url, store, reference, marker, manifest } = await forge();
    const live = parseTarget(url, "test");
    await assert.rejects(
      verifyBackup({ store, backup: reference, depth: 4, runId: "hostile" }),
      /syntax error at or near "\\"/,
    );
    assert.equal(existsSync(marker), false, "verifying ran the command");
    await assert.rejects(restoreInPlace({ store, manifest, live }), /backslash commands are restricted/);
    assert.equal(existsSync(marker), false, "restoring in place ran the command");
  });
});
