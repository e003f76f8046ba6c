/**
 * Files that a file store is still writing: private, on the same file system as the objects, named after the
 * process that writes them, so that a later run can throw away what a dead one left behind and nothing else.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "./makeFolder";
import { currentProcess, fateOf } from "../process/processIdentity";

/** A partial file of a process that cannot be seen from here counts as left behind after this many hours without a write. */
const forgottenAfterHours = 24;

const partialName = /^(\d+)\.([0-9A-Za-z-]+)\.[0-9a-f]+$/;

export interface PartialFile {
  readonly path: string;
  readonly handle: FileHandle;
}

/** Makes the folder when needed. The caller closes and unlinks. */
export async function openPartial(folder: string): Promise<PartialFile> {
  await makeFolder(folder);
  const { pid, processStart } = currentProcess();
  const path = join(folder, `${pid}.${processStart}.${randomBytes(8).toString("hex")}`);
  return { path, handle: await open(path, "wx", 0o600) };
}

/** Removes partial files whose process has ended, and says how many; never one of a process that may live. */
export async function removeForgotten(folder: string, now: Date = new Date()): Promise<number> {
  let removed = 0;
  for (const name of await readdir(folder).catch(() => [])) {
    const [, pid, processStart] = partialName.exec(name) ?? [];
    if (pid === undefined || processStart === undefined) continue;
    const path = join(folder, name);
    const fate = fateOf({ pid: Number(pid), processStart });
    if (fate === "gone" || (fate === "unknown" && (await idleHours(path, now)) > forgottenAfterHours))
      // Another run may be cleaning too, and a folder that we may not write says so at the write itself.
      await unlink(path).then(
        () => (removed += 1),
        () => undefined,
      );
  }
  return removed;
}

async function idleHours(path: string, now: Date): Promise<number> {
  const file = await stat(path).catch(() => undefined);
  return file === undefined ? 0 : (now.getTime() - file.mtimeMs) / 3_600_000;
}
