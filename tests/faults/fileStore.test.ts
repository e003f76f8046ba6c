/** A store in a folder when things go wrong: killed writers, full disks, folders that may not be written. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readdirSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Unavailable, UsageError } from "../../scripts/contract/failure";
import { FileStore } from "../../scripts/store/fileStore";
import { claimStore } from "../../scripts/store/storeIdentity";
import { NotFound, readBytes } from "../../scripts/store/store";
import { itSeesFiles, openFiles, temporaryFolder } from "../servers/stores";
import { skip } from "../skip";

/** Any user but root: root may write everywhere. */
const nobody = 65534;

describe("file store under faults", function () {
  this.timeout(60_000);

  it("killed in the middle of a write leaves no object, and the next run removes what is left of it", async () => {
    const folder = temporaryFolder();
    const killed = await hangingWriter(folder, "backups/manual/a");
    const living = await hangingWriter(folder, "backups/manual/b");
    try {
      killed.kill("SIGKILL");
      await once(killed, "exit");
      assert.deepEqual(await new FileStore(folder).list(""), []);
      assert.equal(partials(folder).length, 2);

      await new FileStore(folder).create("backups/manual/a", Buffer.from("again"));
      assert.deepEqual(
        partials(folder).map((name) => Number(name.split(".")[0])),
        [living.pid],
        "the partial file of a process that lives stays",
      );
    } finally {
      living.kill("SIGKILL");
    }
  });

  it("removes partial files of processes that it cannot see only when they are a day old", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, ".partial"));
    const [young, old, foreign] = ["77.aaaaaaaaaaaan1-5.00", "77.aaaaaaaaaaaan1-5.01", "not-ours.txt"];
    for (const name of [young, old, foreign]) writeFileSync(join(folder, ".partial", name), "x");
    const twoDaysAgo = Date.now() / 1000 - 2 * 86_400;
    utimesSync(join(folder, ".partial", old), twoDaysAgo, twoDaysAgo);
    utimesSync(join(folder, ".partial", foreign), twoDaysAgo, twoDaysAgo);
    await new FileStore(folder).create("receipts/a.json", Buffer.from("{}"));
    assert.deepEqual(partials(folder).sort(), [young, foreign].sort());
  });

  it("says so where no folder can be made, and does not try for ever", async function () {
    if (process.platform !== "linux") return skip(this, "there is no /proc");
    const store = new FileStore("/proc/no-such-store/below");
    await assert.rejects(store.create("receipts/a.json", Buffer.from("{}")), Unavailable);
  });

  it("on a full disk says so (exit 3) and keeps nothing", async function () {
    const folder = temporaryFolder();
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], { stdio: "pipe" });
    } catch {
      return this.skip(); // Only root may mount, and not in every container.
    }
    try {
      const store = new FileStore(folder);
      const full = (error: unknown): boolean =>
        error instanceof Unavailable &&
        error.exitCode === 3 &&
        error.message.includes(folder) &&
        /disk is full/.test(error.message) &&
        /free space/.test(error.hint ?? "");
      const chunks = Array.from({ length: 64 }, () => Buffer.alloc(64 * 1024, 1));
      await assert.rejects(store.create("backups/manual/big", Readable.from(chunks)), full);
      assert.deepEqual(await store.list(""), []);
      assert.deepEqual(partials(folder), []);
      await store.create("receipts/small.json", Buffer.from("{}"));

      const version = await store.swap("control/lease.json", Buffer.from("1"), undefined);
      writeFileSync(join(folder, "filler"), Buffer.alloc(1024 * 1024));
      try {
        for (;;) writeFileSync(join(folder, "filler"), Buffer.alloc(4096), { flag: "a" });
      } catch {
        // Full to the last page.
      }
      await assert.rejects(store.swap("control/lease.json", Buffer.alloc(8192), version), full);
      assert.equal((await store.readVersioned("control/lease.json"))?.body.toString(), "1");
    } finally {
      execFileSync("umount", ["-l", folder]);
    }
  });

  it("in a folder that it may not write says so (exit 3), with folder and user", async () => {
    const folder = temporaryFolder();
    await new FileStore(folder).create("receipts/a.json", Buffer.from("{}"));
    const store = new FileStore(folder);
    chmodSync(folder, 0o555);
    await asNobody(async () => {
      for (const write of [
        () => store.create("receipts/b.json", Buffer.from("{}")),
        () => store.swap("control/lease.json", Buffer.from("{}"), undefined),
        () => new FileStore(join(folder, "new")).create("store.json", Buffer.from("{}")),
      ])
        await assert.rejects(
          write,
          (error) =>
            error instanceof Unavailable &&
            error.message.includes(`no permission in ${folder}`) &&
            /belong to the user.*uid \d+/.test(error.hint ?? ""),
        );
    });
    chmodSync(folder, 0o755);
  });

  it("whose folder is a file names the mistake (exit 2)", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    await assert.rejects(new FileStore(file).list(""), UsageError);
    await assert.rejects(new FileStore(join(file, "store")).create("store.json", Buffer.from("{}")), UsageError);
  });

  it("whose store.json was truncated is damaged (exit 4), whose object is a folder has none", async () => {
    const folder = temporaryFolder();
    const store = new FileStore(folder);
    const database = { systemIdentifier: "7412345678901234567", name: "crm" };
    await claimStore(store, database);
    truncateSync(join(folder, "store.json"), 20);
    await assert.rejects(claimStore(store, database), { name: "Damage", exitCode: 4 });
    await store.create("receipts/deep/a.json", Buffer.from("{}"));
    await assert.rejects(readBytes(store, "receipts/deep"), NotFound);
  });

  itSeesFiles("whose reader gives up leaves no file open", async () => {
    const folder = temporaryFolder();
    const store = new FileStore(folder);
    await store.create("receipts/a.json", Buffer.alloc(1024 * 1024));
    for (let n = 0; n < 20; n++) {
      const stream = await store.read("receipts/a.json");
      assert.equal(openFiles(folder), 1);
      stream.destroy();
      await once(stream, "close");
    }
    assert.equal(openFiles(folder), 0);
  });
});

/** A process that has begun to write an object and never ends. */
async function hangingWriter(folder: string, key: string) {
  const script = join(__dirname, "../integration/storeActor.ts");
  const child = spawn(process.execPath, ["--require", "tsx/cjs", script, new FileStore(folder).url, "hang", key], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  // It says so when the stream begins; the file is there a moment later at most.
  while (!partials(folder).some((name) => name.startsWith(`${child.pid}.`))) await new Promise(setImmediate);
  return child;
}

function partials(folder: string): string[] {
  return readdirSync(join(folder, ".partial"));
}

/** Runs as a user without rights where we are root; as ourselves where we are not. */
async function asNobody(work: () => Promise<void>): Promise<void> {
  const root = process.getuid?.() === 0;
  if (root) process.seteuid?.(nobody);
  try {
    await work();
  } finally {
    if (root) process.seteuid?.(0);
  }
}
