/** A pg_restore that goes away early is judged by its exit code and by the archive, never by the broken pipe. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { storeCompressed } from "../../scripts/backup/archiveStream";
import { type BackupReference, fileKey } from "../../scripts/backup/manifest";
import { Damage, Unavailable } from "../../scripts/contract/failure";
import { type RunningProgram, startProgram } from "../../scripts/database/program";
import { type ArchiveSource, feedArchive } from "../../scripts/restore/readArchive";
import { AlreadyExists } from "../../scripts/store/store";
import { openStore } from "../../scripts/store/openStore";
import { damageFile } from "../servers/damageFile";
import { freshStore } from "../servers/crm";

const backup: BackupReference = { tier: "manual", name: "backup_20260101_120000" };

describe("storing a stream", () => {
  it("ends at once where the store does not take it, though the source says nothing", async () => {
    const store = openStore(freshStore());
    const key = fileKey(backup, "data-000.dump.zst");
    await storeCompressed(store, key, Readable.from([Buffer.from("first")]));
    const silent = new Readable({ read: () => undefined });
    await assert.rejects(storeCompressed(store, key, silent), AlreadyExists);
    assert.ok(silent.destroyed);
  });

  it("leaves nothing where the source did not end well, whatever it said before", async () => {
    const store = openStore(freshStore());
    const key = fileKey(backup, "data-000.dump.zst");
    const succeeded = (): Promise<void> => Promise.reject(new Unavailable("it was killed"));
    await assert.rejects(
      storeCompressed(store, key, Readable.from([randomBytes(600_000)]), { succeeded }),
      /it was killed/,
    );
    assert.deepEqual(await store.list(""), []);
  });
});

describe("feeding an archive to pg_restore", () => {
  let source: ArchiveSource;
  let path: string;

  /** Far more than a pipe holds, so that the writer is certain to meet its closed end. */
  beforeEach(async () => {
    const storeUrl = freshStore();
    const store = openStore(storeUrl);
    const file = "data-000.dump.zst";
    const stored = await storeCompressed(store, fileKey(backup, file), Readable.from([randomBytes(2_000_000)]));
    source = { store, backup, archive: { file, format: "custom", section: "data", ...stored } };
    path = join(fileURLToPath(storeUrl), fileKey(backup, file));
  });

  /** A program of that name which reads a few bytes and ends. */
  function endsEarly(code: number): RunningProgram {
    const binDir = mkdtempSync(join(tmpdir(), "dbprotect-bin-"));
    const script = `#!/bin/sh\nhead -c 100 >/dev/null\necho 'pg_restore: error: could not connect: connection to server lost' >&2\nexit ${code}\n`;
    writeFileSync(join(binDir, "pg_restore"), script, { mode: 0o755 });
    return startProgram({ binDir, program: "pg_restore", args: [] });
  }

  it("succeeds when pg_restore ended well and the archive is whole", async () => {
    await feedArchive(source, endsEarly(0));
  });

  it("is damage when pg_restore ended well and what it did not read is damaged", async () => {
    damageFile(path);
    await assert.rejects(feedArchive(source, endsEarly(0)), Damage);
  });

  it("looks no further than pg_restore where only that is asked for", async () => {
    damageFile(path);
    await feedArchive(source, endsEarly(0), { lastBytes: "ignored" });
  });

  it("says what pg_restore said when the archive is whole, and damage when it is not", async () => {
    await assert.rejects(
      feedArchive(source, endsEarly(1)),
      (error) => error instanceof Unavailable && /connection to server lost/.test(error.message),
    );
    damageFile(path);
    await assert.rejects(feedArchive(source, endsEarly(1)), Damage);
  });
});
