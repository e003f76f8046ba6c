/** A damaged archive is damage (exit 4) also when pg_restore gives up before its checksum was reached. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { zstdCompressSync } from "node:zlib";
import { createBackup } from "../../scripts/backup/createBackup";
import { fileKey } from "../../scripts/backup/manifest";
import { Damage } from "../../scripts/contract/failure";
import { parseTarget } from "../../scripts/database/target";
import { openStore } from "../../scripts/store/openStore";
import { verifyBackup } from "../../scripts/verification/verifyBackup";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";
import { overwrite } from "../servers/damageFile";

/** Valid zstd of exactly `bytes`, that decodes to noise which is no archive: a skippable frame fills it up. */
function garbage(bytes: number): Buffer {
  const frame = zstdCompressSync(randomBytes(bytes - 4096));
  const filler = Buffer.alloc(bytes - frame.length);
  filler.writeUInt32LE(0x184d2a50, 0);
  filler.writeUInt32LE(filler.length - 8, 4);
  return Buffer.concat([frame, filler]);
}

describe("restoring a damaged archive", () => {
  after(closeCrmClients);

  it("names the damage, not what pg_restore stumbled over", async function () {
    this.timeout(60_000);
    const { url, client } = await freshCrm();
    // Several megabytes that do not compress: pg_restore gives up long before the end.
    await client.query(
      "INSERT INTO clients (name) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 300000) n GROUP BY n % 300",
    );
    const storeUrl = freshStore();
    const store = openStore(storeUrl);
    const { reference } = await createBackup({
      target: parseTarget(url, "test"),
      store,
      tier: "manual",
      runId: "torn",
    });
    const path = join(fileURLToPath(storeUrl), fileKey(reference, "data-000.dump.zst"));
    overwrite(path, garbage(statSync(path).size));
    await assert.rejects(
      verifyBackup({ store, backup: reference, depth: 4, runId: "damaged" }),
      (error) => error instanceof Damage && /data-000\.dump\.zst is damaged: SHA-256/.test(error.message),
    );
  });
});
