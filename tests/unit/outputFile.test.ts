/** Files for people: whole or as they were, also when two write at once. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { UsageError } from "../../scripts/contract/failure";
import { writeOutputFile } from "../../scripts/contract/outputFile";
import { registerSecret } from "../../scripts/contract/redaction";

describe("a file for people", () => {
  const folder = mkdtempSync(join(tmpdir(), "dbprotect-output-"));
  const key = "--html";

  it("is for its owner alone, and without secrets", async () => {
    const file = join(folder, "made", "report.html");
    registerSecret("hunter-of-secrets");
    await writeOutputFile({ file, key, makeFolder: true }, "the key hunter-of-secrets");
    assert.equal(readFileSync(file, "utf8"), "the key [redacted]");
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  it("is one writer's, whole, when many write at once", async () => {
    const file = join(folder, "report.html");
    const texts = Array.from({ length: 20 }, (_, writer) => String(writer).repeat(500_000));
    await Promise.all(texts.map((text) => writeOutputFile({ file, key }, text)));
    assert.ok(texts.includes(readFileSync(file, "utf8")));
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith(".partial")),
      [],
    );
  });

  it("that cannot be written is one line with its option, and leaves nothing", async () => {
    const taken = join(folder, "folder");
    mkdirSync(taken);
    for (const file of [taken, join(folder, "nowhere", "report.html")]) {
      await assert.rejects(writeOutputFile({ file, key }, "text"), (error: Error) => {
        assert.ok(error instanceof UsageError);
        assert.ok(error.message.startsWith(`--html: found ${file}: it cannot be written: `), error.message);
        return true;
      });
    }
    assert.deepEqual(readdirSync(taken), []);
    assert.ok(!readdirSync(folder).some((name) => name.endsWith(".partial")));
  });

  it("in a folder that nobody can make is refused, and not tried for ever", async function () {
    if (process.platform !== "linux") this.skip(); // skipped: only Linux has a /proc
    const file = "/proc/dbprotect/reports/report.html";
    await assert.rejects(writeOutputFile({ file, key, makeFolder: true }, "text"), /--html: found .*ENOENT/);
  });

  it("may be a pipe, which is written to and stays one", async () => {
    const pipe = join(folder, "pipe");
    await promisify(execFile)("mkfifo", [pipe]);
    const read = promisify(execFile)("cat", [pipe]);
    await writeOutputFile({ file: pipe, key }, "through");
    assert.equal((await read).stdout, "through");
    assert.ok(statSync(pipe).isFIFO());
  });
});
