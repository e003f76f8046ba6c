/** A damaged backup is noticed at the depth that reads it, names the object, and nothing is restored from it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { type FinishedBackup, createBackup } from "../../scripts/backup/createBackup";
import { type Manifest, fileKey } from "../../scripts/backup/manifest";
import { Damage } from "../../scripts/contract/failure";
import { parseTarget } from "../../scripts/database/target";
import { openStore } from "../../scripts/store/openStore";
import type { Store } from "../../scripts/store/store";
import { type Depth, verifyBackup } from "../../scripts/verification/verifyBackup";
import { damageFile, whileWritable } from "../servers/damageFile";
import { closeCrmClients, freshCrm, freshStore } from "../servers/crm";

describe("damage to a stored backup", () => {
  let url: string;
  before(async () => void ({ url } = await freshCrm()));
  after(closeCrmClients);

  async function backup(): Promise<FinishedBackup & { store: Store; path: (file: string) => string }> {
    const storeUrl = freshStore();
    const store = openStore(storeUrl);
    const finished = await createBackup({ target: parseTarget(url, "test"), store, tier: "manual", runId: "damage" });
    return { ...finished, store, path: (file) => join(fileURLToPath(storeUrl), fileKey(finished.reference, file)) };
  }

  async function noticed(damage: (path: (file: string) => string) => void, depth: Depth, what: RegExp): Promise<void> {
    const { store, reference, path } = await backup();
    await verifyBackup({ store, backup: reference, depth, runId: "whole" });
    damage(path);
    await assert.rejects(
      verifyBackup({ store, backup: reference, depth, runId: "damaged" }),
      (error) => error instanceof Damage && what.test(error.message),
    );
  }

  it("notices one flipped bit of the rows, at depths 3 and 4", async function () {
    this.timeout(60_000);
    await noticed((path) => damageFile(path("data-000.dump.zst")), 3, /data-000\.dump\.zst is damaged/);
    await noticed((path) => damageFile(path("data-000.dump.zst")), 4, /data-000\.dump\.zst is damaged/);
  });

  it("notices roles that cannot be read, at depths 3 and 4, though a restore has no need of them", async function () {
    this.timeout(60_000);
    const zeroed = (path: (file: string) => string): void =>
      whileWritable(path("roles.sql.zst"), (file) => writeFileSync(file, readFileSync(file).fill(0, 8)));
    await noticed(zeroed, 3, /roles\.sql\.zst is damaged/);
    await noticed(zeroed, 4, /roles\.sql\.zst is damaged/);
  });

  it("notices roles that were cut short before they were stored, though every checksum is right", async function () {
    this.timeout(60_000);
    const cutShort = (path: (file: string) => string): void => {
      const sql = zstdDecompressSync(readFileSync(path("roles.sql.zst")));
      const cut = zstdCompressSync(sql.subarray(0, sql.length / 2));
      whileWritable(path("roles.sql.zst"), (file) => writeFileSync(file, cut));
      const manifest = JSON.parse(readFileSync(path("manifest.json"), "utf8")) as Manifest;
      const sha256 = createHash("sha256").update(cut).digest("hex");
      const archives = manifest.archives.map((archive) =>
        archive.section === "roles" ? { ...archive, bytes: cut.length, sha256 } : archive,
      );
      whileWritable(path("manifest.json"), (file) => writeFileSync(file, JSON.stringify({ ...manifest, archives })));
    };
    await noticed(cutShort, 3, /roles\.sql\.zst is damaged: it does not end/);
    await noticed(cutShort, 4, /roles\.sql\.zst is damaged: it does not end/);
  });

  it("notices a truncated archive already at depth 1", async () => {
    await noticed(
      (path) => whileWritable(path("data-000.dump.zst"), (file) => truncateSync(file, statSync(file).size - 100)),
      1,
      /bytes, expected/,
    );
  });

  it("notices a missing archive already at depth 1", async () => {
    await noticed((path) => rmSync(path("schema-post.dump.zst")), 1, /schema-post\.dump\.zst is missing/);
  });

  it("notices two archives that were swapped", async () => {
    await noticed(
      (path) => {
        const [a, b] = [path("schema-pre.dump.zst"), path("schema-post.dump.zst")];
        renameSync(a, `${a}.swap`);
        renameSync(b, a);
        renameSync(`${a}.swap`, b);
      },
      1,
      /bytes, expected/,
    );
  });

  it("notices a fingerprint that was changed", async () => {
    await noticed((path) => damageFile(path("fingerprint.ndjson.zst")), 4, /fingerprint\.ndjson\.zst is damaged/);
  });

  it("notices the manifest of another backup", async () => {
    const [one, other] = [await backup(), await backup()];
    whileWritable(one.path("manifest.json"), (file) =>
      writeFileSync(
        file,
        readFileSync(other.path("manifest.json"), "utf8").replace(other.reference.name, "backup_20200101_000000"),
      ),
    );
    await assert.rejects(
      verifyBackup({ store: one.store, backup: one.reference, depth: 1, runId: "foreign" }),
      (error) => error instanceof Damage && /is that of/.test(error.message),
    );
  });

  it("notices a manifest that is no JSON", async () => {
    const { store, reference, path } = await backup();
    whileWritable(path("manifest.json"), (file) => truncateSync(file, 200));
    await assert.rejects(verifyBackup({ store, backup: reference, depth: 1, runId: "torn" }), Damage);
  });
});
