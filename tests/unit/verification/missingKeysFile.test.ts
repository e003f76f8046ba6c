/** The file of all missing keys: complete, private, and never a reason for the verification to end. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MissingKeysFile } from "../../../scripts/verification/missingKeysFile";
import { skip } from "../../skip";

describe("the file of missing keys", () => {
  const before = process.env["DBPROTECT_REPORTS"];
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "dbprotect-keys-"));
    process.env["DBPROTECT_REPORTS"] = join(folder, "reports");
  });
  afterEach(() => {
    if (before === undefined) delete process.env["DBPROTECT_REPORTS"];
    else process.env["DBPROTECT_REPORTS"] = before;
  });

  it("has every key, for its owner alone", async () => {
    const file = new MissingKeysFile("run");
    for (let id = 0; id < 20_000; id++) file.add("public.clients", `{"id" : "${id}"}`);
    const path = await file.close();
    assert.equal(path, join(folder, "reports", "missing-run.ndjson"));
    assert.equal(await file.close(), path);
    assert.equal(file.problem, null);
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    assert.equal(lines.length, 20_000);
    assert.deepEqual(JSON.parse(lines.at(-1)!), { table: "public.clients", key: '{"id" : "19999"}' });
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  it("is not there when no key is missing", async () => {
    const file = new MissingKeysFile("run");
    assert.deepEqual([await file.close(), file.problem], [null, null]);
    assert.equal(existsSync(join(folder, "reports")), false);
  });

  it("cannot be written: a problem to show, not an error, however many keys there are", async () => {
    writeFileSync(join(folder, "reports"), "not a folder");
    for (const keys of [1, 20_000]) {
      const file = new MissingKeysFile("run");
      for (let id = 0; id < keys; id++) file.add("public.clients", String(id));
      assert.equal(await file.close(), null);
      assert.match(file.problem ?? "", /^the missing keys could not be written: E(EXIST|NOTDIR)/);
    }
  });

  it("says so when the disk fills up", async function () {
    if (!existsSync("/dev/full")) return skip(this, "no /dev/full");
    mkdirSync(join(folder, "reports"));
    symlinkSync("/dev/full", join(folder, "reports", "missing-run.ndjson"));
    const file = new MissingKeysFile("run");
    file.add("public.clients", "1");
    assert.equal(await file.close(), null);
    assert.match(file.problem ?? "", /ENOSPC/);
  });
});
