/** The cache holds whole things only: nothing of a fetch that failed, and what two fetched at once only once. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCacheEntry } from "../../../bin/setup/cacheEntry.js";

describe("makeCacheEntry", () => {
  let root: string;
  let cache: string;
  const before = process.env["DBPROTECT_CACHE"];

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "cache-"));
    cache = join(root, "deep", "cache");
    process.env["DBPROTECT_CACHE"] = cache;
  });

  afterEach(() => {
    if (before === undefined) delete process.env["DBPROTECT_CACHE"];
    else process.env["DBPROTECT_CACHE"] = before;
    rmSync(root, { recursive: true });
  });

  function fill(folder: string): string {
    const entry = join(folder, "content");
    mkdirSync(join(entry, "bin"), { recursive: true });
    writeFileSync(join(entry, "bin", "program"), "", { mode: 0o700 });
    writeFileSync(join(entry, "readme"), "");
    return entry;
  }

  it("makes the entry readable for everybody, whatever the umask", () => {
    const umask = process.umask(0o077);
    try {
      assert.equal(makeCacheEntry("thing-1", fill), join(cache, "thing-1"));
    } finally {
      process.umask(umask);
    }
    const mode = (...path: string[]) => statSync(join(root, ...path)).mode & 0o777;
    assert.deepEqual(
      [mode("deep"), mode("deep/cache"), mode("deep/cache/thing-1/bin"), mode("deep/cache/thing-1/readme")],
      [0o755, 0o755, 0o755, 0o644],
    );
    assert.equal(mode("deep/cache/thing-1/bin/program"), 0o755);
  });

  it("leaves nothing of a fetch that failed", () => {
    const failing = (folder: string): string => {
      fill(folder);
      throw new Error("no network");
    };
    assert.throws(() => makeCacheEntry("thing-1", failing), /no network/);
    assert.deepEqual(readdirSync(cache), []);
  });

  it("keeps the other's entry when two fetched the same", () => {
    makeCacheEntry("thing-1", (folder) => {
      makeCacheEntry("thing-1", fill); // the other, faster
      return fill(folder);
    });
    assert.deepEqual(readdirSync(cache), ["thing-1"]);
  });

  it("removes what a killed run left, but not what a running one works on", () => {
    const [abandoned, current] = [join(cache, ".partial-old"), join(cache, ".partial-new")];
    mkdirSync(abandoned, { recursive: true });
    mkdirSync(current);
    const twoHoursAgo = Date.now() / 1000 - 7200;
    utimesSync(abandoned, twoHoursAgo, twoHoursAgo);
    makeCacheEntry("thing-1", fill);
    assert.deepEqual(readdirSync(cache).sort(), [".partial-new", "thing-1"]);
  });
});
