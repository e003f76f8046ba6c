/** Makes a store's private folders, durably, and says why when it cannot. */
import { constants } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf } from "../contract/failure";

/** `mkdir -p`, private, with each new name flushed: an object must not vanish with its folder in a power cut. */
export async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error: unknown) => explain(folder, error));
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

/** Node.js says ENOENT for the whole path where the nearest existing folder says why, as on a read-only file system. */
async function explain(folder: string, error: unknown): Promise<never> {
  for (let path = folder; codeOf(error) === "ENOENT" && path !== dirname(path); path = dirname(path)) {
    await mkdir(path, { mode: 0o700 }).catch((why: unknown) => {
      if (codeOf(why) !== "ENOENT") throw why;
    });
  }
  throw error;
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
